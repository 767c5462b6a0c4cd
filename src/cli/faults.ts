/** What is wrong with the arguments of a command; undefined where nothing is. */
import { isIP } from 'node:net';
import { didYouMean } from '../config/suggest.ts';
import { parseDuration } from '../config/values.ts';
import { sortField, sortsOf } from './sorts.ts';

type Value = string | boolean | undefined;
const BACKEND_SERVER = /^[^/]+\/[^/]+$/;

export function serverFault(command: string, server = '', more = ''): string | undefined {
  return needs(BACKEND_SERVER.test(server), command, 'BACKEND/SERVER', `docker_registry/s1${more}`);
}

export function placeFault(server: Value): string | undefined {
  if (typeof server !== 'string' || BACKEND_SERVER.test(server)) return undefined;
  return '--server takes BACKEND/SERVER, such as docker_registry/s1';
}

/** Of a list that has --sort, and perhaps --server. */
export function listFault(command: string, { server, sort }: Readonly<Record<string, Value>>): string | undefined {
  return placeFault(server) ?? sortFault(command, sort);
}

function sortFault(command: string, sort: Value): string | undefined {
  if (typeof sort !== 'string' || sortField(command, sort) !== undefined) return undefined;
  const known = sortsOf(command);
  return `${command} cannot be sorted by ${sort}.${didYouMean(sort, known) || ` Known: ${known.join(', ')}`}`;
}

export function ipFault(command: string, ip: string | undefined): string | undefined {
  return ip === undefined ? undefined : needs(isIP(ip) !== 0, command, 'an IP address', '10.0.0.7');
}

/** How many of them are given. */
export const given = (...all: readonly unknown[]): number => all.filter((one) => one !== undefined).length;

export function needs(good: boolean, command: string, what: string, example: string): string | undefined {
  return good ? undefined : `${command} needs ${what}: berth ${command} ${example}`;
}

export function maxFault(max: Value, wait: Value): string | undefined {
  if (typeof max !== 'string') return undefined;
  if (wait !== true) return '--max says how long to wait, so it needs --wait';
  return (parseDuration(max) ?? 0) > 0 ? undefined : `--max takes a duration such as 90s or 10m, not ${max}`;
}

/** The lines for HAProxy are of all bindings; its options mean nothing without it. */
export function tableFault(ip: string | undefined, values: Readonly<Record<string, Value>>): string | undefined {
  const { haproxy = false, ids, state, backend, server, sort, watch, json } = values;
  if (haproxy !== true) {
    if (given(ids, state) > 0) return 'table takes --ids and --state with --haproxy alone';
    return ipFault('table', ip) ?? listFault('table', values);
  }
  return given(ip, backend, server, sort, watch, json) > 0
    ? 'table --haproxy takes --ids and --state alone'
    : undefined;
}

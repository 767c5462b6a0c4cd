import { isIPv4 } from 'node:net';
import { stringify } from 'yaml';
import { printable } from '../config/locate.ts';
import { parseServerAddress } from '../config/values.ts';
import { REPOSITORY } from './look.ts';
import type { Check, Choice } from './choose.ts';
import type { GivenServer } from './given.ts';
import { inWords, type Looked } from './seen.ts';

/** Berth's own: metrics and admin. */
const TAKEN: readonly number[] = [9180, 9181];

export type Sheet = {
  readonly servers: readonly GivenServer[];
  readonly looked: readonly Looked[];
  readonly choice: Choice;
  /** Where clients arrive; undefined leaves that to what was seen. */
  readonly bind: string | undefined;
  readonly on: Date;
};

/** The text of a balancer.yml. What strangers have said stands in comments alone. */
export function write({ servers, looked, choice, bind = bindFor(servers, choice), on }: Sheet): string {
  const { waitForClient, remarks, differences } = choice;
  const [frontend, backend] = namesFor(choice);
  const check = checkText(choice.check);
  return [
    comment('', `Made by berth init, by what the servers answered on ${on.toISOString().slice(0, 10)}.`),
    ...looked.map(({ label, seen }) => comment('', `${label}: ${inWords(seen)}`)),
    ...differences.map((difference) => comment('', `The servers differ: ${difference}`)),
    'frontends:',
    `  ${frontend}:`,
    `    bind: ${scalar(bind)}`,
    `    backend: ${backend}`,
    ...(waitForClient ? ['    waitForClient: true # a client that says nothing costs the servers nothing'] : []),
    'backends:',
    `  ${backend}:`,
    ...remarks.map((remark) => comment('    ', remark)),
    ...(check === undefined ? [] : [`    healthCheck: ${check}`]),
    '    servers:',
    ...servers.map(({ name, address }) => `      ${scalar(name)}: ${scalar(address)}`),
    '',
  ].join('\n');
}

function comment(indent: string, text: string): string {
  return `${indent}# ${printable(text)}`;
}

/** A text as YAML, in quotes where it would be something else without. A `${` would name a variable. */
function scalar(text: string): string {
  return stringify(text.replaceAll('${', '$$${'), { singleQuote: true, lineWidth: 0 }).trimEnd();
}

function checkText({ type, tls, storage }: Check): string | undefined {
  const keys = [
    ...(type === 'tcp' ? [] : [`type: ${type}`]),
    ...(tls ? ['tls: true'] : []),
    ...(storage ? [`storage: { repository: ${REPOSITORY} }`] : []),
  ];
  return keys.length === 0 ? undefined : `{ ${keys.join(', ')} }`;
}

/** Names of a frontend and a backend, which stand in the log and the metrics. */
function namesFor({ check, tls, waitForClient }: Choice): [frontend: string, backend: string] {
  if (tls === undefined) return ['https_frontend', 'docker_registry'];
  const frontend = check.type === 'tcp' && !tls && !waitForClient ? 'tcp' : tls ? 'https' : 'http';
  return [`${frontend}_frontend`, check.type === 'registry' ? 'docker_registry' : 'servers'];
}

/** 443 for TLS; else the port that the servers have. A server on this machine may have a port already. */
function bindFor(servers: readonly GivenServer[], { tls }: Choice): string {
  const endpoints = servers.flatMap(({ address }) => {
    const parsed = parseServerAddress(address);
    return parsed && 'port' in parsed ? [{ port: parsed.port, host: 'host' in parsed ? parsed.host : '' }] : [];
  });
  const here = endpoints.flatMap(({ host, port }) => (isHere(host) ? [port] : []));
  const [first, ...others] = new Set(endpoints.map(({ port }) => port));
  const shared = first !== undefined && others.length === 0 ? [first] : [];
  const wanted = tls === false ? [...shared, 5000, 8000, 8001] : [443, 8443, 9443];
  return `*:${wanted.find((port) => !here.includes(port) && !TAKEN.includes(port)) ?? 0}`;
}

function isHere(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}

import { existsSync, writeFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { loadText } from '../config/load.ts';
import { printable } from '../config/locate.ts';
import { parseServerAddress } from '../config/values.ts';
import { endpointsOf } from '../doctor/targets.ts';
import { choose } from '../init/choose.ts';
import { readServers, type GivenServer } from '../init/given.ts';
import { look } from '../init/look.ts';
import { inWords, type Looked } from '../init/seen.ts';
import { write } from '../init/write.ts';
import { formatEndpoint } from '../config/values.ts';
import { systemAuthorities } from '../pool/probe/authorities.ts';
import type { Call } from './commands.ts';

/**
 * `berth init SERVER…`: a balancer.yml to standard output or to a file, what was seen to standard error. Returns the
 * exit code: 0 where it is written, whatever the servers say, and 2 where it cannot be.
 */
export async function init({ given: words, values }: Call): Promise<number> {
  const given = readServers(words);
  if (given.kind === 'fault') return complain(given.fault);
  const { output, bind } = values as Record<string, string | undefined>;
  if (output !== undefined && existsSync(output)) return complain(isThere(output));
  const trust = createSecureContext({ ca: systemAuthorities() });
  const looks = given.servers.map((server) => lookAt(server, trust));
  const looked: Looked[] = [];
  for (const each of looks) {
    for (const { label, seen } of await each) {
      looked.push({ label, seen });
      say(`${label}: ${inWords(seen)}`);
    }
  }
  const choice = choose(looked);
  for (const difference of choice.differences) say(`the servers differ: ${difference}`);
  for (const remark of choice.remarks) say(remark);
  const text = write({ servers: given.servers, looked, choice, bind, on: new Date() });
  // Where clients arrive is the operator's word, and Berth itself may have that address.
  const loaded = loadText(text, output ?? 'balancer.yml', output ?? 'balancer.yml');
  if (loaded.kind === 'problems') return complain(loaded.problems.map(({ message }) => message).join('; '));
  return put(text, output);
}

async function lookAt(
  { name, address }: GivenServer,
  trust: ReturnType<typeof createSecureContext>,
): Promise<Looked[]> {
  const parsed = parseServerAddress(address);
  if (!parsed) throw new TypeError(`${address} is no address of a server`);
  const { endpoints, failure } = await endpointsOf(parsed);
  if (failure !== undefined) return [{ label: name, seen: { kind: 'away', reason: failure } }];
  return Promise.all(
    endpoints.map(async (endpoint) => {
      const label = endpoints.length > 1 ? `${name} (${formatEndpoint(endpoint)})` : name;
      const called = 'name' in endpoint ? endpoint.name : 'host' in parsed ? parsed.host : endpoint.host;
      return { label, seen: await look({ endpoint, name: called }, trust) };
    }),
  );
}

function put(text: string, output: string | undefined): number {
  if (output === undefined) {
    process.stdout.write(text);
    return 0;
  }
  try {
    writeFileSync(output, text, { flag: 'wx' });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return complain(code === 'EEXIST' ? isThere(output) : `cannot write ${output}: ${message}`);
  }
  say(`${output} is written; next: berth check ${output}`);
  return 0;
}

const isThere = (file: string): string => `${file} is there already, and berth init changes no file`;

function say(text: string): void {
  process.stderr.write(`${printable(text)}\n`);
}

function complain(message: string): number {
  process.stderr.write(`berth: ${printable(message)}\n`);
  return 2;
}

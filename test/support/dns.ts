/** A small DNS server whose answers a test changes, and a way to run Berth with it as its resolver. */
import { createSocket, type Socket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { accessSync, constants, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { decode, encode, type Answer, type StringAnswer } from 'dns-packet';
import type { Sources } from '../../src/names/look-up.ts';
import { folderOf } from './files.ts';
import { eventually } from './waiting.ts';

const MOUNT = ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" /etc/resolv.conf && exec "$@"'];

/** Node's resolver reads /etc/resolv.conf, which names no port: only root can give a process another one. */
function whyNot(): string | false {
  if (process.getuid?.() !== 0) return 'needs root';
  try {
    accessSync('/etc/resolv.conf', constants.R_OK);
  } catch {
    return 'this machine has no /etc/resolv.conf';
  }
  return spawnSync('unshare', [...MOUNT.slice(1), '/dev/null', 'true']).status === 0
    ? false
    : 'unshare --mount is not allowed';
}
export const NO_DNS = whyNot();

const RCODE = { NOERROR: 0, SERVFAIL: 2, NXDOMAIN: 3 } as const;
/** The answer is longer than a datagram may be, so the question is to be asked over TCP (RFC 1035, section 4.1.1). */
const TRUNCATED = 0x0200;
const LONGEST_DATAGRAM = 512;

export class DnsServer {
  /** What it says for a name; one that is not here does not exist. */
  readonly records = new Map<string, readonly Answer[]>();
  /** It says nothing to anybody. */
  silent = false;
  /** It says SERVFAIL to all. */
  failing = false;
  /** And to questions for these names, or of one type for them: `AAAA r.test`. */
  readonly failingFor = new Set<string>();
  ttl = 0;
  /** How often it was asked for a name, by type: `A r.test`. */
  readonly asked = new Map<string, number>();
  /** How often it was asked over TCP. */
  streams = 0;
  /** Questions that are not answered until they are let go, by type and name: `A r.test`. */
  readonly #held = new Map<string, (() => void)[]>();

  addresses(name: string, ...addresses: readonly string[]): void {
    const answer = (data: string): StringAnswer => ({
      type: data.includes(':') ? 'AAAA' : 'A',
      name,
      data,
      ttl: this.ttl,
    });
    this.records.set(name, addresses.map(answer));
  }

  services(name: string, ...services: readonly { readonly target: string; readonly port: number }[]): void {
    this.records.set(
      name,
      services.map((data) => ({ type: 'SRV', name, data, ttl: this.ttl })),
    );
  }

  /** Questions such as `A r.test` wait from now on. */
  hold(question: string): void {
    this.#held.set(question, this.#held.get(question) ?? []);
  }

  /** Resolves when a held question waits: who asks has heard the answer before it. */
  async waits(question: string): Promise<void> {
    await eventually(`a question for ${question}`, () => this.isWaiting(question));
  }

  isWaiting(question: string): boolean {
    return (this.#held.get(question) ?? []).length > 0;
  }

  /** Answers the held questions that wait by the records of now; the next questions wait again. */
  letGo(question: string): void {
    for (const answer of this.#held.get(question)?.splice(0) ?? []) answer();
  }

  /** Answers the held questions that wait, and the next questions at once. */
  release(question: string): void {
    this.letGo(question);
    this.#held.delete(question);
  }

  /** `name` is another name for `target`. */
  alias(name: string, target: string): void {
    this.records.set(name, [{ type: 'CNAME', name, data: target, ttl: this.ttl }]);
  }

  /** Gives `reply` the answer to `query`, as soon as the question is not held. */
  hear(query: Buffer, reply: (answer: Buffer) => void): void {
    const [question] = decode(query).questions ?? [];
    const key = `${question?.type} ${question?.name.toLowerCase()}`;
    const held = this.#held.get(key);
    if (this.silent) this.#count(key);
    else if (held) held.push(() => reply(this.answer(query)));
    else reply(this.answer(query));
  }

  answer(query: Buffer): Buffer {
    const { id, questions = [] } = decode(query);
    const [question] = questions;
    const name = question?.name.toLowerCase() ?? '';
    const key = `${question?.type} ${name}`;
    this.#count(key);
    const failing = this.failing || this.failingFor.has(name) || this.failingFor.has(key);
    const records = failing ? undefined : this.#behind(name);
    const rcode = failing ? RCODE.SERVFAIL : records ? RCODE.NOERROR : RCODE.NXDOMAIN;
    return encode({
      type: 'response',
      ...(id === undefined ? {} : { id }),
      flags: 0x0480 | rcode,
      questions,
      answers: (records ?? []).filter(({ type }) => type === question?.type || type === 'CNAME'),
    });
  }

  #count(key: string): void {
    this.asked.set(key, (this.asked.get(key) ?? 0) + 1);
  }

  /** The records of a name, and where it is an alias those of its target. */
  #behind(name: string): readonly Answer[] | undefined {
    const records = this.records.get(name);
    const [alias] = records ?? [];
    if (alias?.type !== 'CNAME') return records;
    return [alias, ...(this.#behind(alias.data) ?? [])];
  }

  /** Resolves when it has been asked a whole round more: what it was told before has been heard. */
  async askedAgain(key: string): Promise<void> {
    const before = this.asked.get(key) ?? 0;
    await eventually(`questions for ${key}`, () => (this.asked.get(key) ?? 0) >= before + 2);
  }
}

let servers = 0;

/** Answers at this address, over UDP and, for what is too long for a datagram, over TCP. */
async function answerAt(t: TestContext, dns: DnsServer, address: string, port: number): Promise<number> {
  const socket = createSocket('udp4');
  socket.on('message', (query, from) => dns.hear(query, (answer) => send(socket, answer, from)));
  socket.bind(port, address);
  await once(socket, 'listening');
  t.after(() => socket.close());
  const stream = createServer((client) => {
    client.on('error', () => {});
    client.once('data', (query: Buffer) => {
      dns.streams++;
      // A length of two bytes goes before each message (RFC 1035, section 4.2.2).
      dns.hear(query.subarray(2), (answer) => client.end(Buffer.concat([lengthOf(answer), answer])));
    });
  });
  stream.listen(socket.address().port, address);
  await once(stream, 'listening');
  t.after(() => stream.close());
  return socket.address().port;
}

function send(socket: Socket, answer: Buffer, { port, address }: { port: number; address: string }): void {
  if (answer.length <= LONGEST_DATAGRAM) return socket.send(answer, port, address);
  const {
    id = 0,
    questions = [],
    rcode: _,
    ...rest
  } = decode(answer) as ReturnType<typeof decode> & { rcode?: string };
  socket.send(encode({ ...rest, id, questions, answers: [], flags: 0x0480 | TRUNCATED }), port, address);
}

function lengthOf(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return length;
}

/** No other server has this address: its ports are free for UDP and TCP alike. */
function ownAddress(): string {
  return `127.${200 + ((process.pid >> 8) & 31)}.${process.pid & 255}.${++servers}`;
}

/** A DNS server, and how to run Berth so that it asks it; `conf` are further lines of its resolv.conf. */
export async function resolver(t: TestContext, conf = ''): Promise<{ dns: DnsServer; through: readonly string[] }> {
  const dns = new DnsServer();
  const address = ownAddress();
  await answerAt(t, dns, address, 53);
  const file = join(folderOf(t), 'resolv.conf');
  writeFileSync(file, `nameserver ${address}\n${conf}`);
  return { dns, through: [...MOUNT, file] };
}

/** What stands in the files of a machine, and what its shell has set. */
export type Machine = {
  readonly hosts?: string;
  readonly resolvConf?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly hostname?: string;
};

/** A DNS server, and what `lookUp` in this process needs to ask it on a machine of the test's own. */
export async function nameserver(
  t: TestContext,
  { hosts = '', resolvConf = '', env = {}, hostname = 'node' }: Machine = {},
): Promise<{ dns: DnsServer; sources: Sources }> {
  const dns = new DnsServer();
  const address = ownAddress();
  const port = await answerAt(t, dns, address, 0);
  const folder = folderOf(t);
  const [hostsFile, conf] = [join(folder, 'hosts'), join(folder, 'resolv.conf')];
  writeFileSync(hostsFile, hosts);
  writeFileSync(conf, resolvConf);
  const asks = (): Resolver => {
    const made = new Resolver({ timeout: 300, tries: 2 });
    made.setServers([`${address}:${port}`]);
    return made;
  };
  return { dns, sources: { hostsFile, resolvConf: conf, env, hostname, resolver: asks } };
}

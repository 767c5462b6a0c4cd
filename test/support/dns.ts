/** A small DNS server whose answers a test changes, and a way to run Berth with it as its resolver. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { accessSync, constants, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { decode, encode, type Answer, type StringAnswer } from 'dns-packet';
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

export class DnsServer {
  /** What it says for a name; one that is not here does not exist. */
  readonly records = new Map<string, readonly Answer[]>();
  /** It says SERVFAIL to all. */
  failing = false;
  /** And to questions for these names, or of one type for them: `AAAA r.test`. */
  readonly failingFor = new Set<string>();
  ttl = 0;
  /** How often it was asked for a name, by type: `A r.test`. */
  readonly asked = new Map<string, number>();
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

  /** Gives `reply` the answer to `query`, as soon as the question is not held. */
  hear(query: Buffer, reply: (answer: Buffer) => void): void {
    const [question] = decode(query).questions ?? [];
    const held = this.#held.get(`${question?.type} ${question?.name.toLowerCase()}`);
    if (held) held.push(() => reply(this.answer(query)));
    else reply(this.answer(query));
  }

  answer(query: Buffer): Buffer {
    const { id, questions = [] } = decode(query);
    const [question] = questions;
    const name = question?.name.toLowerCase() ?? '';
    const key = `${question?.type} ${name}`;
    this.asked.set(key, (this.asked.get(key) ?? 0) + 1);
    const failing = this.failing || this.failingFor.has(name) || this.failingFor.has(key);
    const records = failing ? undefined : this.records.get(name);
    const rcode = failing ? RCODE.SERVFAIL : records ? RCODE.NOERROR : RCODE.NXDOMAIN;
    return encode({
      type: 'response',
      ...(id === undefined ? {} : { id }),
      flags: 0x0480 | rcode,
      questions,
      answers: (records ?? []).filter(({ type }) => type === question?.type),
    });
  }

  /** Resolves when it has been asked a whole round more: what it was told before has been heard. */
  async askedAgain(key: string): Promise<void> {
    const before = this.asked.get(key) ?? 0;
    await eventually(`questions for ${key}`, () => (this.asked.get(key) ?? 0) >= before + 2);
  }
}

let servers = 0;

/** A DNS server, and how to run Berth so that it asks it. */
export async function resolver(t: TestContext): Promise<{ dns: DnsServer; through: readonly string[] }> {
  const dns = new DnsServer();
  const socket = createSocket('udp4');
  socket.on('message', (query, { port, address }) => dns.hear(query, (answer) => socket.send(answer, port, address)));
  // An address of its own, since the port cannot be.
  const address = `127.${200 + ((process.pid >> 8) & 31)}.${process.pid & 255}.${++servers}`;
  socket.bind(53, address);
  await once(socket, 'listening');
  t.after(() => socket.close());
  const file = join(folderOf(t), 'resolv.conf');
  writeFileSync(file, `nameserver ${address}\n`);
  return { dns, through: [...MOUNT, file] };
}

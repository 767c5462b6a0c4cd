/** Clients that come, stay and leave, each from an address of its own unless a test gives it one. */
import type { Berth } from './berth.ts';
import { Client, type Where } from './clients.ts';

let people = 0;
/** The address of a client that no test has seen yet. */
export const somebody = (): string => `127.20.${(people >> 8) & 255}.${people++ & 255}`;

/** Connects and stays; `answered` is the server that it talks to, which says its name. */
export async function hold(berth: Berth, from = somebody()): Promise<Client & { answered: string }> {
  const client = new Client({ port: await berth.port(), from });
  return Object.assign(client, { answered: await client.line() });
}

/** Ends a held connection; resolves when Berth has counted it out. */
export async function leave(berth: Berth, client: Client): Promise<void> {
  const { localPort } = client.socket;
  await client.finish();
  await berth.line(({ msg, client: of }) => msg === 'connection' && String(of).endsWith(`:${localPort}`));
}

/** Connects, hears who serves, and leaves. */
export async function come(berth: Berth, from = somebody()): Promise<string> {
  const client = await hold(berth, from);
  await client.finish();
  return client.answered;
}

/** Sends each part as a segment of its own, as far as that can be had. */
export async function send(where: Where, ...parts: readonly (Buffer | string)[]): Promise<Client> {
  const client = new Client(where);
  client.socket.setNoDelay(true);
  for (const part of parts) {
    client.socket.write(part);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return client;
}

/** Connects, hears who serves, is answered, leaves. Rejects where any of that fails. */
export async function whoServes(port: number, from = '127.0.0.1', host = '127.0.0.1'): Promise<string> {
  const client = new Client({ port, from, host });
  // Both sides' ends are the client's to wait for: one that comes before the answer is a failure, and not to be waited
  // out.
  const gone = client.ended.then((how): never => {
    throw new Error(`no answer: ${how}`);
  });
  gone.catch(() => {});
  try {
    const name = await Promise.race([client.line(), gone]);
    client.socket.write('ping');
    await Promise.race([client.bytes(name.length + 1 + 4), gone]);
    if ((await client.finish()) !== 'end') throw new Error('reset at the end');
    return name;
  } finally {
    client.socket.destroy();
  }
}

/** Clients that come again and again, each from an address of its own, until they are sent home. */
export class Crowd {
  calls = 0;
  readonly failures: string[] = [];
  /** By client, the servers that have served it. */
  readonly served = new Map<string, Set<string>>();
  readonly #loops: Promise<void>[];
  #home = false;

  constructor(port: number, size: number) {
    this.#loops = Array.from({ length: size }, async (_, i) => {
      while (!this.#home) {
        this.calls++;
        // A client that comes back, and one that is new each time.
        const from = i % 2 === 0 ? `127.1.0.${i + 1}` : `127.2.${(this.calls >> 8) & 255}.${1 + (this.calls % 254)}`;
        await whoServes(port, from).then(
          (name) => this.served.set(from, (this.served.get(from) ?? new Set()).add(name)),
          (error: Error) => this.failures.push(error.message),
        );
      }
    });
  }

  /** Clients that more than one server has served. */
  get split(): number {
    return [...this.served.values()].filter((names) => names.size > 1).length;
  }

  async leave(): Promise<void> {
    this.#home = true;
    await Promise.all(this.#loops);
  }
}

/** Clients, each from an address of its own. */
export const clients = (count: number): string[] => Array.from({ length: count }, (_, i) => `127.0.7.${i + 1}`);

/** Where each client is served now. */
export async function places(port: number, from: readonly string[]): Promise<string[]> {
  const names: string[] = [];
  for (const one of from) names.push(await whoServes(port, one));
  return names;
}

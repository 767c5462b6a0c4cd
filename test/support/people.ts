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

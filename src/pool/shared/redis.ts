import type { SharedConfig } from '../../config/shared-table.ts';
import { destroy, faultOf, reach, type Reached } from './reach.ts';
import { AGREE, STATES, type OpenSession, type Session, type SessionEvents } from './session.ts';
import { channelOf, keyOf, SERVERS } from './words.ts';

/** Between two looks at whether the table is where it was, beside what its connection says. */
const LOOK_MS = 5_000;
/** What a server says that has given its keys away, or may not be written to any more: the table is elsewhere. */
const ELSEWHERE = /^(MOVED|READONLY)\b/;

/**
 * Sessions with Redis or Valkey for the table of `backend`; `instance` is how this balancer signs what it tells. The
 * library is loaded when the first session opens.
 */
export function redisSessions(config: SharedConfig, backend: string, instance: string): OpenSession {
  let turn = 0;
  return async (events) => {
    const reached = await reach(await import('@redis/client'), config, backend, turn++);
    return open(reached, events, backend, instance);
  };
}

async function open(
  { client, isThere }: Reached,
  events: SessionEvents,
  backend: string,
  instance: string,
): Promise<Session> {
  const channel = channelOf(backend);
  let closed = false;
  const close = (): void => {
    if (closed) return;
    closed = true;
    clearInterval(looks);
    destroy(client);
  };
  const lost = (reason: string): void => {
    if (!closed) events.lost(reason);
  };
  const look = async (): Promise<void> => {
    const there = (await isThere?.().catch(() => true)) ?? true;
    if (!there) lost('the Sentinels name another master');
  };
  const looks = isThere && setInterval(() => void look(), LOOK_MS);
  client.on('error', (error) => lost(faultOf(error)));
  try {
    await client.subscribe(channel, (message) => {
      if (!closed) events.told(message);
    });
  } catch (error) {
    close();
    throw new Error(faultOf(error), { cause: error });
  }
  const ask = async (script: string, keys: string[], args: string[]): Promise<string[]> => {
    try {
      return ((await client.eval(script, { keys, arguments: args })) as unknown[]).map(String);
    } catch (error) {
      const fault = faultOf(error);
      if (ELSEWHERE.test(fault)) lost(fault);
      throw new Error(fault, { cause: error });
    }
  };
  const agree: Session['agree'] = (bids, expireMs) => {
    const keys = bids.map((bid) => keyOf(backend, bid.client));
    const args = bids.flatMap((bid) => [bid.client, bid.from, bid.to]);
    return ask(AGREE, keys, [String(expireMs), channel, instance, ...args]);
  };
  const states: Session['states'] = async (bids) => {
    const args = bids.flatMap((bid) => [bid.field, bid.from, bid.to]);
    const held = await ask(STATES, [keyOf(backend, SERVERS)], [channel, instance, SERVERS, ...args]);
    return new Map(held.flatMap((field, i) => (i % 2 === 0 ? [[field, held[i + 1] ?? ''] as const] : [])));
  };
  return { agree, states, close };
}

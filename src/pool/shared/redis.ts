import type { LookupFunction } from 'node:net';
import type * as Redis from '@redis/client';
import type { SharedConfig } from '../../config/shared-table.ts';
import { lookUp } from '../../names/look-up.ts';
import { AGREE, STATES, type OpenSession, type Session, type SessionEvents } from './session.ts';
import { channelOf, keyOf, SERVERS } from './words.ts';

/** To a server that does not answer: it is tried again. */
const CONNECT_MS = 1_000;
/** Between two looks at what the Sentinels say, beside what they tell by themselves. */
const SCAN_MS = 1_000;

/** What is used of a client of one server, of Sentinels, or of a cluster. */
type Client = {
  on(event: 'error', listener: (error: unknown) => void): unknown;
  connect(): Promise<unknown>;
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>;
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
  destroy(): unknown;
};

/**
 * Sessions with Redis or Valkey for the table of `backend`; `instance` is how this balancer signs what it tells. The
 * library is loaded when the first session opens.
 */
export function redisSessions(config: SharedConfig, backend: string, instance: string): OpenSession {
  return async (events) => {
    const client = newClient(await import('@redis/client'), config);
    return open(client, events, backend, instance);
  };
}

async function open(client: Client, events: SessionEvents, backend: string, instance: string): Promise<Session> {
  const channel = channelOf(backend);
  let failure: string | undefined;
  let closed = false;
  const close = (): void => {
    if (closed) return;
    closed = true;
    // It throws, or rejects, where there is nothing to close.
    try {
      void Promise.resolve(client.destroy()).catch(() => {});
    } catch {}
  };
  client.on('error', (error) => {
    failure ??= faultOf(error);
    if (!closed) events.lost(failure);
  });
  try {
    await client.connect();
    await client.subscribe(channel, (message) => {
      if (!closed) events.told(message);
    });
  } catch (error) {
    close();
    throw new Error(failure ?? faultOf(error), { cause: error });
  }
  const ask = async (script: string, keys: string[], args: string[]): Promise<string[]> => {
    try {
      return ((await client.eval(script, { keys, arguments: args })) as unknown[]).map(String);
    } catch (error) {
      throw new Error(faultOf(error), { cause: error });
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

function newClient({ createClient, createCluster, createSentinel }: typeof Redis, config: SharedConfig): Client {
  const { kind, hosts, master, database } = config;
  const plain = optionsOf(config);
  const common = { ...plain, ...loginOf(config) };
  const [first] = hosts;
  if (!first) throw new TypeError('a shared table without an address');
  switch (kind) {
    case 'server':
      return createClient({ ...common, database, socket: { ...common.socket, ...first } });
    case 'sentinel':
      return createSentinel({
        name: master,
        sentinelRootNodes: [...hosts],
        scanInterval: SCAN_MS,
        // What has failed is tried again by whoever asked, who has a deadline.
        maxCommandRediscovers: 1,
        passthroughClientErrorEvents: true,
        nodeClientOptions: { ...common, database },
        sentinelClientOptions: plain,
      });
    case 'cluster':
      return createCluster({
        rootNodes: hosts.map((host) => ({ socket: { ...common.socket, ...host } })),
        defaults: common,
      });
  }
}

/** Sentinels are asked without. */
function loginOf({ user, passwordFile, password = passwordFile?.content }: SharedConfig) {
  return { ...(user !== undefined && { username: user }), ...(password !== undefined && { password }) };
}

function optionsOf(config: SharedConfig) {
  const { tls, ca, cert, key } = config;
  const secured = {
    tls: true as const,
    ...(ca && { ca: ca.content }),
    ...(cert && { cert: cert.content }),
    ...(key && { key: key.content }),
  };
  return {
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: 'disabled' as const,
    socket: {
      connectTimeout: CONNECT_MS,
      // A session that is lost is over: the next is another.
      reconnectStrategy: false as const,
      lookup: lookupOwn,
      ...(tls ? secured : {}),
    },
  };
}

/** A socket that is given a name would ask the system for it, which nothing can end. */
const lookupOwn: LookupFunction = (name, options, found) => {
  const look = async (): Promise<void> => {
    const { addresses } = await lookUp(name);
    const all = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    if (options.all === true) found(null, all);
    else found(null, all[0]?.address ?? '', all[0]?.family ?? 4);
  };
  look().catch((error: Error) => found(error, ''));
};

/** One line; what Redis and the library say names hosts and commands, never a secret or a client. */
function faultOf(error: unknown): string {
  const { message = '', code } = error as { message?: string; code?: string };
  const [line = ''] = message.split('\n');
  return (line === '' ? (code ?? 'it failed without a word') : line).slice(0, 200);
}

import type { LookupFunction } from 'node:net';
import type * as Redis from '@redis/client';
import type { SharedConfig } from '../../config/shared-table.ts';
import { formatEndpoint, type Endpoint } from '../../config/values.ts';
import { lookUp } from '../../names/look-up.ts';
import { certificateFault, isCertificateCode, tlsFault, wrongNameFault } from '../probe/faults.ts';
import { keyOf } from './words.ts';

/** A server that has not let us in within this time is as good as none. */
const CONNECT_MS = 1_000;
/** Of nodes that each name another as the owner of a key. */
const MOST_REDIRECTIONS = 5;

/** What is used of a connection. */
export type Client = {
  on(event: 'error', listener: (error: unknown) => void): unknown;
  connect(): Promise<unknown>;
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>;
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
  sendCommand(words: string[]): Promise<unknown>;
  destroy(): unknown;
};

export type Reached = {
  readonly client: Client;
  /** Whether the table is still there, as far as somebody else knows; undefined where nobody does. */
  readonly isThere: (() => Promise<boolean>) | undefined;
};

/**
 * Connects with the server that has the table of `backend` now. It is asked for by `config`'s Sentinels, or nodes of a
 * cluster, one after another; with another `turn`, another is the first, so that one who hangs is in nobody's way for
 * long.
 */
export async function reach(
  { createClient }: typeof Redis,
  config: SharedConfig,
  backend: string,
  turn: number,
): Promise<Reached> {
  const { kind, hosts, master, database } = config;
  const connect = async (place: Endpoint, credentials: object): Promise<Client> => {
    const plain = optionsOf(config);
    try {
      return await connected(
        createClient({ ...plain, ...credentials, database, socket: { ...plain.socket, ...place } }),
      );
    } catch (error) {
      throw new Error(faultOf(error, config.cert !== undefined), { cause: error });
    }
  };
  const enter = (place: Endpoint): Promise<Client> => connect(place, loginOf(config));
  const from = turn % hosts.length;
  const asked = [...hosts.slice(from), ...hosts.slice(0, from)];
  switch (kind) {
    case 'server':
      return { client: await firstOf(asked, enter), isThere: undefined };
    case 'cluster':
      return { client: await firstOf(asked, (place) => owner(place, enter, backend)), isThere: undefined };
    case 'sentinel': {
      const ask = (place: Endpoint): Promise<Endpoint> => masterOf(master, connect(place, sentinelLoginOf(config)));
      const place = await firstOf(asked, ask);
      const isThere = async (): Promise<boolean> => formatEndpoint(await firstOf(asked, ask)) === formatEndpoint(place);
      return { client: await firstOf([place], enter), isThere };
    }
  }
}

/** What the first of the `places` says that says anything. */
async function firstOf<T>(places: readonly Endpoint[], ask: (place: Endpoint) => Promise<T>): Promise<T> {
  const faults: string[] = [];
  for (const place of places) {
    try {
      return await ask(place);
    } catch (error) {
      faults.push(`${formatEndpoint(place)}: ${faultOf(error)}`);
    }
  }
  throw new Error(faults.join('; '));
}

/** Where the master is that Sentinels call `name`, as one of them says. */
async function masterOf(name: string, connecting: Promise<Client>): Promise<Endpoint> {
  const sentinel = await connecting;
  try {
    const answer = await inTime(sentinel.sendCommand(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name]));
    if (!Array.isArray(answer)) throw new Error(`it knows no master ${name}`);
    return { host: String(answer[0]), port: Number(answer[1]) };
  } finally {
    sentinel.destroy();
  }
}

/** Connects with the node that has the keys of `backend`: all of them are on one. */
async function owner(
  place: Endpoint,
  enter: (place: Endpoint) => Promise<Client>,
  backend: string,
  left = MOST_REDIRECTIONS,
): Promise<Client> {
  const client = await enter(place);
  let fault: string;
  try {
    await inTime(client.sendCommand(['GET', keyOf(backend, '')]));
    return client;
  } catch (error) {
    client.destroy();
    fault = faultOf(error);
  }
  const [, host, port] = /^MOVED \d+ (.*):(\d+)$/.exec(fault) ?? [];
  if (port === undefined || left === 0) throw new Error(fault);
  // A node that does not know the host of another says nothing, or `?`: the port is another on its own host.
  const next = { host: host === undefined || host === '' || host === '?' ? place.host : host, port: Number(port) };
  return firstOf([next], (there) => owner(there, enter, backend, left - 1));
}

/** Connected, or destroyed. */
async function connected(client: Client): Promise<Client> {
  let failure: unknown;
  // The first that is said is why: what follows says only that the connection is closed.
  client.on('error', (error) => (failure ??= error));
  const connecting = client.connect();
  try {
    await inTime(connecting);
    return client;
  } catch (error) {
    const end = (): void => destroy(client);
    end();
    // It may come about all the same, since nothing ends a connect.
    connecting.then(end, () => {});
    throw failure ?? error;
  }
}

/** It throws where there is nothing to end. */
export function destroy(client: Client): void {
  try {
    client.destroy();
  } catch {}
}

async function inTime<T>(answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${CONNECT_MS} ms`)), CONNECT_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

const login = (username: string | undefined, password: string | undefined) => ({
  ...(username !== undefined && { username }),
  ...(password !== undefined && { password }),
});

const loginOf = ({ user, passwordFile, password = passwordFile?.content }: SharedConfig) => login(user, password);

const sentinelLoginOf = ({
  sentinelUser,
  sentinelPasswordFile,
  sentinelPassword = sentinelPasswordFile?.content,
}: SharedConfig) => login(sentinelUser, sentinelPassword);

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

/** One line, which names hosts and commands, never a secret or a client; `shown`: a certificate of this side. */
export function faultOf(error: unknown, shown = false): string {
  const { message = '', code = '' } = error as { message?: string; code?: string };
  const [line = ''] = (tlsWords(error as TlsError, code, shown) ?? message).split('\n');
  return (line === '' ? code || 'it failed without a word' : line).slice(0, 300);
}

type TlsError = Error & { readonly host?: string; readonly cert?: { readonly subjectaltname?: string } };

function tlsWords(error: TlsError, code: string, shown: boolean): string | undefined {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return wrongNameFault(`${error.host}`, error.cert?.subjectaltname).what;
  return (isCertificateCode(code) ? certificateFault(code) : tlsFault(error, shown))?.what;
}

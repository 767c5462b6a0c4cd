import { isIP } from 'node:net';
import * as z from 'zod';
import type { Backend } from '../pool/backend.ts';
import { normaliseAddress } from '../pool/client-key.ts';
import type { Server } from '../pool/server.ts';
import type { View } from '../view.ts';
import { findBackend, findServer } from './find.ts';
import { Refusal } from './route.ts';

/** The parameters that name a backend and a server of it. */
export const placeQuery = {
  backend: z.string().optional().describe('Only of this backend'),
  server: z.string().optional().describe('Only of this server: BACKEND/SERVER, or SERVER beside backend'),
};

/** What a call is about: of all backends where none is named, and of all servers where none is. */
export type Place = { readonly backends: readonly Backend[]; readonly server: Server | undefined };

/** What `backend` and `server` name; a 404 says what there is. */
export function placeOf(
  view: View,
  { backend, server }: { readonly backend?: string | undefined; readonly server?: string | undefined },
): Place | Refusal {
  const slash = server?.indexOf('/') ?? -1;
  const [of, name] = slash < 0 ? [backend, server] : [server?.slice(0, slash), server?.slice(slash + 1)];
  if (backend !== undefined && of !== backend) return new Refusal(400, `backend and server name two backends`);
  if (of === undefined) {
    if (name === undefined) return { backends: view.backends, server: undefined };
    return new Refusal(400, 'a server needs its backend: server=BACKEND/SERVER');
  }
  const found = findBackend(view, of);
  if (found instanceof Refusal) return found;
  const one = name === undefined ? undefined : findServer(found, name);
  return one instanceof Refusal ? one : { backends: [found], server: one };
}

const CLIENT = 'expected an address, a network such as 10.0.0.0/24, ADDRESS:PORT or unix';

/** A client, as lists and the log have it: an address, with its port or without, a key of the table, or `unix`. */
export const client = () =>
  z.string({ error: CLIENT }).refine((text) => text === 'unix' || isIP(addressIn(text)) !== 0, { error: CLIENT });

/** The address in any spelling of a client, normalised. */
export function addressIn(text: string): string {
  const [literal = ''] = text.split('/', 1);
  const inBrackets = /^\[(.*)\](?::\d+)?$/.exec(literal)?.[1];
  const address = inBrackets ?? (/^[^:]+:\d+$/.test(literal) ? literal.slice(0, literal.indexOf(':')) : literal);
  return normaliseAddress(address);
}

/** Whether `wanted` means the client that lists call `given`, and whose key is `key`. */
export function isClient(wanted: string, given: string, key: string | undefined): boolean {
  return wanted === given || wanted === key || (isIP(wanted) !== 0 && addressIn(given) === normaliseAddress(wanted));
}

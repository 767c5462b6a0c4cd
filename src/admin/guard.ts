import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import type { Config } from '../config/schema.ts';
import { Refusal } from './route.ts';

/** Pages of these origins may ask: the dashboard's own, and none where the operator typed the address. */
const OWN_SITES = ['same-origin', 'none'];

/**
 * Why a request is refused that a page of another site may have sent: a browser says the Origin of that site, and what
 * the page is to this address (Sec-Fetch-Site). A page whose name was rebound to this address (DNS rebinding) sends
 * that name as Host.
 */
export function foreign(headers: IncomingHttpHeaders, admin: Config['admin']): Refusal | undefined {
  const site = headers['sec-fetch-site'];
  if (typeof site === 'string' && !OWN_SITES.includes(site)) return new Refusal(403, 'asked by a page of another site');
  return rebound(headers, admin);
}

/** The same for what any page may link to, since it says nothing of what runs: the files of the dashboard. */
export function rebound({ origin, host = '' }: IncomingHttpHeaders, admin: Config['admin']): Refusal | undefined {
  const guarded = secretOf(admin) !== undefined;
  // Where a token is set, a proxy may stand before this address and speak TLS.
  const own = guarded ? [`http://${host}`, `https://${host}`] : [`http://${host}`];
  if (origin !== undefined && !own.includes(origin)) return new Refusal(403, 'foreign Origin');
  // Whoever knows the token is no page that was rebound.
  if (guarded) return undefined;
  const name = host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  if (name === 'localhost' || isIP(name) !== 0) return undefined;
  return new Refusal(403, 'Host must be an IP address or localhost');
}

/** Why a request is refused that does not say the token, where there is one. */
export function unauthorised({ authorization = '' }: IncomingHttpHeaders, admin: Config['admin']): Refusal | undefined {
  const secret = secretOf(admin);
  if (secret === undefined) return undefined;
  const given = /^Bearer (.+)$/i.exec(authorization)?.[1] ?? '';
  if (sameSecret(given, secret)) return undefined;
  return new Refusal(401, 'the token is missing or wrong', { 'www-authenticate': 'Bearer realm="berth"' });
}

function secretOf(admin: Config['admin']): string | undefined {
  return admin?.token ?? admin?.tokenFile?.content;
}

/** Compares in constant time, whatever the lengths. */
function sameSecret(given: string, secret: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(secret));
}

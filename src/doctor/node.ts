import { printable } from '../config/locate.ts';
import type { Endpoint } from '../config/values.ts';

/** No step of the audit takes longer. */
export const STEP_MS = 5_000;

export type Credentials = { readonly user: string; readonly password: string };

/** How clients see the cluster; the same for all nodes. */
export type Audience = {
  /** The public name: SNI, and what certificates are for. */
  readonly name: string;
  /** The name as clients write it, with a port where they need one: the Host header. */
  readonly authority: string;
  /** PEM of the authorities that clients trust. */
  readonly authorities: string;
  readonly credentials: Credentials | undefined;
};

/** One address of one server. */
export type Node = { readonly label: string; readonly endpoint: Endpoint; readonly audience: Audience };

/** How long a storage that lags is waited for, and whether the operator still wants to know: an abort ends every wait. */
export type Patience = { readonly waitMs: number; readonly signal: AbortSignal };

/** What a node said, fit to be shown: one line, and without the password, which a hostile node may say back. */
export function quoted(node: { readonly audience: Pick<Audience, 'credentials'> }, text: string): string {
  const { credentials } = node.audience;
  if (!credentials) return printable(text);
  const { password } = credentials;
  const secrets = [basic(credentials), password, encodeURIComponent(password), JSON.stringify(password).slice(1, -1)];
  return printable(secrets.reduce((shown, secret) => shown.replaceAll(secret, '***'), text));
}

/** The credentials as they travel (RFC 7617). */
export function basic({ user, password }: Credentials): string {
  return Buffer.from(`${user}:${password}`).toString('base64');
}

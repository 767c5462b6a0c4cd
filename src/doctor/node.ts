import type { SecureContext } from 'node:tls';
import { printable } from '../config/locate.ts';
import type { Endpoint } from '../config/values.ts';
import type { BearerChallenge } from '../pool/probe/challenge.ts';
import type { Fetched } from '../pool/probe/fetch-token.ts';

/** Each question to a node ends within this time, with a reply or without. */
export const STEP_MS = 5_000;

export type Credentials = { readonly user: string; readonly password: string };

/** Where the tokens come from that nodes are shown. */
export type TokenSource = {
  /** A token for what is asked at `path`. Never rejects. */
  get(challenge: BearerChallenge, path: string): Promise<Fetched>;
  /** Every token that was given: none may be in any text. */
  readonly given: readonly string[];
};

/** The cluster as its clients know it; the same for all nodes. */
export type Audience = {
  /** The public name, without a port: the doctor sends it as SNI and expects it in certificates. */
  readonly name: string;
  /** The public name as clients write it, with a port where clients need a port: the Host header. */
  readonly authority: string;
  /** PEM of the authorities that clients trust. */
  readonly authorities: string;
  readonly credentials: Credentials | undefined;
  /** What the doctor shows to nodes that ask their clients for a certificate: PEM. */
  readonly clientCertificate?: { readonly cert: string; readonly key: string } | undefined;
  /** Made of `authorities` and `clientCertificate`, once: to read the authorities of a system takes tens of ms. */
  readonly secureContext?: () => SecureContext;
  /** The tokens of this audit, where a node wants tokens. */
  readonly tokens?: TokenSource;
};

/** A registry node: one address of one server. `label` names it in findings. */
export type Node = {
  readonly label: string;
  readonly endpoint: Endpoint;
  readonly audience: Audience;
  /** How the node wants its clients to fetch a token; undefined where it wants none, or is not known to want one. */
  readonly challenge?: BearerChallenge;
};

/** How long the audit waits for a storage that lags; when `signal` aborts, every wait ends and rejects. */
export type Patience = { readonly waitMs: number; readonly signal: AbortSignal };

/** What a node said, as one printable line, without the password and tokens, which a hostile node may send back. */
export function quoted(node: { readonly audience: Pick<Audience, 'credentials' | 'tokens'> }, text: string): string {
  const { credentials, tokens } = node.audience;
  if (!credentials) return printable(text);
  const { password } = credentials;
  const spelled = [basic(credentials), password, encodeURIComponent(password), JSON.stringify(password).slice(1, -1)];
  const secrets = [...(tokens?.given ?? []), ...spelled];
  return printable(secrets.reduce((shown, secret) => shown.replaceAll(secret, '***'), text));
}

/** The credentials as the Authorization header carries them (RFC 7617). */
export function basic({ user, password }: Credentials): string {
  return Buffer.from(`${user}:${password}`).toString('base64');
}

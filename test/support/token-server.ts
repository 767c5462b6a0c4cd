/** A token server over https, as registries in token mode send their clients to (distribution: spec/auth/token.md). */
import { createPrivateKey, randomUUID, sign, X509Certificate, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { join } from 'node:path';
import type { Cluster } from './cluster.ts';
import { listenBeside } from './tls-proxy.ts';

const ISSUER = 'Berth test token server';
const SERVICE = 'registry.test';

/** A key that tokens are signed with, and its certificate, which nodes have as their `rootcertbundle`. */
export type SigningKey = { readonly bundle: string; readonly key: string; readonly kind: 'rsa' | 'ec' };

/** What the token server does; a test may change it at any time. */
export type TokenManners = {
  signedWith: SigningKey;
  lifeS: number;
  /** What it does to everybody who asks, instead of its work. */
  instead?: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
};

export type TokenServer = {
  readonly realm: string;
  readonly manners: TokenManners;
  /** The scopes that were asked for. */
  readonly asked: (string | null)[];
  /** Every token that was given: none may be in any output. */
  readonly given: string[];
  /** The `auth` section of a node whose tokens come from here, signed with such a key. */
  auth(key?: SigningKey, changes?: object): Record<string, Record<string, unknown>>;
};

export async function makeSigningKey(cluster: Cluster, name: string, kind: 'rsa' | 'ec'): Promise<SigningKey> {
  const at = (ending: string): string => join(cluster.workspace.dir, `${name}.${ending}`);
  const algorithm = kind === 'rsa' ? ['rsa:2048'] : ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  const files = ['-keyout', at('key'), '-out', at('crt'), '-days', '10', '-subj', `/CN=${name}`];
  await cluster.workspace.run('openssl', ['req', '-x509', '-nodes', '-newkey', ...algorithm, ...files]);
  return { bundle: at('crt'), key: at('key'), kind };
}

/** Lives as long as the cluster; takes the cluster's user. `certificate` is of the cluster's CA. */
export async function startTokenServer(cluster: Cluster, signedWith: SigningKey): Promise<TokenServer> {
  const manners: TokenManners = { signedWith, lifeS: 300 };
  const [asked, given]: [(string | null)[], string[]] = [[], []];
  const { certificate, key } = await cluster.certificate('good');
  const login = `Basic ${Buffer.from(`${cluster.user}:${cluster.password}`).toString('base64')}`;
  const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (request, response) => {
    const scope = new URL(request.url ?? '', 'https://x').searchParams.get('scope');
    asked.push(scope);
    if (manners.instead) return manners.instead(request, response);
    if (request.headers.authorization !== login) return void response.writeHead(401).end();
    const token = tokenFor(cluster.user, scope, manners);
    given.push(token);
    response.end(JSON.stringify({ token, expires_in: manners.lifeS }));
  });
  const realm = `https://localhost:${await listenBeside(cluster, server)}/token`;
  const auth: TokenServer['auth'] = (signer = signedWith, changes = {}) => ({
    auth: { token: { realm, service: SERVICE, issuer: ISSUER, rootcertbundle: signer.bundle, ...changes } },
  });
  return { realm, manners, asked, given, auth };
}

function tokenFor(user: string, scope: string | null, { signedWith, lifeS }: TokenManners): string {
  const [, type, name, actions = ''] = /^(\w+):(.+):([\w,*]+)$/.exec(scope ?? '') ?? [];
  const nowS = Math.floor(Date.now() / 1_000);
  const claims = {
    iss: ISSUER,
    sub: user,
    aud: SERVICE,
    jti: randomUUID(),
    iat: nowS,
    nbf: nowS - 10,
    exp: nowS + lifeS,
    access: name === undefined ? [] : [{ type, name, actions: actions.split(',') }],
  };
  const x5c = [new X509Certificate(readFileSync(signedWith.bundle)).raw.toString('base64')];
  const head = { typ: 'JWT', alg: signedWith.kind === 'rsa' ? 'RS256' : 'ES256', x5c };
  const signed = [head, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  const key: KeyObject = createPrivateKey(readFileSync(signedWith.key));
  const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}

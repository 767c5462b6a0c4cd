import { once } from 'node:events';
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls, type TLSSocket } from 'node:tls';
import type { HealthCheckConfig } from '../config/schema.ts';
import { formatDuration, formatEndpoint, type Endpoint } from '../config/values.ts';
import { connectFailure } from './failures.ts';
import type { Observation } from './health.ts';
import { buildProxyHeader } from './proxy-protocol.ts';

/** What a check saw. */
export type ProbeResult = Observation & {
  /** Until when the node's certificate is valid, in seconds since 1970; missing where the check saw no certificate. */
  readonly certificateExpiry?: number;
  /** Whether this machine lacked the resources to make the check, so that the result says nothing of the node. */
  readonly notMade?: boolean;
};

export type SendProxy = 'none' | 'v1' | 'v2';

/**
 * Checks the node at `endpoint`, to which `name` resolved. With `sendProxy` the check begins with a PROXY header that
 * names no client (UNKNOWN or LOCAL), because the balancer itself connects. Ends within `check.timeout`, or as soon as
 * `ended` aborts, and its result then says nothing of the node. Never rejects.
 */
export type Probe = (
  endpoint: Endpoint,
  name: string,
  check: HealthCheckConfig,
  sendProxy?: SendProxy,
  ended?: AbortSignal,
) => Promise<ProbeResult>;

/** A registry says in some hundred bytes that it does not know a repository. */
const LARGEST_BODY_BYTES = 64 << 10;
const LARGEST_HEADER_BYTES = 16 << 10;

/** The node has failed the check; the operator reads the message as the reason why the server is down. */
class CheckFailed extends Error {}

export const probe: Probe = async (endpoint, name, check, sendProxy = 'none', ended) => {
  const timeout = AbortSignal.timeout(check.timeout);
  const signal = ended ? AbortSignal.any([timeout, ended]) : timeout;
  const seen: { certificateExpiry?: number } = {};
  const node = { endpoint, name: serverName(check) ?? name, check, sendProxy, signal, seen };
  let step = '';
  try {
    if (check.type === 'tcp') (await open(node)).destroy();
    if (check.type === 'http') await expectStatus(node, check.path ?? '/', check.expect ?? [{ from: 200, to: 399 }]);
    if (check.type === 'registry') await expectStatus(node, '/v2/', V2_STATUSES);
    if (check.type === 'registry' && check.storage !== false) {
      const path = `/v2/${check.storage.repository}/tags/list`;
      step = `GET ${path}: `;
      await expectStorage(node, path, check.storage);
    }
    return { ok: true, ...seen };
  } catch (error) {
    if (signal.aborted)
      return { ok: false, reason: `${step}no answer within ${formatDuration(check.timeout)}`, ...seen };
    if (error instanceof CheckFailed) return { ok: false, reason: error.message, ...seen };
    const { reason, text } = connectFailure(error as NodeJS.ErrnoException);
    return { ok: false, reason: text, ...(reason === 'resources' ? { notMade: true } : {}), ...seen };
  }
};

type Node = {
  readonly endpoint: Endpoint;
  readonly name: string;
  readonly check: HealthCheckConfig;
  readonly sendProxy: SendProxy;
  readonly signal: AbortSignal;
  readonly seen: { certificateExpiry?: number };
};
type Statuses = readonly { readonly from: number; readonly to: number }[];
type Storage = Exclude<HealthCheckConfig['storage'], false>;

/** A check has no login, and a registry with users replies 401 to requests without a login. */
const V2_STATUSES: Statuses = [
  { from: 200, to: 200 },
  { from: 401, to: 401 },
];

function serverName({ tls }: HealthCheckConfig): string | undefined {
  return tls === false ? undefined : tls.serverName;
}

async function expectStatus(node: Node, path: string, expected: Statuses): Promise<void> {
  const { status } = await get(node, path);
  if (!expected.some(({ from, to }) => status >= from && status <= to))
    throw new CheckFailed(`GET ${path} answered ${status}`);
}

/** A registry says NAME_UNKNOWN only after it has asked its storage, so that storage works. */
async function expectStorage(node: Node, path: string, { user, passwordFile }: Storage): Promise<void> {
  const credentials = user === undefined ? undefined : `${user}:${passwordFile?.content ?? ''}`;
  const { status, body } = await get(node, path, credentials);
  if (status === 200 || (status === 404 && body.includes('NAME_UNKNOWN'))) return;
  const hint = status === 401 ? ': user or passwordFile is missing or wrong' : '';
  throw new CheckFailed(`GET ${path} answered ${status}${hint}`);
}

async function get(node: Node, path: string, credentials?: string): Promise<{ status: number; body: string }> {
  const socket = await open(node);
  try {
    const call = request({
      // With any `agent`, even `false`, Node would not call createConnection and would connect by itself.
      createConnection: () => socket,
      path,
      maxHeaderSize: LARGEST_HEADER_BYTES,
      signal: node.signal,
      headers: {
        host: formatEndpoint({ host: node.name, port: node.endpoint.port }),
        'user-agent': 'berth',
        connection: 'close',
        ...(credentials === undefined ? {} : { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` }),
      },
    });
    call.end();
    const response = await headersOf(call);
    // NAME_UNKNOWN in the body of a 404 is all that a check looks for in bodies.
    const body = response.statusCode === 404 ? await readCapped(response) : '';
    return { status: response.statusCode ?? 0, body };
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code.startsWith('HPE_')) throw new CheckFailed(`GET ${path}: the answer is not HTTP`, { cause: error });
    if (code === 'ECONNRESET') throw new CheckFailed(`GET ${path}: closed without an answer`, { cause: error });
    throw error;
  } finally {
    socket.destroy();
  }
}

/** The status line and headers; Node tells those of a 101 by the event 'upgrade'. */
function headersOf(call: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    call.on('response', resolve).on('upgrade', resolve).on('error', reject);
  });
}

async function readCapped(response: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of response as AsyncIterable<Buffer>) {
    body += chunk.toString('latin1');
    if (body.length > LARGEST_BODY_BYTES) break;
  }
  return body;
}

/** A connected socket, over TLS where the check asks for it. The caller destroys it. */
async function open({ endpoint, name, check, sendProxy, signal, seen }: Node): Promise<Socket> {
  const socket = connectTcp({ ...endpoint, autoSelectFamily: false, signal });
  await once(socket, 'connect');
  // Whoever reads the socket gets its errors; an error after the last read must not end the process.
  socket.on('error', () => {});
  if (sendProxy !== 'none') socket.write(buildProxyHeader(sendProxy, undefined, undefined));
  if (check.tls === false) return socket;
  const { tls } = check;
  const secure = connectTls({
    socket,
    ALPNProtocols: ['http/1.1'],
    // judgeCertificate decides instead: the expiry date of a bad certificate is worth knowing too.
    rejectUnauthorized: false,
    // judgeCertificate decides this too: where the name is an address, Node would look for "localhost".
    checkServerIdentity: () => undefined,
    ...(tls.ca ? { ca: tls.ca.content } : {}),
    ...(isIP(name) === 0 ? { servername: name } : {}),
  });
  // An abort makes `secure` fail twice, through its socket and by `stop`: `once` hears the first error, and the second
  // must not end the process.
  secure.on('error', () => {});
  const stop = (): void => void secure.destroy(new Error('aborted'));
  signal.addEventListener('abort', stop, { once: true });
  secure.once('close', () => signal.removeEventListener('abort', stop));
  try {
    await once(secure, 'secureConnect');
  } catch (error) {
    socket.destroy();
    throw new CheckFailed(`TLS: ${tlsReason(error as Error & { reason?: string })}`, { cause: error });
  }
  judgeCertificate(secure, name, tls.verify, seen);
  return secure;
}

function judgeCertificate(secure: TLSSocket, name: string, verify: boolean, seen: Node['seen']): void {
  const certificate = secure.getPeerCertificate();
  const expiryMs = Date.parse(certificate.valid_to);
  if (!Number.isNaN(expiryMs)) seen.certificateExpiry = expiryMs / 1_000;
  if (!verify) return;
  // Node's types call `authorizationError` an Error; it holds the code that OpenSSL gave.
  const code = secure.authorizationError as unknown as string | undefined;
  const fault = code ? (CERTIFICATE_FAULTS[code] ?? code) : checkServerIdentity(name, certificate)?.message;
  if (fault === undefined) return;
  secure.destroy();
  throw new CheckFailed(`TLS: ${fault}`);
}

/** The words of OpenSSL for its codes: Node passes on the codes alone. */
const CERTIFICATE_FAULTS: Record<string, string> = {
  CERT_HAS_EXPIRED: 'certificate has expired',
  CERT_NOT_YET_VALID: 'certificate is not yet valid',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'self-signed certificate',
  SELF_SIGNED_CERT_IN_CHAIN: 'self-signed certificate in the chain',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'certificate is signed by an unknown authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'certificate is signed by an unknown authority',
  UNABLE_TO_GET_ISSUER_CERT: 'certificate is signed by an unknown authority',
};

function tlsReason({ message, reason, ...error }: Error & { reason?: string; code?: string }): string {
  if (reason === 'wrong version number' || reason === 'packet length too long') return 'the server does not speak TLS';
  if (error.code === 'ECONNRESET') return 'closed during the handshake';
  return reason ?? message;
}

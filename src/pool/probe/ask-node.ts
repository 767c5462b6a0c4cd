import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { HealthCheckConfig } from '../../config/schema.ts';
import { formatEndpoint, type Route } from '../../config/values.ts';
import { buildProxyHeader } from '../proxy-protocol.ts';
import { exchange, type Answer } from './exchange.ts';
import { badRequestFault, handshakeFault, httpFault, inWords, tlsFault } from './faults.ts';
import { identityFault, shakeHands } from './secure.ts';

/** The node has failed the check; the operator reads the message as the reason why the server is down. */
export class CheckFailed extends Error {}

export type SendProxy = 'none' | 'v1' | 'v2';

/** The node that a check is about. */
export type CheckedNode = {
  readonly endpoint: Route;
  /** What the configuration or DNS calls the node. */
  readonly name: string;
  readonly check: HealthCheckConfig;
  readonly sendProxy: SendProxy;
  /** What the check has learnt on the way. */
  readonly seen: { certificateExpiry?: number };
};

/** A registry says in some hundred bytes that it does not know a repository. */
const LARGEST_BODY_BYTES = 64 << 10;
/** NAME_UNKNOWN in a 404, and what a 400 tells of TLS, is all that a check looks for in bodies. */
const mostBytes = (status: number): number => (status === 404 || status === 400 ? LARGEST_BODY_BYTES : 0);

/** GET on a connection of its own. Throws CheckFailed, an error of the connect, or what `signal` aborts with. */
export async function get(
  node: CheckedNode,
  path: string,
  signal: AbortSignal,
  authorization?: string,
): Promise<Answer> {
  const socket = await open(node, signal);
  try {
    const inquiry = { path, host: hostHeader(node), agent: 'berth', authorization, mostBytes } as const;
    const answer = await exchange(socket, inquiry, signal);
    const fault = answer.status === 400 ? badRequestFault(answer.body.toString('latin1')) : undefined;
    if (fault) throw new CheckFailed(`GET ${path} answered 400: ${inWords(fault)}`);
    return answer;
  } catch (error) {
    if (signal.aborted || error instanceof CheckFailed) throw error;
    const fault = httpFault(error as Error) ?? tlsFault(error as Error, hasCertificate(node.check));
    throw fault ? new CheckFailed(`GET ${path}: ${inWords(fault)}`, { cause: error }) : error;
  } finally {
    socket.destroy();
  }
}

/** A connected socket, over TLS where the check asks for it. The caller destroys it. Throws as `get` does. */
export async function open(node: CheckedNode, signal: AbortSignal): Promise<Socket> {
  const { endpoint, check, sendProxy } = node;
  const socket = connect({ ...endpoint, autoSelectFamily: false, signal });
  await once(socket, 'connect');
  // Whoever reads the socket gets its errors; an error after the last read must not end the process.
  socket.on('error', () => {});
  if (sendProxy !== 'none') socket.write(buildProxyHeader(sendProxy, undefined, undefined));
  return check.tls === false ? socket : openTls(node, socket, check.tls, signal);
}

type Tls = Exclude<HealthCheckConfig['tls'], false>;

async function openTls(node: CheckedNode, socket: Socket, tls: Tls, signal: AbortSignal): Promise<Socket> {
  const name = tls.serverName ?? node.name;
  const { ca, cert, key, verify } = tls;
  const material = {
    ...(ca ? { ca: ca.content } : {}),
    ...(cert && key ? { cert: cert.content, key: key.content } : {}),
  };
  try {
    const secure = await shakeHands(socket, { name, ...material }, signal);
    const expiryMs = Date.parse(secure.getPeerCertificate().valid_to);
    if (!Number.isNaN(expiryMs)) node.seen.certificateExpiry = expiryMs / 1_000;
    const fault = verify ? identityFault(secure, name) : undefined;
    if (!fault) return secure;
    secure.destroy();
    throw new CheckFailed(`TLS: ${inWords(fault)}`);
  } catch (error) {
    if (signal.aborted || error instanceof CheckFailed) throw error;
    const fault = handshakeFault(error as Error, hasCertificate(node.check));
    throw new CheckFailed(`TLS: ${inWords(fault)}`, { cause: error });
  }
}

function hasCertificate({ tls }: HealthCheckConfig): boolean {
  return tls !== false && tls.cert !== undefined;
}

/** A node may answer in the name of several hosts, of which the address is none. */
function hostHeader({ check, name, endpoint }: CheckedNode): string {
  const serverName = check.tls === false ? undefined : check.tls.serverName;
  return check.host || (serverName ?? formatEndpoint({ host: name, port: endpoint.port }));
}

import { existsSync, lstatSync, unlinkSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type ListenOptions, type Server } from 'node:net';
import { dirname } from 'node:path';
import { formatEndpoint, type Bind } from '../config/values.ts';
import { StartError } from '../errors.ts';
import { NameFault } from '../names/look-up.ts';
import { FaultyBind, type BindError } from './bind-error.ts';
import { permit, type UnixBind } from './unix.ts';

/** Connections that the kernel holds until they are accepted; net.core.somaxconn bounds them. */
const BACKLOG = 4096;

const LOW_PORTS =
  'Ports below 1024 need CAP_NET_BIND_SERVICE (setcap cap_net_bind_service=+ep on the node binary, or ' +
  'AmbientCapabilities in a systemd unit) or root';
const SOMEBODY_ELSES = 'another process listens there. Stop it, or bind another address';
const NOT_SHARED =
  'a process listens there that does not share the port with this one. Each of them needs reusePort, and the same user';
const NOT_HERE =
  'this machine does not have that address. If it comes later (a VIP of keepalived), set net.ipv4.ip_nonlocal_bind=1 ' +
  '(IPv6: net.ipv6.ip_nonlocal_bind=1) with sysctl';

const NO_INTERFACE = 'a link-local address needs its interface, as [fe80::1%eth0]:443';

/** Node 20 ignores `reusePort`, and its types do not have it. */
type Options = ListenOptions & { readonly fd?: number; readonly reusePort?: boolean };

/**
 * Listens on `bind`. `*` is one dual-stack socket, or IPv4 alone where the machine has no IPv6. A unix socket's path
 * that nobody answers at any more is taken over. A descriptor that was inherited takes the place of `bind`. Rejects
 * with a BindError.
 */
export async function listen(server: Server, bind: Bind, inheritedFd?: number): Promise<void> {
  if (inheritedFd !== undefined) return tryListen(server, { fd: inheritedFd, backlog: BACKLOG });
  if (bind.kind === 'unix') return listenUnix(server, bind);
  const options = optionsFor(bind);
  try {
    await tryListen(server, options);
  } catch (error) {
    const { code = '' } = error as BindError;
    if (bind.host !== '*' || !['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes(code)) throw error;
    await tryListen(server, { ...options, host: '0.0.0.0', ipv6Only: false });
  }
}

/** Where a server listens, with the port that a bind to port 0 was given. */
export function listeningAddress(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === 'string') return `unix:${address ?? ''}`;
  return address.family === 'IPv6' ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}

/** Where a server will listen that is opened later. */
export function intendedAddress(bind: Bind): string {
  if (bind.kind === 'unix') return `unix:${bind.path}`;
  return formatEndpoint({ host: bind.host === '*' ? '::' : bind.host, port: bind.port });
}

function optionsFor(bind: Bind & { kind: 'tcp' }): Options {
  const host = bind.host === '*' ? '::' : bind.host;
  const shared = bind.reusePort === true ? { reusePort: true } : {};
  return { host, port: bind.port, ipv6Only: bind.host === '::', backlog: BACKLOG, ...shared };
}

async function listenUnix(server: Server, bind: UnixBind): Promise<void> {
  try {
    await makeUnix(server, bind);
  } catch (error) {
    const stale = codeOf(error as BindError, bind) === 'EADDRINUSE' && (await nobodyAnswers(bind.path));
    if (!stale) throw error;
    unlinkSync(bind.path);
    await makeUnix(server, bind);
  }
}

/** All in one turn, and closed to others meanwhile: nobody connects before the socket has its group and its mode. */
async function makeUnix(server: Server, bind: UnixBind): Promise<void> {
  const options = { path: bind.path, backlog: BACKLOG };
  if (bind.mode === undefined && bind.group === undefined) return tryListen(server, options);
  const umask = process.umask(0o177);
  try {
    const made = tryListen(server, options);
    if (server.listening) permit(bind);
    return made;
  } catch (error) {
    server.close();
    throw error;
  } finally {
    process.umask(umask);
  }
}

function tryListen(server: Server, options: Options): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(options, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** Rejects with a BindError where no port can be shared: `reusePort` of listen() came with Node 23.1 and 22.12. */
export async function mustShare(bind: Bind): Promise<void> {
  if (bind.kind !== 'tcp' || bind.reusePort !== true || (await sharesPorts())) return;
  throw new FaultyBind('ENOREUSE', `reusePort: this system shares no port (Node ${process.versions.node})`);
}

async function sharesPorts(): Promise<boolean> {
  const [one, other] = [createServer(), createServer()];
  try {
    await tryListen(one, { host: '127.0.0.1', port: 0, reusePort: true });
    await tryListen(other, { host: '127.0.0.1', port: (one.address() as AddressInfo).port, reusePort: true });
    return true;
  } catch {
    return false;
  } finally {
    one.close();
    other.close();
  }
}

/** Whether a socket's file has no process behind it. */
export function nobodyAnswers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => resolve(false));
    socket.on('connect', () => socket.destroy());
    socket.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'ECONNREFUSED'));
  });
}

/**
 * For a unix socket libuv says EACCES where the folder is missing, and EADDRINUSE whatever kind of file stands there.
 */
function codeOf({ code = 'UNKNOWN' }: NodeJS.ErrnoException, bind: Bind): string {
  if (bind.kind === 'tcp') return code;
  if (code === 'EACCES' && !existsSync(dirname(bind.path))) return 'ENOENT';
  const file = code === 'EADDRINUSE' ? lstatSync(bind.path, { throwIfNoEntry: false }) : undefined;
  return file && !file.isSocket() ? 'ENOTSOCK' : code;
}

/**
 * A StartError that says what an operator can do: `owner` wanted `bind`; `own` says what of this process is in its way.
 */
export function bindFault(error: BindError, bind: Bind, owner: string, own: string | undefined): StartError {
  const code = codeOf(error, bind);
  const port = bind.kind === 'tcp' ? bind.port : 0;
  const known: Record<string, string> = {
    EADDRINUSE: own ?? (bind.kind === 'tcp' && bind.reusePort === true ? NOT_SHARED : SOMEBODY_ELSES),
    EACCES: port > 0 && port < 1024 ? `permission denied. ${LOW_PORTS}` : 'permission denied',
    EADDRNOTAVAIL: NOT_HERE,
    EAFNOSUPPORT: 'this machine has no IPv6',
    EINVAL: /^\[fe[89ab][^%]*\]:/i.test(bind.text) ? NO_INTERFACE : error.message,
    ENOTSOCK: 'a file that is no socket stands there. Remove the file, or bind another path',
    ENOENT: 'the folder of the socket does not exist. Make the folder, or bind another path',
  };
  if (error instanceof NameFault)
    return new StartError(
      code,
      `cannot listen on ${bind.text} (${owner}): that name does not resolve: ${error.message}`,
      error,
    );
  const what = (error instanceof FaultyBind && code !== 'EADDRINUSE' ? undefined : known[code]) ?? error.message;
  return new StartError(code, `cannot listen on ${bind.text} (${owner}): ${what}`, error);
}

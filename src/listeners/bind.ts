import { existsSync, lstatSync, unlinkSync } from 'node:fs';
import { connect, type ListenOptions, type Server } from 'node:net';
import { dirname } from 'node:path';
import type { Bind } from '../config/values.ts';
import { StartError } from '../errors.ts';

/** Connections that the kernel holds until they are accepted; net.core.somaxconn bounds them. */
const BACKLOG = 4096;

const LOW_PORTS =
  'Ports below 1024 need CAP_NET_BIND_SERVICE (setcap cap_net_bind_service=+ep on the node binary, or ' +
  'AmbientCapabilities in a systemd unit) or root';

/** What Node says when it cannot listen; `address` is what a name was looked up as. */
export type BindError = NodeJS.ErrnoException & { readonly address?: string };

/**
 * Listens on `bind`. `*` is one dual-stack socket, or IPv4 alone where the machine has no IPv6. A unix socket's path
 * that nobody answers at any more is taken over. A descriptor that was inherited takes the place of `bind`. Rejects
 * with a BindError.
 */
export async function listen(server: Server, bind: Bind, inheritedFd?: number): Promise<void> {
  try {
    await tryListen(server, inheritedFd === undefined ? optionsFor(bind) : { fd: inheritedFd, backlog: BACKLOG });
  } catch (error) {
    const code = codeOf(error as NodeJS.ErrnoException, bind);
    const noIPv6 = bind.kind === 'tcp' && bind.host === '*' && ['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes(code);
    const stale = bind.kind === 'unix' && code === 'EADDRINUSE' && (await nobodyAnswers(bind.path));
    if (noIPv6) return tryListen(server, { host: '0.0.0.0', port: bind.port, backlog: BACKLOG });
    if (!stale) throw error;
    unlinkSync(bind.path);
    return tryListen(server, optionsFor(bind));
  }
}

/** Where a server listens, with the port that a bind to port 0 was given. */
export function listeningAddress(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === 'string') return `unix:${address ?? ''}`;
  return address.family === 'IPv6' ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}

function optionsFor(bind: Bind): ListenOptions {
  if (bind.kind === 'unix') return { path: bind.path, backlog: BACKLOG };
  const host = bind.host === '*' ? '::' : bind.host;
  return { host, port: bind.port, ipv6Only: bind.host === '::', backlog: BACKLOG };
}

function tryListen(server: Server, options: ListenOptions & { fd?: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(options, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function nobodyAnswers(path: string): Promise<boolean> {
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
 * A StartError that says what an operator can do: `owner` wanted `bind`; `own` is the bind of this process in its way.
 */
export function bindFault(error: BindError, bind: Bind, owner: string, own: Bind | undefined): StartError {
  const code = codeOf(error, bind);
  const port = bind.kind === 'tcp' ? bind.port : 0;
  const known: Record<string, string> = {
    EADDRINUSE: own
      ? `this balancer itself listens on ${own.text}; restart it to change that`
      : 'another process listens there. Stop it, or bind another address',
    EACCES: port > 0 && port < 1024 ? `permission denied. ${LOW_PORTS}` : 'permission denied',
    EADDRNOTAVAIL: 'this machine does not have that address',
    ENOTSOCK: 'a file that is no socket stands there',
    ENOENT: 'the folder of the socket does not exist',
    ENOTFOUND: 'that name does not resolve',
  };
  const what = known[code] ?? error.message;
  return new StartError(code, `cannot listen on ${bind.text} (${owner}): ${what}`, error);
}

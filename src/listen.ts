import { closeSync, existsSync, fstatSync, lstatSync, unlinkSync } from 'node:fs';
import { connect, type ListenOptions, type Server } from 'node:net';
import { dirname } from 'node:path';
import { bindsCollide, parseBind, type Bind } from './config/values.ts';
import { StartError } from './errors.ts';

/** The kernel cuts it to net.core.somaxconn. */
const BACKLOG = 4096;

/** What listens in this process, so that it does not take itself for another one. */
export class Listeners {
  readonly #binds = new Map<Server, Bind>();

  /**
   * Listens on `bind`; `owner` is named in what goes wrong. `*` is one dual-stack socket, or IPv4 alone where the machine has
   * no IPv6. A unix socket's path that nobody answers at any more is taken over. A descriptor that was inherited takes the
   * place of `bind`. Rejects with a StartError.
   */
  async listen(server: Server, bind: Bind, owner: string, inheritedFd?: number): Promise<void> {
    try {
      await listen(server, bind, inheritedFd);
    } catch (error) {
      throw fault(error as NodeJS.ErrnoException, bind, owner, this.#inTheWay(error as BindError, bind));
    }
    this.#binds.set(server, bind);
    // Not before its last connection has ended: until then `listening` says how it is.
    server.once('close', () => this.#binds.delete(server));
  }

  #inTheWay({ code, address }: BindError, wanted: Bind): Bind | undefined {
    if (code !== 'EADDRINUSE') return undefined;
    // A name that was looked up.
    const resolved =
      wanted.kind === 'tcp' && wanted.host !== '*' ? { ...wanted, host: address ?? wanted.host } : wanted;
    for (const [server, bind] of this.#binds) {
      const own = server.listening ? ownBind(server, bind) : undefined;
      if (own && bindsCollide(own, resolved)) return own;
    }
    return undefined;
  }
}

type BindError = NodeJS.ErrnoException & { readonly address?: string };

/** With the port that it was given and the address that its name has. */
function ownBind(server: Server, bind: Bind): Bind | undefined {
  const address = listeningAddress(server);
  return parseBind(bind.kind === 'tcp' && bind.host === '*' ? address.replace(/^.*:/, '*:') : address);
}

async function listen(server: Server, bind: Bind, inheritedFd?: number): Promise<void> {
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

type InheritedSocket = { readonly fd: number; readonly name: string };

/**
 * Sockets that systemd opened and keeps open while this process is replaced, so that a restart refuses nobody
 * (sd_listen_fds(3): LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES; the first descriptor is 3).
 */
export class InheritedSockets {
  readonly #sockets: InheritedSocket[] = [];

  constructor(env: NodeJS.ProcessEnv = process.env, pid: number = process.pid) {
    if (Number(env['LISTEN_PID']) !== pid) return;
    const names = env['LISTEN_FDNAMES']?.split(':') ?? [];
    for (let i = 0; i < Number(env['LISTEN_FDS']); i++) {
      // What is none is a descriptor of Node's own, and not ours to close.
      if (isSocket(3 + i)) this.#sockets.push({ fd: 3 + i, name: names[i] ?? '' });
    }
  }

  /** The descriptor that is called like the frontend, else one that is called like none of `frontends`; each is given once. */
  take(frontend: string, frontends: readonly string[]): number | undefined {
    const named = this.#sockets.findIndex(({ name }) => name === frontend);
    const index = named >= 0 ? named : this.#sockets.findIndex(({ name }) => !frontends.includes(name));
    return index < 0 ? undefined : this.#sockets.splice(index, 1)[0]?.fd;
  }

  /** Closes those that were not given to anybody, and tells which. */
  closeRest(): readonly InheritedSocket[] {
    const rest = this.#sockets.splice(0);
    for (const { fd } of rest) closeSync(fd);
    return rest;
  }
}

function isSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket();
  } catch {
    return false;
  }
}

/** Where it listens: the port that a bind to port 0 was given, too. */
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

/** For a unix socket libuv says EACCES where the folder is missing, and EADDRINUSE whatever kind of file stands there. */
function codeOf({ code = 'UNKNOWN' }: NodeJS.ErrnoException, bind: Bind): string {
  if (bind.kind === 'tcp') return code;
  if (code === 'EACCES' && !existsSync(dirname(bind.path))) return 'ENOENT';
  const file = code === 'EADDRINUSE' ? lstatSync(bind.path, { throwIfNoEntry: false }) : undefined;
  return file && !file.isSocket() ? 'ENOTSOCK' : code;
}

function fault(error: NodeJS.ErrnoException, bind: Bind, owner: string, own: Bind | undefined): StartError {
  const code = codeOf(error, bind);
  const port = bind.kind === 'tcp' ? bind.port : 0;
  const known: Record<string, string> = {
    EADDRINUSE: own
      ? `this balancer itself listens on ${own.text}; restart it to change that`
      : 'another process listens there. Stop it, or bind another address',
    EACCES:
      port > 0 && port < 1024
        ? 'permission denied. Ports below 1024 need CAP_NET_BIND_SERVICE (setcap cap_net_bind_service=+ep on the node binary, or AmbientCapabilities in a systemd unit) or root'
        : 'permission denied',
    EADDRNOTAVAIL: 'this machine does not have that address',
    ENOTSOCK: 'a file that is no socket stands there',
    ENOENT: 'the folder of the socket does not exist',
    ENOTFOUND: 'that name does not resolve',
  };
  const what = known[code] ?? error.message;
  return new StartError(code, `cannot listen on ${bind.text} (${owner}): ${what}`, error);
}

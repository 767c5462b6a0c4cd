import { closeSync, fstatSync } from 'node:fs';

export type InheritedSocket = { readonly fd: number; readonly name: string };

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
      // A descriptor that is no socket is Node's own, and not ours to close.
      if (isSocket(3 + i)) this.#sockets.push({ fd: 3 + i, name: names[i] ?? '' });
    }
  }

  /**
   * The descriptor that is called like the frontend, else one that is called like none of `frontends`; each is given
   * once.
   */
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

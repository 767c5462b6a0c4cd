import { createServer, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseBind, type Bind } from '../config/values.ts';
import type { BindError } from './bind-error.ts';
import { intendedAddress, listen, listeningAddress, mustShare } from './bind.ts';
import type { Owner, Parking, Site, Take } from './site.ts';
import { permit } from './unix.ts';

/**
 * To close a listener resets the connections in its backlog. If clients keep coming, a listener that is left stays open
 * for this long.
 */
const LEAVING_MS = 1_000;
/** Between two tries of a listener that the commit could not open. */
const AGAIN_MS = 200;

/** A listening socket. Until it serves its owner, connections that it accepts are parked. */
export class Listener {
  readonly #server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) =>
    this.#accept(socket),
  );
  readonly #parking: Parking;
  #bind: Bind;
  #owner: Owner;
  #take: Take | undefined;
  #parked: Socket[] = [];
  #accepted = 0;
  #inherited = false;
  #closed = false;
  #again: NodeJS.Timeout | undefined;

  constructor({ owner, bind }: Site, parking: Parking) {
    this.#owner = owner;
    this.#bind = bind;
    this.#parking = parking;
    // An accept may fail for want of memory; the next may not.
    this.#server.on('error', () => {});
  }

  get owner(): Owner {
    return this.#owner;
  }

  get accepted(): number {
    return this.#accepted;
  }

  /** Whether the socket is somebody else's too, who keeps it open when this process closes it. */
  get inherited(): boolean {
    return this.#inherited;
  }

  /** Where the listener is reached, or will be. */
  get address(): string {
    return this.#server.listening ? listeningAddress(this.#server) : intendedAddress(this.#bind);
  }

  /** The bind with the port that was given and the address that the name has. */
  get own(): Bind | undefined {
    const star = this.#bind.kind === 'tcp' && this.#bind.host === '*';
    return parseBind(star ? this.address.replace(/^.*:/, '*:') : this.address);
  }

  /** Rejects with a BindError. */
  async open(inheritedFd?: number): Promise<void> {
    this.#inherited = inheritedFd !== undefined;
    if (!this.#inherited) await mustShare(this.#bind);
    await listen(this.#server, this.#bind, inheritedFd);
  }

  /**
   * Opens, and tries again and again where somebody has taken the address meanwhile. `told` hears why, once for each
   * reason, and at last of the success.
   */
  async openAtLast(told: (error: BindError | undefined) => void, before?: string): Promise<void> {
    if (this.#closed) return;
    try {
      // In this very turn: whoever was in the way has just closed.
      await listen(this.#server, this.#bind);
      // It was given up meanwhile, when there was nothing to close yet.
      if (this.#closed) this.#server.close();
      if (before !== undefined) told(undefined);
    } catch (error) {
      const fault = error as BindError;
      if (fault.code !== before) told(fault);
      this.#again = setTimeout(() => void this.openAtLast(told, fault.code), AGAIN_MS);
    }
  }

  /** Gives a unix socket the mode and the group of `bind`. Returns how to undo that; throws a BindError. */
  permit(bind: Bind): () => void {
    const before = this.#bind;
    const changed = before.kind === 'unix' && bind.kind === 'unix' && permissions(before) !== permissions(bind);
    const undo = changed ? permit(bind) : undefined;
    this.#bind = bind;
    return () => {
      this.#bind = before;
      undo?.();
    };
  }

  serve({ owner, take }: Site): void {
    this.#owner = owner;
    this.#take = take;
    for (const socket of this.#unpark()) take(socket, this.#bind.kind === 'unix');
  }

  /** Listens no more. Who is in the backlog is reset; who is parked is closed. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#again);
    this.#server.close();
    for (const socket of this.#unpark()) socket.destroy();
  }

  #accept(socket: Socket): void {
    this.#accepted++;
    if (this.#take) return this.#take(socket, this.#bind.kind === 'unix');
    // The owner that gets the socket notices whether its client has left meanwhile.
    socket.on('error', () => {});
    if (this.#parking.enter()) this.#parked.push(socket);
    else socket.destroy();
  }

  /** Each socket leaves its place when its turn comes, so that its connection can have the place. */
  *#unpark(): Generator<Socket> {
    for (const socket of this.#parked.splice(0)) {
      this.#parking.leave();
      yield socket;
    }
  }
}

/**
 * Closes listeners, all in one turn, when their backlogs are empty. The loop takes one connection a turn, so a backlog
 * is empty when a few turns have passed without a connection.
 */
export async function leave(listeners: readonly Listener[]): Promise<void> {
  const deadlineMs = performance.now() + LEAVING_MS;
  const accepted = (): number => listeners.reduce((sum, listener) => sum + listener.accepted, 0);
  let seen = -1;
  while (seen !== accepted() && performance.now() < deadlineMs) {
    seen = accepted();
    for (let turn = 0; turn < 3; turn++) await nextTurn();
  }
  for (const listener of listeners) listener.close();
}

function permissions({ mode, group }: Bind & { kind: 'unix' }): string {
  return `${mode} ${group}`;
}

/** Clients that come to given addresses again and again, and can be told to pause: then no connection of theirs stands. */
import { setTimeout as sleep } from 'node:timers/promises';
import { whoServes } from './people.ts';

export type Visit = {
  readonly address: string;
  /** Who has served it, or why nobody has. */
  readonly by?: string;
  readonly fault?: string;
};

const A_WHILE_MS = 200;

export class Load {
  readonly #addresses: readonly string[];
  readonly #size: number;
  #visits: Visit[] = [];
  #loops: Promise<void>[] = [];
  #paused = true;

  constructor(addresses: readonly string[], size: number) {
    this.#addresses = addresses;
    this.#size = size;
  }

  goOn(): void {
    this.#paused = false;
    this.#visits = [];
    this.#loops = Array.from({ length: this.#size }, async (_, i) => {
      for (let step = i; !this.#paused; step++) await this.#visit(this.#addresses[step % this.#addresses.length]!, i);
    });
  }

  /** Until everybody may have come once, or for a short while where some of them are kept waiting, or none comes. */
  async aWhile(): Promise<void> {
    const [seen, until] = [this.#visits.length, performance.now() + A_WHILE_MS];
    while (!this.#paused && this.#visits.length < seen + 2 * this.#size && performance.now() < until) await sleep(5);
  }

  /** Resolves to the visits since it has gone on, when the last of them is over. */
  async pause(): Promise<readonly Visit[]> {
    this.#paused = true;
    await Promise.all(this.#loops);
    return this.#visits;
  }

  async #visit(address: string, client: number): Promise<void> {
    const [host = '', port] = address.split(':');
    const visit = await whoServes(Number(port), `127.1.0.${client + 1}`, host).then(
      (by): Visit => ({ address, by }),
      ({ message }: Error): Visit => ({ address, fault: message }),
    );
    this.#visits.push(visit);
  }
}

import type { ServerStatus } from './answers.ts';
import { History, niceTop } from './history.ts';

/** What the charts of a server draw. */
export type Past = { readonly held: History; readonly moved: History };

/** The last minutes of all servers of a backend, whether they are shown or not. */
export class Histories {
  readonly #pasts = new Map<string, Past>();

  add(servers: readonly ServerStatus[], nowMs: number): void {
    const names = new Set(servers.map(({ name }) => name));
    for (const name of this.#pasts.keys()) if (!names.has(name)) this.#pasts.delete(name);
    for (const { name, connections, bytesInPerSecond, bytesOutPerSecond } of servers) {
      const past = this.of(name);
      past.held.add(nowMs, [connections]);
      past.moved.add(nowMs, [bytesInPerSecond, bytesOutPerSecond]);
    }
  }

  of(name: string): Past {
    const known = this.#pasts.get(name);
    if (known) return known;
    const past = { held: new History(), moved: new History() };
    this.#pasts.set(name, past);
    return past;
  }

  /** One scale for all servers, so that their charts can be compared at a glance. */
  get tops(): { held: number; moved: number } {
    const pasts = [...this.#pasts.values()];
    return {
      held: niceTop(Math.max(0, ...pasts.map(({ held }) => held.most))),
      moved: niceTop(Math.max(0, ...pasts.map(({ moved }) => moved.most))),
    };
  }
}

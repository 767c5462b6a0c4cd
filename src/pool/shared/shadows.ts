import { WideMap } from '../wide-map.ts';
import type { Shadow } from './parts.ts';
import { keysOf, pruner } from './prune.ts';
import { parse, type SharedBinding } from './words.ts';

/** What the shared table said of each client last, as long as the client is bound here. */
export class Shadows {
  #all = new WideMap<Shadow>();
  readonly #prune: () => void;

  constructor(isBound: (client: string) => boolean) {
    this.#prune = pruner(
      () => keysOf(this.#all),
      isBound,
      (client) => this.#all.delete(client),
    );
  }

  get(client: string): Shadow | undefined {
    return this.#all.get(client);
  }

  /** The table has said `value` in this epoch. Returns what that means. */
  remember(client: string, value: string, epoch: number): SharedBinding | undefined {
    const said = parse(value);
    const shadow = this.#all.get(client);
    const is = { value, server: said?.server ?? '', epoch };
    if (shadow) Object.assign(shadow, is);
    else {
      this.#all.set(client, is);
      this.#prune();
    }
    return said;
  }

  delete(client: string): void {
    this.#all.delete(client);
  }

  clear(): void {
    this.#all = new WideMap();
  }
}

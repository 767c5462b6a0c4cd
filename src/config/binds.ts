import { isIP } from 'node:net';
import type { Bind } from './values.ts';

type Entry<T> = { readonly owner: T; readonly order: number };
/** The first bind of each host of a port, of each family, and of all. */
type Port<T> = { readonly hosts: Map<string, Entry<T>>; readonly families: Map<number, Entry<T>>; any: Entry<T> };

/**
 * Binds with their owners. Which of them a further bind collides with, as `bindsCollide` judges, is looked up and not
 * searched for, so that a file may have any number of binds.
 */
export class Binds<T> {
  readonly #ports = new Map<number, Port<T>>();
  readonly #paths = new Map<string, T>();
  #count = 0;

  add(bind: Bind, owner: T): void {
    if (bind.kind === 'unix') {
      if (!this.#paths.has(bind.path)) this.#paths.set(bind.path, owner);
      return;
    }
    if (bind.port === 0) return;
    const entry = { owner, order: this.#count++ };
    const port = this.#ports.get(bind.port) ?? { hosts: new Map(), families: new Map(), any: entry };
    this.#ports.set(bind.port, port);
    if (!port.hosts.has(bind.host)) port.hosts.set(bind.host, entry);
    const family = isIP(bind.host);
    if (!port.families.has(family)) port.families.set(family, entry);
  }

  /** The owner of the first bind that collides with `bind`. */
  colliding(bind: Bind): T | undefined {
    if (bind.kind === 'unix') return this.#paths.get(bind.path);
    const port = this.#ports.get(bind.port);
    if (!port) return undefined;
    const { hosts, families, any } = port;
    if (bind.host === '*') return any.owner;
    const family = isIP(bind.host);
    const wildcard = family === 6 ? '::' : '0.0.0.0';
    // A wildcard covers its own family, and each other address is covered by the wildcard.
    const ofFamily = bind.host === wildcard ? families.get(family) : family === 0 ? undefined : hosts.get(wildcard);
    const found = [hosts.get('*'), hosts.get(bind.host), ofFamily].flatMap((entry) => entry ?? []);
    return found.toSorted((a, b) => a.order - b.order)[0]?.owner;
  }

  /** Takes out all binds of the port of `bind`, which is on all addresses, and returns their owners. */
  take(bind: Bind & { kind: 'tcp' }): T[] {
    const { hosts } = this.#ports.get(bind.port) ?? { hosts: new Map<string, Entry<T>>() };
    this.#ports.delete(bind.port);
    return [...hosts.values()].map(({ owner }) => owner);
  }
}

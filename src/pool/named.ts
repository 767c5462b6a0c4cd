/** Why the last look-up of a name failed, and since when each has, in milliseconds since 1970. */
export type Failing = { readonly reason: string; readonly sinceMs: number };

/** A name in the configuration, and how its last look-up went. */
export type Named = {
  readonly backend: string;
  /** The entry of the configuration. */
  readonly server: string;
  /** As it stands there. */
  readonly address: string;
  /** How many servers it stands for now: while it fails, those of the last good answer. */
  readonly servers: number;
  /** Undefined while it resolves, and before the first answer. */
  readonly failing: Failing | undefined;
};

export type NameObserver = {
  /** The look-ups of the name fail from now on, or succeed again after `before`. */
  nameChanged(name: Named, before: Failing | undefined): void;
};

/** The state after one more look-up; `reason` says why it failed. */
export function lookedUp(before: Failing | undefined, reason: string | undefined): Failing | undefined {
  return reason === undefined ? undefined : { reason, sinceMs: before?.sinceMs ?? Date.now() };
}

/** Tells of each name that begins to fail, and that fails no longer. */
export class NameNews {
  readonly #observer: NameObserver;
  /** What was told, by entry and address. */
  #told = new Map<string, Failing>();

  constructor(observer: NameObserver) {
    this.#observer = observer;
  }

  /** `names` are those in force; nothing is told of a name that has left. */
  tell(names: readonly Named[]): void {
    const before = this.#told;
    this.#told = new Map();
    for (const name of names) {
      const key = `${name.server} ${name.address}`;
      const told = before.get(key);
      if (name.failing) this.#told.set(key, told ?? name.failing);
      if ((told === undefined) !== (name.failing === undefined)) this.#observer.nameChanged(name, told);
    }
  }
}

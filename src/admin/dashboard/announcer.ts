import type { Status } from './answers.ts';
import { conditionOf } from './condition.ts';
import { setText } from './dom.ts';
import { plural } from './format.ts';

/** What happens at one time is said in one breath. */
const TOGETHER_MS = 400;
const MOST = 3;

/** Tells a screen reader which servers stand otherwise than before, and nothing of the figures that always change. */
export class Announcer {
  readonly #region: Element;
  #texts: string[] = [];
  #timer: number | undefined;

  constructor(region: Element) {
    this.#region = region;
  }

  say(text: string): void {
    this.#texts.push(text);
    if (this.#timer !== undefined) return;
    this.#timer = window.setTimeout(() => {
      setText(this.#region, this.#texts.join('. '));
      [this.#texts, this.#timer] = [[], undefined];
    }, TOGETHER_MS);
  }

  /** Says how servers stand otherwise than before. */
  compare(before: Status | undefined, after: Status): void {
    if (!before) return;
    const old = new Map(conditions(before));
    const changed = conditions(after).filter(([name, condition]) => old.has(name) && old.get(name) !== condition);
    if (changed.length > MOST) this.say(`${plural(changed.length, 'server')} changed`);
    else for (const [name, condition] of changed) this.say(`${name} is ${condition}`);
  }
}

/** A backup that has a connection now and then is up all the time. */
function conditions({ backends }: Status): [string, string][] {
  return backends.flatMap(({ name, servers }) =>
    servers.map((server): [string, string] => {
      const condition = conditionOf(server);
      return [`${name}/${server.name}`, condition === 'standby' ? 'up' : condition];
    }),
  );
}

/** What operators say of a server: word for word, by whom, and when. The latest word stands. */

/** What the operator wants: drain takes no new client, maint takes none at all. */
export const ADMIN_STATES = ['ready', 'drain', 'maint'] as const;
export type AdminState = (typeof ADMIN_STATES)[number];

/** What is said apart from each other. */
export const TOPICS = ['state', 'weight'] as const;
export type Topic = (typeof TOPICS)[number];

export type Said = {
  /** A state; or a weight and the configured one that it stands in for, such as `3/1`. */
  readonly word: string;
  /** `address:port` of whoever said it, or `unix`; empty where nobody knows any more. */
  readonly who: string;
  /** The balancer that was told; undefined for this one. */
  readonly by: string | undefined;
  /** Milliseconds since 1970. */
  readonly atMs: number;
};

/** What was said last of a server. */
export type Saids = { [T in Topic]?: Said };

type Hearer = {
  readonly said: Saids;
  readonly config: { readonly weight: number };
  setAdmin(state: AdminState): void;
  setWeight(weight: number): void;
};

/** Anything longer was not written by a balancer. */
const TEXT = /^(\d{1,15}) (\S{1,16}) (\S{1,100}) (\S{1,100})$/;
const WORDS: Readonly<Record<Topic, RegExp>> = {
  state: new RegExp(`^(?:${ADMIN_STATES.join('|')})$`),
  weight: /^\d{1,3}\/\d{1,3}$/,
};
/** Stands where nothing is to be said. */
const NOBODY = '-';

/** Said now: later than what was said `before`, whatever the clock of that balancer was. */
export function saidNow(word: string, who: string, before: Said | undefined, nowMs = Date.now()): Said {
  return { word, who, by: undefined, atMs: Math.max(nowMs, (before?.atMs ?? 0) + 1) };
}

/** All who compare two come to the same: what was said at the same millisecond has an order, too. */
export function isLater(one: Said, other: Said | undefined): boolean {
  if (!other || one.atMs !== other.atMs) return one.atMs > (other?.atMs ?? -1);
  return `${one.word} ${one.who}` > `${other.word} ${other.who}`;
}

/** In one line, for a state file or for other balancers, to whom this one is `name`. */
export function spellSaid({ word, who, by, atMs }: Said, name = NOBODY): string {
  return `${atMs} ${word} ${who === '' ? NOBODY : who} ${by ?? name}`;
}

/** Undefined for what no balancer has written. */
export function parseSaid(topic: Topic, text: string): Said | undefined {
  const [, atMs, word = '', who = '', by] = TEXT.exec(text) ?? [];
  if (atMs === undefined || !WORDS[topic].test(word)) return undefined;
  return { word, who: who === NOBODY ? '' : who, by: by === NOBODY ? undefined : by, atMs: Number(atMs) };
}

/** A weight in place of the configured one. */
export const weightWord = (own: number, instead: number): string => `${own}/${instead}`;

/**
 * Somebody says what is wanted of a server. Returns false, and nothing changes, where something later was said of the
 * server, or where a weight stands in for another than is configured.
 */
export function hear(server: Hearer, topic: Topic, said: Said): boolean {
  if (!isLater(said, server.said[topic])) return false;
  const [own = 0, instead] = said.word.split('/').map(Number);
  if (topic === 'weight' && instead !== server.config.weight) return false;
  // First, so that whoever hears of the change knows who wanted it.
  server.said[topic] = said;
  if (topic === 'weight') server.setWeight(own);
  else server.setAdmin(said.word as AdminState);
  return true;
}

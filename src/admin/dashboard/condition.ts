import type { BackendStatus, ServerStatus, Status } from './answers.ts';
import { svg } from './dom.ts';

/** How a server stands, by the word that the page shows: each has a shape and a colour of its own besides. */
export type Condition = 'up' | 'down' | 'drain' | 'maint' | 'standby' | 'no new';

export function conditionOf({ up, state, weight, backup, connections }: ServerStatus): Condition {
  if (!up) return 'down';
  if (state !== 'ready') return state;
  if (weight === 0) return 'no new';
  return backup && connections === 0 ? 'standby' : 'up';
}

/** What an operator has to know first comes first. */
const URGENCY: Readonly<Record<Condition, number>> = { down: 0, maint: 1, drain: 2, 'no new': 3, up: 4, standby: 4 };

export function urgencyOf(condition: Condition): number {
  return URGENCY[condition];
}

export function urgency(server: ServerStatus): number {
  const isIll = server.up && complaint(server) !== undefined;
  return Math.min(URGENCY[conditionOf(server)], isIll ? URGENCY.maint : Infinity);
}

const SHAPES: Readonly<Record<Condition, string>> = {
  up: 'M6 1a5 5 0 1 0 0 10a5 5 0 1 0 0-10z',
  standby: 'M6 1a5 5 0 1 0 0 10a5 5 0 1 0 0-10zM6 3a3 3 0 1 1 0 6a3 3 0 1 1 0-6z',
  down: 'M3 1L1 3L4 6L1 9L3 11L6 8L9 11L11 9L8 6L11 3L9 1L6 4z',
  drain: 'M1 2H11L6 11z',
  maint: 'M1 1H11V11H1z',
  'no new': 'M1 4H11V8H1z',
};

/** The shape of a condition, for the eye alone: its word stands beside it. */
export function shape(): { element: SVGElement; show(condition: Condition): void } {
  const path = svg('path', { 'fill-rule': 'evenodd' });
  const element = svg('svg', { class: 'shape', viewBox: '0 0 12 12', 'aria-hidden': 'true' }, path);
  return { element, show: (condition) => path.setAttribute('d', SHAPES[condition]) };
}

/** Why a server needs somebody, or undefined. */
export function complaint(server: ServerStatus): string | undefined {
  if (!server.up) return server.reason || 'no reason is known';
  if (server.storage === 'unknown') return `storage unknown: ${server.storageReason}`;
  return undefined;
}

export type Tally = Readonly<Record<Condition, number>>;

export function tally(servers: readonly ServerStatus[]): Tally {
  const counts = { up: 0, down: 0, drain: 0, maint: 0, standby: 0, 'no new': 0 };
  for (const server of servers) counts[conditionOf(server)]++;
  return counts;
}

/** `57 up, 2 down, 1 drain`. */
export function tallyText(counts: Tally): string {
  const words: readonly Condition[] = ['up', 'down', 'drain', 'maint', 'no new', 'standby'];
  const some = words.filter((word) => counts[word] > 0);
  return some.map((word) => `${counts[word]} ${word}`).join(', ') || 'no servers';
}

/** Whether a backend sends a new client anywhere. */
export function takesClients({ servers }: BackendStatus, without?: string): boolean {
  return servers.some(
    ({ name, usable, state, weight }) => name !== without && usable && state === 'ready' && weight > 0,
  );
}

/** The title of the window: what is wrong, first. */
export function titleOf(status: Status): string {
  const counts = tally(status.backends.flatMap(({ servers }) => servers));
  const wrong = [
    status.stage === 'running' ? '' : status.stage,
    counts.down > 0 ? `${counts.down} down` : '',
    status.config.lastReload?.ok === false ? 'reload failed' : '',
  ];
  return [...wrong.filter(Boolean), 'Berth'].join(' · ');
}

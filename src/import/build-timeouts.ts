import type { FileDraft, ProxyDraft } from './draft.ts';
import type { Outline, Sourced } from './outline.ts';
import { lost } from './outcome.ts';
import { LONGEST_KEEP_ALIVE } from '../config/scalars.ts';
import { atMost, timer } from './scalars.ts';

/** HAProxy's 0 is for ever. */
const length = ({ value }: Sourced<number>): number => (value === 0 ? Infinity : value);

/**
 * Writes `timeouts`, which hold for everything in Berth: where sections differ the longest is taken, so that nobody is
 * cut off sooner than before.
 */
export function writeTimeouts(used: readonly ProxyDraft[], timeouts: Outline, file: FileDraft): void {
  const longest = (side: 'isFrontend' | 'isBackend', name: string): Sourced<number> | undefined => {
    const all = used.flatMap((draft) => (draft[side] ? (draft.timeouts.get(name) ?? []) : []));
    const [first] = all.toSorted((a, b) => length(b) - length(a));
    for (const other of all) {
      if (!first || length(other) === length(first)) continue;
      const says = `\`timeouts\` hold for everything; ${timer(first.value)} of line ${first.line} is taken`;
      file.ledger.note(other.line ?? 0, `timeout ${name}`, lost(says));
    }
    return first;
  };
  const write = (key: string, sourced: Sourced<number> | undefined): void => {
    if (sourced) timeouts.set(key, timer(sourced.value), sourced.line);
  };
  const shorter = (sides: (Sourced<number> | undefined)[]): Sourced<number> | undefined =>
    sides.flatMap((one) => one ?? []).toSorted((a, b) => length(a) - length(b))[0];
  const connect = longest('isBackend', 'connect');
  write('connect', connect);
  const tunnel = longest('isBackend', 'tunnel');
  write('idle', tunnel ?? shorter([longest('isFrontend', 'client'), longest('isBackend', 'server')]));
  const fins = [longest('isFrontend', 'client-fin'), longest('isBackend', 'server-fin')].flatMap((one) => one ?? []);
  const grace = longest('isFrontend', 'grace');
  if (grace && grace.value > 0) write('lameDuck', grace);
  write('halfClosed', fins.toSorted((a, b) => length(b) - length(a))[0]);
  const queues = used.some(({ servers }) => servers.some(({ keys }) => Number(keys.scalar('maxConnections') ?? 0) > 0));
  const [quiet] = used.flatMap((draft) => draft.timeouts.get('keepAlive') ?? []);
  if (quiet && quiet.value > 0) timeouts.set('keepAlive', atMost(quiet.value, LONGEST_KEEP_ALIVE), quiet.line);
  // HAProxy's queue has the connect timeout where it has no timeout of its own.
  write('queue', longest('isBackend', 'queue') ?? (queues ? connect : undefined));
}

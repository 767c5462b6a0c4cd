import type { Loaded } from './config/load.ts';
import { formatProblem } from './config/locate.ts';
import type { Change, Outcome } from './control.ts';
import { messageOf } from './errors.ts';
import type { Generation } from './generation/generation.ts';
import type { House } from './generation/house.ts';
import { rehearse } from './generation/plan.ts';

/** What a reload of what `load` loads would change, or what would keep `old` in force. Never rejects. */
export async function rehearsal(
  house: House,
  old: Generation,
  load: () => Loaded,
  stops: AbortSignal,
): Promise<Outcome<Change>> {
  try {
    const loaded = load();
    if (loaded.kind === 'problems') return { problems: loaded.problems.map(formatProblem) };
    return { changes: await rehearse(house, old, loaded.config, stops) };
  } catch (error) {
    return { problems: [messageOf(error)] };
  }
}

import type { BackendConfig } from '../config/schema.ts';

/** What a policy may look at. */
export type Candidate = { readonly weight: number };

/** Picks one of `candidates`, which are usable and of which there is at least one with a weight. */
export type Policy = <C extends Candidate>(candidates: readonly C[]) => C | undefined;

/**
 * Smooth weighted round robin, as nginx has it: each pick credits every candidate with its weight, takes the one with the
 * most credit and charges it the sum. Weights 5, 1, 1 give a a b a c a a rather than a a a a a b c; equal weights take
 * turns. The credit outlives changes of the candidates, so that a server that leaves does not restart the turn.
 */
export function roundRobin(): Policy {
  const credit = new WeakMap<Candidate, number>();
  return (candidates) => {
    let best: (typeof candidates)[number] | undefined;
    let bestCredit = -Infinity;
    let total = 0;
    for (const candidate of candidates) {
      if (candidate.weight === 0) continue;
      const own = (credit.get(candidate) ?? 0) + candidate.weight;
      credit.set(candidate, own);
      total += candidate.weight;
      if (own > bestCredit) [best, bestCredit] = [candidate, own];
    }
    if (best) credit.set(best, bestCredit - total);
    return best;
  };
}

/** The schema refuses the others until they are here. */
export const POLICIES: Partial<Record<BackendConfig['balance'], () => Policy>> = { roundrobin: roundRobin };

import type { BackendConfig } from '../config/schema.ts';

/** What a policy may look at. */
export type Candidate = {
  readonly name: string;
  /** Its share of new clients; not a whole number while the server starts slowly. */
  readonly weight: number;
  /** Connections that it has or is about to have. */
  readonly connections: number;
};

/**
 * Picks one of `candidates`, none of which has the weight 0; undefined where there is none. `client` is what the client is in a
 * stick table, undefined where nothing identifies it.
 */
export type Policy = <C extends Candidate>(candidates: readonly C[], client: string | undefined) => C | undefined;

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
      const own = (credit.get(candidate) ?? 0) + candidate.weight;
      credit.set(candidate, own);
      total += candidate.weight;
      if (own > bestCredit) [best, bestCredit] = [candidate, own];
    }
    if (best) credit.set(best, bestCredit - total);
    return best;
  };
}

const load = ({ connections, weight }: Candidate): number => connections / weight;

/** The fewest connections for its weight; equals take turns. */
export function leastConnections(): Policy {
  const takeTurns = roundRobin();
  return (candidates, client) => {
    const least = Math.min(...candidates.map(load));
    return takeTurns(
      candidates.filter((candidate) => load(candidate) === least),
      client,
    );
  };
}

/**
 * Two drawn by weight, the less loaded of them taken: close to least connections, without all balancers of a group running to
 * the same server at once (Mitzenmacher, The Power of Two Choices).
 */
export function randomOfTwo(random: () => number = Math.random): Policy {
  return (candidates) => {
    const [first, second] = [draw(candidates, random), draw(candidates, random)];
    return first && second && load(second) < load(first) ? second : first;
  };
}

function draw<C extends Candidate>(candidates: readonly C[], random: () => number): C | undefined {
  let left = random() * candidates.reduce((sum, { weight }) => sum + weight, 0);
  return candidates.find(({ weight }) => (left -= weight) < 0) ?? candidates.at(-1);
}

/**
 * Weighted rendezvous hashing: each client ranks all servers by a hash of both names, so that every balancer agrees without
 * asking, and a server that leaves moves only its own clients (Schindelhauer and Schomaker, Weighted Distributed Hash Tables).
 */
export function sourceHash(): Policy {
  const takeTurns = roundRobin();
  return (candidates, client) => {
    if (client === undefined) return takeTurns(candidates, client);
    let best: (typeof candidates)[number] | undefined;
    let bestScore = -Infinity;
    for (const candidate of candidates) {
      const score = -candidate.weight / Math.log(unitHash(`${client} ${candidate.name}`));
      if (score > bestScore) [best, bestScore] = [candidate, score];
    }
    return best;
  };
}

/** A number between 0 and 1, both excluded: FNV-1a, mixed as MurmurHash3 ends, because FNV's last letters move few bits. */
function unitHash(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (((hash ^ (hash >>> 16)) >>> 0) + 0.5) / 2 ** 32;
}

export const POLICIES = {
  roundrobin: roundRobin,
  leastconn: leastConnections,
  random: randomOfTwo,
  source: sourceHash,
} satisfies Record<BackendConfig['balance'], () => Policy>;

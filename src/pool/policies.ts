import type { BackendConfig } from '../config/schema.ts';

/** A server, as far as a policy looks at it. */
export type Candidate = {
  readonly name: string;
  /** The server's share of new clients; not a whole number while the server starts slowly. */
  readonly weight: number;
  /** Connections that the server has, and those that are being made to it. */
  readonly connections: number;
};

/** A server that has just recovered gets some clients, however slowly it starts. */
const SLOWEST_START = 0.01;

/** The weight of a server that came up again `sinceMs` ago, and takes `slowStartMs` to its full weight. */
export function grown(weight: number, slowStartMs: number, sinceMs: number): number {
  return sinceMs >= slowStartMs ? weight : weight * Math.max(sinceMs / slowStartMs, SLOWEST_START);
}

/**
 * Picks one of `candidates`, whose weights are above 0; undefined where `candidates` is empty. `client` is the
 * client's key in a stick table, undefined where nothing identifies the client. `dry` asks who would be picked next,
 * and is no pick; undefined where nobody can know.
 */
export type Policy = <C extends Candidate>(
  candidates: readonly C[],
  client: string | undefined,
  dry?: boolean,
) => C | undefined;

/**
 * Smooth weighted round robin, as in nginx (ngx_http_upstream_round_robin.c): each pick credits every candidate with
 * its weight, takes the candidate with the most credit, and charges that candidate the sum of the weights. Weights 5,
 * 1, 1 give a a b a c a a rather than a a a a a b c; equal weights take turns. Credit outlives a change of the
 * candidates, so a server that leaves does not make the turns begin again.
 */
export function roundRobin(): Policy {
  const credit = new WeakMap<Candidate, number>();
  return (candidates, _client, dry = false) => {
    let best: (typeof candidates)[number] | undefined;
    let bestCredit = -Infinity;
    let total = 0;
    for (const candidate of candidates) {
      const own = (credit.get(candidate) ?? 0) + candidate.weight;
      if (!dry) credit.set(candidate, own);
      total += candidate.weight;
      if (own > bestCredit) [best, bestCredit] = [candidate, own];
    }
    if (best && !dry) credit.set(best, bestCredit - total);
    return best;
  };
}

const load = ({ connections, weight }: Candidate): number => connections / weight;

/** The candidate with the fewest connections for its weight; equals take turns. */
export function leastConnections(): Policy {
  const takeTurns = roundRobin();
  return (candidates, client, dry) => {
    const least = Math.min(...candidates.map(load));
    return takeTurns(
      candidates.filter((candidate) => load(candidate) === least),
      client,
      dry,
    );
  };
}

/**
 * Draws two candidates by weight and takes the less loaded of the two: close to least connections, but the balancers
 * of a group do not all run to the same server at once (Mitzenmacher, The Power of Two Choices in Randomized Load
 * Balancing).
 */
export function randomOfTwo(random: () => number = Math.random): Policy {
  return (candidates, _client, dry = false) => {
    if (dry) return candidates.length === 1 ? candidates[0] : undefined;
    const [first, second] = [draw(candidates, random), draw(candidates, random)];
    return first && second && load(second) < load(first) ? second : first;
  };
}

function draw<C extends Candidate>(candidates: readonly C[], random: () => number): C | undefined {
  let left = random() * candidates.reduce((sum, { weight }) => sum + weight, 0);
  return candidates.find(({ weight }) => (left -= weight) < 0) ?? candidates.at(-1);
}

/**
 * Weighted rendezvous hashing: a hash of the client's and the server's name ranks all servers for this client. So every
 * balancer agrees without asking, and a server that leaves moves only its own clients (Schindelhauer and Schomaker,
 * Weighted Distributed Hash Tables).
 */
export function sourceHash(): Policy {
  const takeTurns = roundRobin();
  return (candidates, client, dry) => {
    if (client === undefined) return takeTurns(candidates, client, dry);
    let best: (typeof candidates)[number] | undefined;
    let bestScore = -Infinity;
    for (const candidate of candidates) {
      const score = -candidate.weight / Math.log(unitHash(`${client} ${candidate.name}`));
      if (score > bestScore) [best, bestScore] = [candidate, score];
    }
    return best;
  };
}

/**
 * A number between 0 and 1, neither of them included. FNV-1a with the finalizer of MurmurHash3, because in FNV-1a
 * alone the last letters of a text change few bits of the hash.
 */
function unitHash(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (((hash ^ (hash >>> 16)) >>> 0) + 0.5) / 2 ** 32;
}

/** The policy of each value of `balance`. */
export const POLICIES = {
  roundrobin: roundRobin,
  leastconn: leastConnections,
  random: randomOfTwo,
  source: sourceHash,
} satisfies Record<BackendConfig['balance'], () => Policy>;

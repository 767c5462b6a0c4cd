import { Ring } from './ring.ts';

/** Moves that are remembered: about 150 bytes each. */
const MOST_MOVES = 1_000;

/** A client that was given another server than it was bound to. */
export type Move = {
  /** Milliseconds since 1970. */
  readonly atMs: number;
  readonly client: string;
  readonly from: string;
  readonly to: string;
  /** Why the former server did not keep the client: a part of a sentence. */
  readonly reason: string;
};

/** The last moves of a backend's clients, however many clients there are. */
export class Moves {
  readonly #ring = new Ring<Move>(MOST_MOVES);

  add(move: Move): void {
    this.#ring.add(move);
  }

  /** The moves of a client that are remembered, the latest first. */
  of(client: string): Move[] {
    return [...this.#ring.latest()].filter((move) => move.client === client);
  }
}

/**
 * What the load generator and the backend of the benchmark say to each other through the balancer.
 *
 * A connection's first byte says what it is for. Bulk connections start with a header of HEADER_BYTES (op, then the
 * number of bytes to come); request connections are a row of REQUEST_BYTES, each answered with REPLY_BYTES.
 */
import { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';

export const DOWNLOAD = 0x44; // 'D'
export const UPLOAD = 0x55; // 'U'
export const REQUEST = 0x52; // 'R'
/** A download after which the connection stays open. */
export const STAY = 0x53; // 'S'

export const HEADER_BYTES = 16;
export const REQUEST_BYTES = 200;
export const REPLY_BYTES = 400;

/** The size of a read: large, so that load generator and backend cost little beside the balancer. */
export const READ_BYTES = 1 << 20;

/**
 * The payload repeats every BLOCK_BYTES, which is no power of two on purpose: a relay that mixes up two of its 1 MiB
 * (or 64 KiB) buffers would otherwise deliver the very bytes that were expected.
 */
export const BLOCK_BYTES = 4 * 262_139;

/** The first BLOCK_BYTES of the payload: each word of 4 bytes is its own offset. */
export function makeBlock(): Buffer {
  const block = Buffer.allocUnsafe(BLOCK_BYTES);
  for (let at = 0; at < BLOCK_BYTES; at += 4) block.writeUInt32LE(at, at);
  return block;
}

/** The header of a bulk connection that carries `bytes` of payload. */
export function bulkHeader(op: typeof DOWNLOAD | typeof UPLOAD | typeof STAY, bytes: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header[0] = op;
  header.writeUIntLE(bytes, 1, 6);
  return header;
}

/** The bytes of payload that `header` announces. */
export function bulkLength(header: Buffer): number {
  return header.readUIntLE(1, 6);
}

/**
 * Whether `chunk`, which starts at byte `position` of the payload, is what was sent. Only the first and the last whole
 * word of `chunk` are compared, which shows bytes lost, doubled or swapped and costs next to nothing.
 */
export function isPayload(chunk: Buffer, position: number): boolean {
  const first = (4 - (position % 4)) % 4;
  const last = chunk.length - 4 - ((position + chunk.length) % 4);
  return wordFits(chunk, first, position) && wordFits(chunk, last, position);
}

function wordFits(chunk: Buffer, at: number, position: number): boolean {
  if (at < 0 || at + 4 > chunk.length) return true;
  return chunk.readUInt32LE(at) === (position + at) % BLOCK_BYTES;
}

/** Writes `total` bytes of payload, one reused block at a time, and calls `done` when the kernel has the last one. */
export function pour(socket: Socket, block: Buffer, total: number, done: () => void): void {
  let left = total;
  const next = (): void => {
    if (left === 0) return done();
    const size = Math.min(left, block.length);
    left -= size;
    socket.write(size === block.length ? block : block.subarray(0, size), (error) => {
      // After a failed write there is nothing to pour into; the handler of the socket's 'error' reports the failure.
      if (!error) next();
    });
  };
  next();
}

/**
 * A piece of work for the load generator; `port` is the balancer's, on 127.0.0.1. `bytesPerSecond` paces all flows of a
 * job together. After 'stay' the `clients` that have downloaded remain connected until 'leave', and do not read if they
 * are `stuck`. For 'new', each of `parallel` visitors makes `visits` connections one after another, `everyMs` apart,
 * and all visitors together come from `sources` addresses.
 */
export type Job =
  | { kind: 'stay'; port: number; clients: number; bytesEach: number; stuck?: boolean }
  | { kind: 'leave' }
  | { kind: 'download' | 'upload'; port: number; flows: number; bytesPerFlow: number; bytesPerSecond?: number }
  | { kind: 'kept'; port: number; connections: number; requestsPerConnection: number }
  | { kind: 'new'; port: number; parallel: number; sources: number; visits: number; everyMs?: number };

/** What was delivered completely, counted at the receiving end, and how long each request or connection took. */
export interface Tally {
  bytes: number;
  requests: number;
  connections: number;
  tookMs: number[];
}

export type JobReply = { kind: 'done'; tally: Tally } | { kind: 'failed'; reason: string };
export type BackendReady = { kind: 'listening'; ports: number[] };

/**
 * The load generator of the benchmark: a process that does one job after another for stage.ts, and replies to each with
 * what was delivered completely. Only the balancer's CPU is measured, so a slow load generator merely lengthens a run.
 */
import { Buffer } from 'node:buffer';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  bulkHeader,
  DOWNLOAD,
  isPayload,
  makeBlock,
  pour,
  READ_BYTES,
  REPLY_BYTES,
  REQUEST,
  REQUEST_BYTES,
  STAY,
  UPLOAD,
  type Job,
  type JobReply,
  type Tally,
} from './protocol.ts';

const block = makeBlock();
const request = Buffer.alloc(REQUEST_BYTES, REQUEST);
// All sockets share this buffer: `onChunk` is done with a chunk before it returns, and never writes from the buffer.
const landing = Buffer.allocUnsafe(READ_BYTES);

/** Clients that are to be stuck read so much: a balancer then takes them for bulk transfer. */
const STUCK_AFTER_BYTES = 1 << 20;

/** How many addresses have a third number in common. */
const ADDRESSES = 250;

/** 127.0.0.2 and up: each address stands for a client, with a binding of its own. */
function sourceAddress(index: number): string {
  return `127.0.${Math.floor(index / ADDRESSES)}.${2 + (index % ADDRESSES)}`;
}

/** `onChunk` returns false to read no more until the socket is resumed. */
function open(port: number, source: number, onChunk: (chunk: Buffer, socket: Socket) => boolean | void): Socket {
  const socket: Socket = connect({
    host: '127.0.0.1',
    port,
    localAddress: sourceAddress(source),
    noDelay: true,
    onread: {
      buffer: landing,
      callback: (length): boolean => onChunk(landing.subarray(0, length), socket) !== false,
    },
  });
  return socket;
}

/** Settles when the socket has closed: with `tally()`, or with the error or the shortfall that `tally` throws. */
function closed(socket: Socket, tally: () => Tally): Promise<Tally> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('close', () => {
      try {
        resolve(tally());
      } catch (error) {
        reject(error);
      }
    });
  });
}

function complete(what: string, received: number, expected: number): void {
  if (received !== expected) throw new Error(`${what}: ${received} bytes arrived of ${expected}`);
}

/** Reads no faster than `bytesPerSecond`. */
function download(port: number, source: number, bytes: number, bytesPerSecond = Infinity): Promise<Tally> {
  let received = 0;
  const startedMs = performance.now();
  const socket = open(port, source, (chunk) => {
    if (!isPayload(chunk, received)) socket.destroy(new Error(`wrong bytes near ${received}`));
    received += chunk.length;
    const earlyMs = (received / bytesPerSecond) * 1_000 - (performance.now() - startedMs);
    if (earlyMs < 1) return true;
    setTimeout(() => socket.resume(), earlyMs);
    return false;
  });
  socket.write(bulkHeader(DOWNLOAD, bytes));
  return closed(socket, () => {
    complete('payload', received, bytes);
    return { bytes, requests: 0, connections: 1, tookMs: [] };
  });
}

function upload(port: number, source: number, bytes: number): Promise<Tally> {
  const receipt: number[] = [];
  const socket = open(port, source, (chunk) => {
    receipt.push(...chunk);
    if (receipt.length === 8) socket.end();
  });
  socket.write(bulkHeader(UPLOAD, bytes));
  pour(socket, block, bytes, () => undefined);
  return closed(socket, () => {
    complete('receipt', receipt.length, 8);
    complete('payload', Buffer.from(receipt).readUIntLE(0, 6), bytes);
    return { bytes, requests: 0, connections: 1, tookMs: [] };
  });
}

/**
 * Sends `count` requests one after another, each when the reply to the last request is complete, then closes. Tells how
 * long each took; the first with the time to connect.
 */
function converse(port: number, source: number, count: number): Promise<Tally> {
  let received = 0;
  let sentMs = performance.now();
  const tookMs: number[] = [];
  const socket = open(port, source, (chunk) => {
    received += chunk.length;
    if (received % REPLY_BYTES !== 0) return;
    const nowMs = performance.now();
    tookMs.push(nowMs - sentMs);
    sentMs = nowMs;
    if (received < count * REPLY_BYTES) socket.write(request);
    else socket.end();
  });
  socket.write(request);
  return closed(socket, () => {
    complete('replies', received, count * REPLY_BYTES);
    return { bytes: 0, requests: count, connections: 1, tookMs };
  });
}

/**
 * Makes a connection at a time, from each address of this visitor in turn: with few addresses, the kernel's search for
 * a source port that is not in TIME_WAIT would slow the generator down.
 */
async function visit(job: Extract<Job, { kind: 'new' }>, visitor: number): Promise<Tally> {
  const tookMs: number[] = [];
  const startedMs = performance.now();
  for (let count = 0; count < job.visits; count++) {
    const source = (visitor + count * job.parallel) % job.sources;
    tookMs.push(...(await converse(job.port, source, 1)).tookMs);
    const earlyMs = startedMs + (count + 1) * (job.everyMs ?? 0) - performance.now();
    if (earlyMs > 0) await sleep(earlyMs);
  }
  return { bytes: 0, requests: job.visits, connections: job.visits, tookMs };
}

/** Clients that are connected and have nothing to do. */
const idle = new Set<Socket>();

/** Resolves when the download is there, or when its client has stopped reading; the connection stays. */
function stay(port: number, source: number, bytes: number, stuck: boolean): Promise<Tally> {
  return new Promise((resolve, reject) => {
    let received = 0;
    const socket = open(port, source, (chunk) => {
      if (!isPayload(chunk, received)) socket.destroy(new Error(`wrong bytes near ${received}`));
      received += chunk.length;
      const stops = stuck && received > STUCK_AFTER_BYTES;
      if (received === bytes || stops) resolve({ bytes, requests: 0, connections: 1, tookMs: [] });
      return !stops;
    });
    socket.once('error', reject).once('close', () => reject(new Error('a client that stays was left')));
    socket.write(bulkHeader(STAY, bytes));
    idle.add(socket);
  });
}

function leave(): Promise<Tally>[] {
  for (const socket of idle) socket.destroy();
  idle.clear();
  return [];
}

function inParallel(count: number, work: (index: number) => Promise<Tally>): Promise<Tally>[] {
  return Array.from({ length: count }, (_, index) => work(index));
}

function start(job: Job): Promise<Tally>[] {
  switch (job.kind) {
    case 'download':
      return inParallel(job.flows, (index) =>
        download(job.port, index, job.bytesPerFlow, (job.bytesPerSecond ?? Infinity) / job.flows),
      );
    case 'upload':
      return inParallel(job.flows, (index) => upload(job.port, index, job.bytesPerFlow));
    case 'stay':
      return inParallel(job.clients, (index) => {
        return stay(job.port, index % ADDRESSES, job.bytesEach, job.stuck === true);
      });
    case 'leave':
      return leave();
    case 'kept':
      return inParallel(job.connections, (index) => converse(job.port, index, job.requestsPerConnection));
    case 'new':
      return inParallel(job.parallel, (index) => visit(job, index));
    default:
      throw new Error(`unknown job ${JSON.stringify(job satisfies never)}`);
  }
}

async function perform(job: Job): Promise<JobReply> {
  try {
    const tallies = await Promise.all(start(job));
    const sum = (field: 'bytes' | 'requests' | 'connections'): number =>
      tallies.reduce((total, tally) => total + tally[field], 0);
    return {
      kind: 'done',
      tally: {
        bytes: sum('bytes'),
        requests: sum('requests'),
        connections: sum('connections'),
        tookMs: tallies.flatMap(({ tookMs }) => tookMs),
      },
    };
  } catch (error) {
    return { kind: 'failed', reason: error instanceof Error ? error.message : String(error) };
  }
}

// When the parent is gone, nobody stops this process, so it stops itself.
process.on('disconnect', () => process.exit());
process.on('message', (job: Job) => void perform(job).then((reply) => process.send?.(reply)));

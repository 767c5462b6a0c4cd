/**
 * The registry nodes of the benchmark: a process that listens on several ports, started by stage.ts with the number of
 * ports as its argument. It sends bulk, swallows bulk, and answers small requests (see protocol.ts).
 */
import { Buffer } from 'node:buffer';
import { createServer, Socket } from 'node:net';
import { listenAnywhere } from './ports.ts';
import {
  bulkLength,
  DOWNLOAD,
  HEADER_BYTES,
  isPayload,
  makeBlock,
  pour,
  READ_BYTES,
  REPLY_BYTES,
  REQUEST,
  REQUEST_BYTES,
  STAY,
  UPLOAD,
  type BackendReady,
} from './protocol.ts';

const block = makeBlock();
const reply = Buffer.alloc(REPLY_BYTES, 'r');
// All sockets share this buffer: a service is done with a chunk before it returns, and never writes from the buffer.
const landing = Buffer.allocUnsafe(READ_BYTES);

type Service = (chunk: Buffer) => void;

/**
 * An accepted socket has no `onread` option, and 'data' events would allocate 64 KiB a read, so that the uploads
 * would mostly measure how a balancer waits for this process. The handle moves to a socket that has the option.
 */
function withOnread(accepted: Socket, onChunk: Service): Socket {
  const handle: unknown = Reflect.get(accepted, '_handle');
  Reflect.set(accepted, '_handle', null);
  const options = {
    handle,
    allowHalfOpen: true,
    onread: {
      buffer: landing,
      callback: (length: number): boolean => {
        onChunk(landing.subarray(0, length));
        return true;
      },
    },
  };
  return new Socket(options);
}

function serve(accepted: Socket): void {
  let service: Service | undefined;
  let opening = Buffer.alloc(0);
  const socket = withOnread(accepted, (chunk) => {
    if (service !== undefined) return service(chunk);
    opening = Buffer.concat([opening, chunk]);
    if (opening.length < HEADER_BYTES) return;
    service = chooseService(socket, opening);
    service(opening[0] === REQUEST ? opening : opening.subarray(HEADER_BYTES));
  });
  socket.setNoDelay(true);
  socket.on('end', () => socket.end());
  // The load generator counts what arrived, so it reports a connection that breaks.
  socket.on('error', () => socket.destroy());
}

function chooseService(socket: Socket, opening: Buffer): Service {
  switch (opening[0] ?? 0) {
    case DOWNLOAD:
      pour(socket, block, bulkLength(opening), () => socket.end());
      return () => undefined;
    case STAY:
      pour(socket, block, bulkLength(opening), () => undefined);
      return () => undefined;
    case UPLOAD:
      return swallow(socket, bulkLength(opening));
    case REQUEST:
      return answer(socket);
    default:
      socket.destroy();
      return () => undefined;
  }
}

/** Takes `total` bytes and answers with their number; a wrong byte ends the connection without an answer. */
function swallow(socket: Socket, total: number): Service {
  let received = 0;
  return (chunk) => {
    if (chunk.length === 0) return;
    if (!isPayload(chunk, received)) socket.destroy();
    received += chunk.length;
    if (received !== total) return;
    const receipt = Buffer.alloc(8);
    receipt.writeUIntLE(received, 0, 6);
    socket.write(receipt);
  };
}

function answer(socket: Socket): Service {
  let pending = 0;
  return (chunk) => {
    pending += chunk.length;
    for (; pending >= REQUEST_BYTES; pending -= REQUEST_BYTES) socket.write(reply);
  };
}

function listen(): Promise<number> {
  return listenAnywhere(createServer({ pauseOnConnect: true, allowHalfOpen: true }, serve), 4096);
}

// When the parent is gone, nobody stops this process, so it stops itself.
process.on('disconnect', () => process.exit());

const count = Number(process.argv[2]);
const ports = await Promise.all(Array.from({ length: count }, listen));
process.send?.({ kind: 'listening', ports } satisfies BackendReady);

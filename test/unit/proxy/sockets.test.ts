/** Sockets as a relay has them, each by itself: how they are read and written, and how they fail. */
import assert from 'node:assert/strict';
import dns from 'node:dns';
import { once } from 'node:events';
import { connect, createServer, isIP, Server, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { probeOnread } from '../../../src/proxy/relay/probe-onread.ts';
import {
  eventSockets,
  onreadSockets,
  reset,
  type Reader,
  type Sockets,
  type Wire,
} from '../../../src/proxy/relay/sockets.ts';
import { folderOf, openFilesOf } from '../../support/files.ts';
import { Pattern, Peer } from '../../support/peer.ts';
import { eventually } from '../../support/waiting.ts';

const MIB = 1 << 20;
const BYTES = new Pattern(9);

/** Keeps what comes. */
class Reads implements Reader {
  text = '';
  readonly #landing = Buffer.alloc(64);

  buffer(): Uint8Array {
    return this.#landing;
  }

  landed(count: number): boolean {
    return this.received(this.#landing.subarray(0, count));
  }

  received(chunk: Buffer): boolean {
    this.text += chunk.toString('latin1');
    return true;
  }

  finished(): void {}
}

/** A listener of which each accepted socket is the test's, as a frontend accepts it. */
async function listening(
  t: TestContext,
  address: string | number = 0,
): Promise<{ server: Server; next: () => Promise<Socket> }> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  const sockets: Socket[] = [];
  server.on('connection', (socket) => sockets.push(socket.on('error', () => {})));
  if (typeof address === 'string') server.listen(address);
  else server.listen(address, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { server, next: () => eventually('a connection', () => sockets.shift()) };
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

/** A socket that has connected, as a relay has it, and its peer. */
async function connected(t: TestContext, sockets: Sockets): Promise<{ wire: Wire; peer: Peer; reads: Reads }> {
  const { server, next } = await listening(t);
  const reads = new Reads();
  const wire = sockets.connect({ host: '127.0.0.1', port: portOf(server) }, reads);
  t.after(() => void wire.socket.destroy());
  await once(wire.socket, 'connect');
  return { wire, peer: new Peer(await next()), reads };
}

/** Writes until the kernel takes no more, and the rest waits in the process. */
function fill(socket: Socket): number {
  let bytes = 0;
  while (socket.writableLength === 0) {
    const chunk = BYTES.at(bytes, MIB);
    socket.write(chunk);
    bytes += chunk.length;
  }
  return bytes;
}

for (const sockets of [onreadSockets, eventSockets]) {
  describe(`over ${sockets.name} sockets`, () => {
    test('a socket that was adopted is read from then on', async (t) => {
      const { server, next } = await listening(t);
      const client = connect(portOf(server), '127.0.0.1').on('error', () => {});
      t.after(() => void client.destroy());
      await once(client, 'connect');
      const reads = new Reads();
      const { socket } = sockets.adopt(await next(), reads);
      t.after(() => void socket.on('error', () => {}).destroy());
      client.write('hello');
      await eventually('hello', () => reads.text === 'hello');
    });

    test('a socket that connects asks its kernel not to hold small writes back', async (t) => {
      const { server, next } = await listening(t);
      const { socket } = sockets.connect({ host: '127.0.0.1', port: portOf(server) }, new Reads());
      t.after(() => void socket.destroy());
      const { _handle: handle } = socket as unknown as { _handle: { setNoDelay(on: boolean): number } };
      const asked = t.mock.method(handle, 'setNoDelay');
      await next();
      await eventually('a connect', () => !socket.connecting);
      assert.deepEqual(
        asked.mock.calls.map(({ arguments: [on] }) => on),
        [true],
      );
    });

    test('several writes that wait for the kernel are made in order', async (t) => {
      const { wire, peer } = await connected(t, sockets);
      let bytes = fill(wire.socket);
      for (const more of [10, 100_000, 1]) {
        wire.socket.write(BYTES.at(bytes, more));
        bytes += more;
      }
      wire.socket.end();
      peer.expects = BYTES;
      await peer.getsEnd();
      assert.deepEqual([peer.received, peer.corruptAt], [bytes, undefined]);
    });

    test('a write to a peer that broke off fails as a write of a stream does', async (t) => {
      const { wire, peer } = await connected(t, sockets);
      const writer = sockets.writer(wire.socket);
      const failed = once(wire.socket, 'error') as Promise<[NodeJS.ErrnoException]>;
      // With bytes that it has not read, the peer's kernel resets the connection as it is closed.
      wire.socket.write('unread');
      peer.socket.destroy();
      writer.write(Buffer.from('x'));
      const [{ message, code, errno, syscall }] = await failed;
      assert.match(code ?? '', /^(EPIPE|ECONNRESET)$/);
      assert.deepEqual([message, syscall, (errno ?? 0) < 0], [`write ${code}`, 'write', true]);
    });

    test('a socket that is closed has a writer, whose writes come to nothing', async (t) => {
      const { wire } = await connected(t, sockets);
      wire.socket.on('error', () => {}).destroy();
      assert.equal(sockets.writer(wire.socket).write(Buffer.from('x')), false);
    });

    test('a reset is seen as a reset, whatever waits, and whether the socket has ended or not', async (t) => {
      for (const waits of [false, true]) {
        for (const ends of [false, true]) {
          const { wire, peer } = await connected(t, sockets);
          if (waits) fill(wire.socket);
          if (ends) wire.socket.end();
          // What is asked of the kernel already cannot be made a reset.
          if (ends && !waits) await once(wire.socket, 'finish');
          reset(wire.socket);
          assert.match(String(await peer.isClosed()), /^(ECONNRESET|EPIPE)$/, `waits: ${waits}, ends: ${ends}`);
        }
      }
    });

    test('a reset of a unix socket, which knows none, closes it', async (t) => {
      const path = join(folderOf(t), 'a.sock');
      const { next } = await listening(t, path);
      const peer = new Peer(connect({ path, allowHalfOpen: true }));
      t.after(() => void peer.socket.destroy());
      const { socket } = sockets.adopt(await next(), new Reads());
      reset(socket);
      assert.ok(socket.destroyed);
      await peer.read().until(() => peer.ended || peer.closed, 'the end');
    });
  });
}

describe('the probe of this Node', () => {
  test('leaves no descriptor', async () => {
    const before = openFilesOf(process.pid);
    assert.equal(await probeOnread(), true);
    await eventually('a descriptor is left', () => openFilesOf(process.pid) <= before);
  });

  test('talks over loopback alone, and looks no name up', async (t) => {
    const [listens, lookups] = [t.mock.method(Server.prototype, 'listen'), t.mock.method(dns, 'lookup')];
    const finds = probeOnread();
    const server = listens.mock.calls[0]?.this as Server;
    await once(server, 'listening');
    assert.equal((server.address() as AddressInfo).address, '127.0.0.1');
    assert.equal(await finds, true);
    assert.deepEqual(
      lookups.mock.calls.map(({ arguments: [name] }) => name).filter((name) => isIP(name) === 0),
      [],
    );
  });

  test('finds that this Node cannot read into buffers of ours where no answer comes within two seconds', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const finds = probeOnread();
    t.mock.timers.tick(2_000);
    assert.equal(await finds, false);
  });

  const right = { ...onreadSockets };
  /** What a socket that reads into buffers of ours does in a Node in which that is not possible. */
  const faults: Record<string, (t: TestContext) => unknown> = {
    'an accepted socket reads other bytes': (t) =>
      t.mock.method(onreadSockets, 'adopt', (accepted: Socket, reader: Reader) =>
        right.adopt(accepted, {
          buffer: () => reader.buffer(),
          received: (chunk) => reader.received(chunk),
          finished: () => reader.finished(),
          landed: (count) => {
            reader.buffer()[0]! ^= 1;
            return reader.landed(count);
          },
        }),
      ),
    'an accepted socket fails': (t) =>
      t.mock.method(onreadSockets, 'adopt', (accepted: Socket, reader: Reader) =>
        failing(right.adopt(accepted, reader)),
      ),
    'a socket that connects fails': (t) =>
      t.mock.method(onreadSockets, 'connect', (...given: Parameters<Sockets['connect']>) =>
        failing(right.connect(...given)),
      ),
    'nothing can listen': (t) =>
      t.mock.method(Server.prototype, 'listen', function (this: Server) {
        setImmediate(() => this.emit('error', new Error('not in this Node')));
        return this;
      }),
    'no accepted socket can be made': (t) => t.mock.method(onreadSockets, 'adopt', impossible),
    'no socket that connects can be made': (t) => t.mock.method(onreadSockets, 'connect', impossible),
  };
  for (const [what, spoil] of Object.entries(faults)) {
    test(`finds that this Node cannot read into buffers of ours where ${what}, and leaves no descriptor`, async (t) => {
      const before = openFilesOf(process.pid);
      spoil(t);
      assert.equal(await probeOnread(), false);
      await eventually('a descriptor is left', () => openFilesOf(process.pid) <= before);
    });
  }
});

function impossible(): never {
  throw new TypeError('not in this Node');
}

function failing(wire: Wire): Wire {
  setImmediate(() => wire.socket.destroy(new Error('not in this Node')));
  return wire;
}

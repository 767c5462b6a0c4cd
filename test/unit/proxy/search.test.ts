/** How a server is found for a client: whom it tries, whom it does not, and for how long it waits. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { PatientSocket } from '../../../src/proxy/relay/patient-socket.ts';
import { onreadSockets, Wire, type Sockets } from '../../../src/proxy/relay/sockets.ts';
import type { Peer } from '../../support/peer.ts';
import { ProxyStand, timers } from '../../support/proxy-stand.ts';
import { refusing } from '../../support/servers.ts';
import { eventually } from '../../support/waiting.ts';

/** Connects are begun, and nobody ever answers. */
const deafSockets: Sockets = {
  ...onreadSockets,
  connect: (_, reader) => new Wire(reader, () => new PatientSocket({ allowHalfOpen: true })),
};

/** Connects fail with this error. */
function failingSockets(code: string): Sockets {
  const open = (): PatientSocket => {
    const socket = new PatientSocket({ allowHalfOpen: true });
    setImmediate(() => socket.destroy(Object.assign(new Error(code), { code })));
    return socket;
  };
  return { ...onreadSockets, connect: (_, reader) => new Wire(reader, open) };
}

/** A client comes, and the first attempt to connect to its server has failed: what is left is the pause. */
async function failsOnce(stand: ProxyStand, name = 's1'): Promise<Peer> {
  const client = await stand.arrive();
  await stand.hears(`refused ${name}`);
  await nextTurn();
  return client;
}

describe('during the pause before its retry, a server', () => {
  const ways: Record<string, (stand: ProxyStand) => void> = {
    'that the operator puts in maint': (stand) => stand.server().setAdmin('maint'),
    'that is marked down': (stand) => stand.server().connectFailed(stand.server().endpoint!, 'a check failed'),
    'that a reload leaves out': (stand) => stand.backend.plan({ ...stand.backend.config, servers: {} }).commit(),
  };
  for (const [way, takeOut] of Object.entries(ways)) {
    test(`${way} is not tried again`, async (t) => {
      let checks = 0;
      const stand = await ProxyStand.open(t, {
        servers: [],
        backend: { servers: { s1: await refusing() }, healthCheck: { fall: 2 } },
        pool: { probe: () => (++checks === 1 ? Promise.resolve({ ok: true }) : new Promise(() => {})) },
        timeouts: { connect: '500ms' },
      });
      await eventually('the first check', () => !stand.server().health.fresh);
      await failsOnce(stand);
      takeOut(stand);
      const { end, retries } = await stand.record();
      assert.deepEqual([end, retries, stand.told], ['SC', 0, ['refused s1']]);
    });
  }

  test('that the operator puts in maint leaves its client to another, which was in maint until then', async (t) => {
    const stand = await ProxyStand.open(t, { backend: { servers: { s2: await refusing() } } });
    stand.server('s1').setAdmin('maint');
    await failsOnce(stand, 's2');
    stand.server('s2').setAdmin('maint');
    stand.server('s1').setAdmin('ready');
    await stand.hears('connected s1');
    assert.deepEqual(stand.told, ['refused s2', 'redispatched', 'connected s1']);
    await stand.isEmpty();
    const { server, via, retries } = await stand.record();
    assert.deepEqual({ server, via, retries }, { server: 's1', via: 'redispatched', retries: 1 });
  });

  test('that comes and goes with another does not keep its client for ever: each retry counts', async (t) => {
    const pauseMs = 37;
    const stand = await ProxyStand.open(t, {
      servers: [],
      backend: { retries: 3, servers: { s1: await refusing(), s2: await refusing() } },
      timeouts: { connect: `${pauseMs}ms` },
    });
    const { setTimeout: real } = globalThis;
    let usable = 's1';
    // Whichever server is chosen goes as its pause ends, and the other one comes.
    t.mock.method(globalThis, 'setTimeout', (fire: () => void, ms: number) =>
      real(() => {
        if (ms === pauseMs && stand.told.length > 1) {
          usable = usable === 's1' ? 's2' : 's1';
          for (const { name } of stand.backend.servers)
            stand.server(name).setAdmin(name === usable ? 'ready' : 'maint');
        }
        fire();
      }, ms),
    );
    const client = await stand.arrive();
    assert.equal(await client.isClosed(), 'ECONNRESET');
    const { end, retries } = await stand.record();
    assert.deepEqual([end, retries], ['SC', 3]);
  });

  test('that its client leaves is not tried again', async (t) => {
    const stand = await ProxyStand.open(t, { servers: [], backend: { servers: { s1: await refusing() } } });
    const client = await failsOnce(stand);
    client.reset();
    assert.equal((await stand.record()).end, 'CC');
    assert.deepEqual(stand.told, ['refused s1']);
  });
});

describe('a connect that fails', () => {
  test('is tried on another server at once, which the client is bound to from then on', async (t) => {
    const stand = await ProxyStand.open(t, {
      backend: { servers: { s1: await refusing(), s2: await refusing() } },
      servers: ['s3'],
    });
    const { client } = await stand.join();
    await stand.hears('connected s3');
    assert.deepEqual(stand.told, ['refused s1', 'redispatched', 'refused s2', 'redispatched', 'connected s3']);
    assert.equal(stand.backend.binding('127.0.0.1')?.bound.name, 's3');
    client.socket.destroy();
    await stand.isEmpty();
    const { server, via, retries, end } = await stand.record();
    assert.deepEqual({ server, via, retries, end }, { server: 's3', via: 'redispatched', retries: 2, end: '--' });
    assert.deepEqual(
      ['s1', 's2', 's3'].map((name) => stand.server(name).traffic.connections),
      [0, 0, 1],
    );
  });

  for (const retries of [0, 2]) {
    test(`is tried ${retries} times more where \`retries\` says so, and then the client is reset`, async (t) => {
      const addresses = await Promise.all([refusing(), refusing(), refusing(), refusing()]);
      const servers = Object.fromEntries(addresses.map((address, i) => [`s${i + 1}`, address]));
      const stand = await ProxyStand.open(t, { servers: [], backend: { retries, servers } });
      const client = await stand.arrive();
      assert.equal(await client.isClosed(), 'ECONNRESET');
      const record = await stand.record();
      assert.deepEqual([record.end, record.retries, record.server], ['SC', retries, `s${retries + 1}`]);
      assert.equal(stand.told.filter((what) => what.startsWith('refused')).length, retries + 1);
    });
  }

  test('is tried again on the same server, after a pause, where there is no other', async (t) => {
    const servers = { s1: await refusing() };
    const stand = await ProxyStand.open(t, {
      servers: [],
      backend: { retries: 2, servers },
      timeouts: { connect: '20ms' },
    });
    await stand.arrive();
    const { end, retries, via } = await stand.record();
    assert.deepEqual([end, retries, via], ['SC', 2, 'balanced']);
    assert.deepEqual(stand.told, ['refused s1', 'retried', 'refused s1', 'retried', 'refused s1']);
  });

  for (const code of ['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS']) {
    test(`for want of what this machine itself lacks (${code}) is final, and no server is blamed`, async (t) => {
      const stand = await ProxyStand.open(t, {
        servers: ['s1', 's2'],
        sockets: failingSockets(code),
        backend: { healthCheck: {} },
        pool: { probe: () => new Promise(() => {}) },
      });
      const client = await stand.arrive();
      assert.equal(await client.isClosed(), 'ECONNRESET');
      assert.deepEqual([(await stand.record()).end, stand.told], ['RC', ['resources s1']]);
      assert.ok(stand.server('s1').health.up && stand.server('s1').health.fresh);
    });
  }

  test('counts as a failed check, so that it may take its server down', async (t) => {
    const stand = await ProxyStand.open(t, {
      sockets: failingSockets('EHOSTUNREACH'),
      backend: { healthCheck: {} },
      pool: { probe: () => new Promise(() => {}) },
    });
    await stand.arrive();
    assert.equal((await stand.record()).end, 'SC');
    assert.deepEqual([stand.server().health.up, stand.server().health.reason], [false, 'host unreachable']);
    await stand.arrive();
    const { end, server, via } = await stand.record(2);
    assert.deepEqual([end, server, via, stand.told.length], ['SC', undefined, undefined, 1], 'no server is usable now');
  });

  test('because nobody answers in time is the server’s timeout', async (t) => {
    const stand = await ProxyStand.open(t, {
      sockets: deafSockets,
      backend: { retries: 1 },
      servers: ['s1', 's2'],
      timeouts: { connect: '30ms' },
    });
    const client = await stand.arrive();
    assert.equal(await client.isClosed(), 'ECONNRESET');
    const { end, retries, connectMs } = await stand.record();
    assert.deepEqual([end, retries, connectMs], ['sC', 1, undefined]);
    assert.deepEqual(stand.told, ['timeout s1', 'redispatched', 'timeout s2']);
  });
});

test('a client that resets while its server is dialled ends the dial, and no server is blamed', async (t) => {
  const stand = await ProxyStand.open(t, { sockets: deafSockets });
  const client = await stand.arrive();
  await stand.accepts(1);
  client.reset();
  assert.equal((await stand.record()).end, 'CC');
  assert.deepEqual(stand.told, []);
});

test('a client that is ended as its server fails is led to no other', async (t) => {
  const stand = await ProxyStand.open(t, { backend: { servers: { s1: await refusing() } }, servers: ['s2'] });
  stand.onConnectFailed = () => stand.frontend.killAll();
  await stand.arrive();
  const { end, server, retries } = await stand.record();
  assert.deepEqual([end, server, retries, stand.told], ['KC', 's1', 0, ['refused s1']]);
});

test('a client that is ended as its server has connected leaves that server, which counts nothing', async (t) => {
  const connect: Sockets['connect'] = (endpoint, reader) => {
    const wire = onreadSockets.connect(endpoint, reader);
    // The dial is over then, and its outcome on the way to the search.
    setImmediate(() => wire.socket.once('connect', () => stand.frontend.killAll()));
    return wire;
  };
  const stand: ProxyStand = await ProxyStand.open(t, { sockets: { ...onreadSockets, connect } });
  const client = await stand.arrive();
  const { end, server, connectMs } = await stand.record();
  assert.deepEqual([end, server, connectMs, stand.told], ['KC', 's1', undefined, []]);
  assert.deepEqual([stand.server().traffic.connections, stand.server().slots.taken], [0, 0]);
  await Promise.all([client.getsEnd(), (await stand.served()).getsEnd()]);
});

test('a client that has only finished while its server is dialled still gets its server', async (t) => {
  const stand = await ProxyStand.open(t);
  const client = await stand.arrive();
  client.end();
  const server = await stand.served();
  await server.getsEnd();
  server.end();
  await client.getsEnd();
  assert.equal((await stand.record()).end, '--');
});

describe('a client for which no server has a place', () => {
  const oneEach = (...names: string[]): object =>
    Object.fromEntries(names.map((name) => [name, { maxConnections: 1 }]));

  async function full(t: TestContext, timeouts = {}): Promise<{ stand: ProxyStand; first: Peer; second: Peer }> {
    const stand = await ProxyStand.open(t, { backend: { servers: oneEach('s1') }, timeouts });
    const { client: first } = await stand.join();
    const second = await stand.arrive();
    await eventually('nobody waits', () => stand.server().slots.waiting === 1);
    return { stand, first, second };
  }

  test('waits, and has the place of the connection that ends, with nothing lost of what it has sent', async (t) => {
    const { stand, first, second } = await full(t);
    second.socket.write('while it waits');
    first.reset();
    const server = await stand.served();
    server.read();
    await server.gets('while it waits'.length);
    second.end();
    server.end();
    const { end, queueMs, via } = await stand.record(2);
    assert.deepEqual([end, queueMs > 0, via], ['--', true, 'stuck']);
  });

  test('is reset when it has waited for too long', async (t) => {
    const { stand, second } = await full(t, { queue: '30ms' });
    assert.equal(await second.isClosed(), 'ECONNRESET');
    const { end, queueMs, server, connectMs } = await stand.record();
    assert.deepEqual([end, server, connectMs], ['sQ', 's1', undefined]);
    assert.ok(queueMs >= 29, `${queueMs} ms`);
    assert.equal(stand.server().connections, 1);
  });

  test('and that leaves gives its place in the queue up, without a timer', async (t) => {
    const { stand, second } = await full(t, { queue: '1h' });
    const before = timers();
    second.reset();
    assert.equal((await stand.record()).end, 'CQ');
    assert.equal(stand.server().slots.waiting, 0);
    assert.equal(timers(), before - 1);
  });

  test('and that leaves as it is given its place gives that back', async (t) => {
    const { stand, first, second } = await full(t);
    const server = stand.server();
    const granted = t.mock.method(server, 'releaseSlot', () => {
      granted.mock.restore();
      server.releaseSlot();
      // The place is the second client's already, which has not heard of it.
      stand.frontend.killAll();
    });
    first.reset();
    assert.equal((await stand.record(2)).end, 'KQ');
    assert.deepEqual([server.slots.taken, server.slots.waiting], [0, 0]);
    await second.getsEnd();
  });

  test('goes to another server when its own is taken out, and has waited the sum of all its waits', async (t) => {
    const stand = await ProxyStand.open(t, { servers: ['s1', 's2'], backend: { servers: oneEach('s1', 's2') } });
    await stand.join('127.0.0.1');
    await stand.join('127.0.0.2');
    const [s1, s2] = [stand.server('s1'), stand.server('s2')];
    await stand.arrive('127.0.0.1');
    await eventually('nobody waits', () => s1.slots.waiting === 1);
    s1.setAdmin('maint');
    await eventually('nobody waits', () => stand.backend.waiting === 1);
    assert.equal(s1.slots.waiting, 0);
    s2.setAdmin('maint');
    const { end, queueMs, server, via, retries } = await stand.record();
    assert.deepEqual({ end, server, via, retries }, { end: 'SC', server: undefined, via: undefined, retries: 0 });
    assert.ok(queueMs > 0);
  });
});

/** One server: what its checks are asked and may tell, what it weighs, what the observer hears of it. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { connectFailure, CONNECT_FAILURES } from '../../../src/pool/failures.ts';
import type { Probe, ProbeResult } from '../../../src/pool/probe/probe.ts';
import { Server } from '../../../src/pool/server.ts';
import type { ServerTerms } from '../../../src/pool/terms.ts';
import { backendConfig } from '../../support/backend.ts';
import { settled, SILENT } from '../../support/pool.ts';

function terms(server: object, healthCheck: object | false = {}): ServerTerms {
  const { servers, ...backend } = backendConfig({
    healthCheck,
    servers: { s1: { address: '10.0.0.1:5000', ...server } },
  });
  const { sendProxy, resolveInterval, source } = backend;
  return { sendProxy, resolveInterval, source, ...servers['s1'], healthCheck: backend.healthCheck } as ServerTerms;
}

type Asked = { readonly with: Parameters<Probe>; answer(result: ProbeResult): Promise<void> };

/** A server in force whose checks are answered by hand, on a clock that stands still until `pass`. */
function watched(t: TestContext, config: ServerTerms) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let nowMs = 1_000_000;
  t.mock.method(performance, 'now', () => nowMs);
  const [told, asked]: [string[], Asked[]] = [[], []];
  const server = new Server({
    backend: 'b',
    name: 's1',
    config,
    observer: {
      serverChanged: ({ health }, before) => void told.push(`${before.up} -> ${health.up}`),
      serverChecked: (_, ok) => void told.push(ok ? 'good' : 'bad'),
      storageChanged() {},
      adminChanged: ({ admin }, before) => void told.push(`${before} -> ${admin}`),
      weightChanged: (_, weight, before) => void told.push(`weight ${before} -> ${weight}`),
      serverCame() {},
      serverLeft() {},
      clientCrowds() {},
      sharedChanged() {},
      sharedAnswered() {},
      sharedStatesFailed() {},
      nameChanged() {},
    },
    probe: (...args) =>
      new Promise((resolve) => {
        asked.push({
          with: args,
          answer(result) {
            resolve(result);
            return settled();
          },
        });
      }),
  });
  t.after(() => server.close());
  const pass = async (ms: number): Promise<void> => {
    nowMs += ms;
    t.mock.timers.tick(ms);
    await settled();
  };
  return { server, told, asked, pass };
}

const GOOD: ProbeResult = { ok: true };
const BAD: ProbeResult = { ok: false, reason: 'connection refused' };

/** The first check takes the server down, the second brings it up again. */
async function recover(asked: readonly Asked[], pass: (ms: number) => Promise<void>): Promise<void> {
  await pass(0);
  await asked[0]!.answer(BAD);
  await pass(2_000);
  await asked[1]!.answer(GOOD);
}

test('a check is of the address in use, by the name that a certificate is for, with the header that clients get', async (t) => {
  const config = terms({ sendProxy: 'v2' });
  const { server, asked, pass } = watched(t, config);
  await server.start();
  server.enter();
  await pass(0);
  const [endpoint, name, check, sendProxy, ended] = asked[0]!.with;
  assert.deepEqual(
    [endpoint, name, check, sendProxy],
    [{ host: '10.0.0.1', port: 5000 }, '10.0.0.1', config.healthCheck, 'v2'],
  );
  assert.equal(ended?.aborted, false);
  server.close();
  assert.equal(ended?.aborted, true);
});

test('a server that DNS has found is checked by the name that it was found for', async (t) => {
  const { server, asked, pass } = watched(t, { ...terms({}), foundAs: 'node1.test' });
  await server.start();
  await pass(0);
  assert.equal(asked[0]!.with[1], 'node1.test');
});

test('a check of another port goes there, and without a PROXY header', async (t) => {
  const { server, asked, pass } = watched(t, terms({ sendProxy: 'v1' }, { port: 8080 }));
  await server.start();
  await pass(0);
  const [endpoint, , , sendProxy] = asked[0]!.with;
  assert.deepEqual([endpoint, sendProxy], [{ host: '10.0.0.1', port: 8080 }, 'none']);
});

test('a server keeps how long its last check took, and the expiry that its last TLS check saw', async (t) => {
  const { server, told, asked, pass } = watched(t, terms({}, { interval: '2s', fastInterval: '500ms', fall: 3 }));
  await server.start();
  server.enter();
  assert.deepEqual([server.lastCheckSeconds, server.certificateExpiry], [undefined, undefined]);
  await pass(0);
  await pass(250);
  await asked[0]!.answer({ ok: true, certificateExpiry: 1_900_000_000 });
  assert.deepEqual([server.lastCheckSeconds, server.certificateExpiry], [0.25, 1_900_000_000]);
  await pass(3_000);
  await asked[1]!.answer(BAD);
  assert.deepEqual([server.lastCheckSeconds, server.certificateExpiry], [0, 1_900_000_000]);
  await pass(1_000);
  await pass(50);
  await asked[2]!.answer({ ok: false, reason: 'out of local ports', notMade: true });
  assert.equal(server.lastCheckSeconds, 0, 'a check that could not be made took no time');
  assert.deepEqual(told, ['good', 'bad']);
});

test('the result of a check that was broken off says nothing', async (t) => {
  const { server, told, asked, pass } = watched(t, terms({}));
  await server.start();
  server.enter();
  await pass(0);
  server.close();
  await asked[0]!.answer(BAD);
  assert.deepEqual([server.health.up, server.lastCheckSeconds, told], [true, undefined, []]);
});

test('the observer hears of checks, changes and the operator only while the server is in force', async (t) => {
  const { server, told, asked, pass } = watched(t, terms({}, { fall: 1, rise: 1 }));
  server.setAdmin('drain');
  await server.start();
  await pass(0);
  await asked[0]!.answer(BAD);
  assert.deepEqual([server.health.up, told], [false, []]);
  server.enter();
  await pass(3_000);
  await asked[1]!.answer(GOOD);
  server.setAdmin('ready');
  server.setAdmin('ready');
  assert.deepEqual(told, ['true -> false', 'good', 'false -> true', 'drain -> ready']);
  server.leave();
  server.setAdmin('maint');
  assert.equal(told.length, 4);
});

test('after a recovery the weight grows to the whole over slowStart, from a hundredth', async (t) => {
  const { server, asked, pass } = watched(
    t,
    terms({ weight: 50, slowStart: '100s' }, { fall: 1, rise: 1, interval: '1s' }),
  );
  await server.start();
  server.enter();
  assert.equal(server.weight, 50, 'a server that has been up since the start has its whole weight');
  await recover(asked, pass);
  assert.equal(server.weight, 0.5);
  const grown: number[] = [];
  for (const ms of [1_000, 24_000, 50_000, 25_000, 500_000]) {
    await pass(ms);
    grown.push(server.weight);
  }
  assert.deepEqual(grown, [0.5, 12.5, 37.5, 50, 50]);
});

test('without slowStart a server that has recovered weighs what it weighed', async (t) => {
  const { server, asked, pass } = watched(t, terms({ weight: 7 }, { fall: 1, rise: 1, interval: '1s' }));
  await server.start();
  server.enter();
  await recover(asked, pass);
  assert.equal(server.weight, 7);
});

test('a server that starts anew is one that nothing is known of', async (t) => {
  const { server, asked, pass } = watched(
    t,
    terms({ weight: 50, slowStart: '100s' }, { fall: 1, rise: 1, interval: '1s' }),
  );
  await server.start();
  server.enter();
  await recover(asked, pass);
  assert.equal(server.weight, 0.5);
  server.leave();
  assert.deepEqual([server.stage, server.usable], ['away', false]);
  await server.start();
  assert.deepEqual([server.stage, server.weight, server.health.fresh], ['planned', 50, true]);
});

test('usable is: in force, up, not in maint, and at a known address', async (t) => {
  const { server, asked, pass } = watched(t, terms({}, { fall: 1 }));
  assert.equal(server.usable, false);
  await server.start();
  assert.equal(server.usable, false, 'planned');
  server.enter();
  assert.equal(server.usable, true);
  server.setAdmin('drain');
  assert.equal(server.usable, true);
  server.setAdmin('maint');
  assert.equal(server.usable, false);
  server.setAdmin('ready');
  await pass(0);
  await asked[0]!.answer(BAD);
  assert.equal(server.usable, false);
});

test('a failed connection to another address or port than the server’s counts for nothing', async (t) => {
  const { server, asked, pass } = watched(t, terms({}, { fall: 1 }));
  await server.start();
  server.enter();
  await pass(0);
  await asked[0]!.answer(GOOD);
  server.connectFailed({ host: '10.0.0.1', port: 5001 }, 'refused');
  server.connectFailed({ host: '10.0.0.2', port: 5000 }, 'refused');
  assert.equal(server.health.up, true);
  server.connectFailed({ host: '10.0.0.1', port: 5000 }, 'refused');
  assert.deepEqual([server.health.up, server.health.reason], [false, 'refused']);
});

test('without checks a failed connection takes nothing down', async (t) => {
  const { server } = watched(t, terms({}, false));
  await server.start();
  server.enter();
  for (let i = 0; i < 5; i++) server.connectFailed({ host: '10.0.0.1', port: 5000 }, 'refused');
  assert.equal(server.usable, true);
});

test('a server that was down is up where checks are no longer configured', async (t) => {
  const { server, told, asked, pass } = watched(t, terms({}, { fall: 1 }));
  await server.start();
  server.enter();
  await pass(0);
  await asked[0]!.answer(BAD);
  server.change(terms({}, false));
  assert.deepEqual([server.health.up, told], [true, ['bad', 'true -> false', 'false -> true']]);
  await pass(60_000);
  assert.equal(asked.length, 1);
});

test('every failure of a connect has its reason and its words', () => {
  const of = (code: string | undefined, message = 'words') =>
    connectFailure(Object.assign(new Error(message), { code }));
  const table = {
    ECONNREFUSED: 'refused: connection refused',
    EHOSTUNREACH: 'unreachable: host unreachable',
    EHOSTDOWN: 'unreachable: host is down',
    ENETUNREACH: 'unreachable: network unreachable',
    ENETDOWN: 'unreachable: network is down',
    EPERM: 'other: a firewall of this machine forbids the connect (EPERM)',
    EACCES: 'other: SELinux, or a route of this machine, forbids the connect (EACCES)',
    EAFNOSUPPORT: 'other: this machine has no IPv6 (EAFNOSUPPORT)',
    EINVAL: 'other: no way to the address (EINVAL): a blackhole route, or a link-local address without its %interface',
    ETIMEDOUT: 'timeout: connect timed out',
    ECONNRESET: 'reset: connection reset',
    EMFILE: 'resources: out of file descriptors',
    ENFILE: 'resources: the system is out of file descriptors',
    ENOBUFS: 'resources: out of socket buffers',
    ENOMEM: 'resources: out of memory',
    EADDRNOTAVAIL: 'no_port: out of local ports towards this server',
    EPROTO: 'other: EPROTO',
  };
  for (const [code, expected] of Object.entries(table)) {
    const { reason, text } = of(code);
    assert.equal(`${reason}: ${text}`, expected);
  }
  assert.deepEqual(of(undefined), { reason: 'other', text: 'words' });
  assert.deepEqual(new Set(Object.values(table).map((one) => one.split(':')[0])), new Set(CONNECT_FAILURES));
});

/** A server in force at an address that its name has, with the questions for names and the checks that it has made. */
async function named(t: TestContext, healthCheck: object | false) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const asked: string[] = [];
  const checked: string[] = [];
  const waiting: ((addresses: string[]) => void)[] = [];
  const config = (address: string, options: object = {}) => terms({ address, ...options }, healthCheck);
  const server = new Server({
    backend: 'b',
    name: 's1',
    config: config('r1.test:5000'),
    observer: SILENT,
    lookup: (name) => {
      asked.push(name);
      return new Promise((resolve) => waiting.push(resolve));
    },
    probe: async ({ host, port }) => {
      checked.push(`${host}:${port}`);
      return GOOD;
    },
  });
  t.after(() => server.close());
  const answer = async (...addresses: string[]): Promise<void> => {
    waiting.shift()?.(addresses);
    await settled();
    await pass(0);
  };
  const pass = async (ms: number): Promise<void> => {
    t.mock.timers.tick(ms);
    await settled();
  };
  void server.start();
  server.enter();
  assert.equal(server.usable, false, 'its address is not known yet');
  server.connectFailed({ host: '10.0.0.1', port: 5000 }, 'refused');
  server.change(config('r1.test:5000'));
  await pass(0);
  assert.deepEqual([checked, server.health.up], [[], true], 'nothing is checked before the address is known');
  await answer('10.0.0.1', '10.0.0.2');
  return { server, config, asked, checked, answer, pass };
}

for (const healthCheck of [{}, false] as const) {
  const title = healthCheck === false ? 'without checks' : 'with checks';

  test(`${title}: another port or another name is looked up, and used once its answer is there`, async (t) => {
    const { server, config, asked, answer } = await named(t, healthCheck);
    assert.deepEqual([asked, server.endpoint], [['r1.test'], { host: '10.0.0.1', port: 5000 }]);
    server.change({ ...server.config, ...config('r1.test:5001') });
    assert.deepEqual(server.endpoint, { host: '10.0.0.1', port: 5000 });
    await answer('10.0.0.1');
    assert.deepEqual(server.endpoint, { host: '10.0.0.1', port: 5001 });
    server.change({ ...server.config, ...config('r2.test:5001') });
    await answer('10.0.0.9');
    assert.deepEqual([asked, server.endpoint], [['r1.test', 'r1.test', 'r2.test'], { host: '10.0.0.9', port: 5001 }]);
  });

  test(`${title}: another interval alone is asked for at once, and the same terms ask nothing`, async (t) => {
    const { server, config, asked, answer, pass } = await named(t, healthCheck);
    server.change(config('r1.test:5000'));
    assert.equal(asked.length, 1);
    server.change(config('r1.test:5000', { resolveInterval: '7s' }));
    assert.equal(asked.length, 2);
    await answer('10.0.0.1');
    await pass(6_900);
    assert.equal(asked.length, 2);
    await pass(200);
    assert.equal(asked.length, 3);
  });
}

test('the checks of a server go on undisturbed where its checks are not configured anew', async (t) => {
  const { server, checked, pass } = await named(t, { interval: '10s' });
  assert.deepEqual(checked, ['10.0.0.1:5000']);
  server.change({ ...server.config, maxConnections: 5 });
  await pass(0);
  assert.equal(checked.length, 1);
  server.change({ ...server.config, healthCheck: terms({}, { interval: '20s' }).healthCheck });
  await pass(0);
  assert.equal(checked.length, 2);
});

test('without checks a failed connection sends the next to the next address of the name', async (t) => {
  const { server } = await named(t, false);
  server.connectFailed({ host: '10.0.0.1', port: 5000 }, 'refused');
  assert.deepEqual([server.endpoint?.host, server.health.up], ['10.0.0.2', true]);
});

test('at a new place a server is one that nothing is known of: it is up, and its whole weight counts', async (t) => {
  const results = [BAD, GOOD];
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const told: boolean[] = [];
  const config = (address: string) => terms({ address, weight: 10, slowStart: '1h' }, { fall: 1, interval: '1h' });
  const server = new Server({
    backend: 'b',
    name: 's1',
    config: config('10.0.0.1:5000'),
    observer: {
      serverChanged: ({ health }) => void told.push(health.up),
      serverChecked() {},
      storageChanged() {},
      adminChanged() {},
      weightChanged() {},
      serverCame() {},
      serverLeft() {},
      clientCrowds() {},
      sharedChanged() {},
      sharedAnswered() {},
      sharedStatesFailed() {},
      nameChanged() {},
    },
    probe: async () => results.shift() ?? GOOD,
  });
  t.after(() => server.close());
  await server.start();
  server.enter();
  t.mock.timers.tick(1);
  await settled();
  assert.deepEqual([server.health.up, server.health.fresh], [false, false]);
  server.change(config('10.0.0.2:5000'));
  await settled();
  assert.deepEqual([server.health.up, server.health.fresh, told], [true, true, [false, true]]);
});

test('a name that does not resolve takes a server down since then, and no longer as a fresh one', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  t.mock.method(Date, 'now', () => 5_000);
  const server = new Server({
    backend: 'b',
    name: 's1',
    config: terms({ address: 'r.test:5000' }),
    observer: SILENT,
    lookup: () => Promise.reject(new Error('no such name')),
    probe: async () => GOOD,
  });
  t.after(() => server.close());
  await server.start();
  const reason = 'r.test does not resolve: no such name';
  assert.deepEqual(server.health, { up: false, streak: 0, fresh: false, reason, since: 5_000 });
  t.mock.method(Date, 'now', () => 9_000);
  t.mock.timers.tick(2_000);
  await settled();
  assert.equal(server.health.since, 5_000, 'still the same outage');
});

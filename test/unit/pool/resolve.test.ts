import assert from 'node:assert/strict';
import { mock, test, type TestContext } from 'node:test';
import { NameWatch, systemLookup, type Lookup, type Resolution } from '../../../src/pool/resolve.ts';
import type { ProbeResult } from '../../../src/pool/probe/probe.ts';
import { settled, testServer, type TestServer } from '../../support/pool.ts';

/** Stands for DNS: what it says is what the test has set. */
class Names {
  asked = 0;
  says: readonly string[] | string = [];
  closed: AbortSignal | undefined;
  readonly lookup: Lookup = (_, closed) => {
    this.asked++;
    this.closed = closed;
    if (typeof this.says !== 'string') return Promise.resolve(this.says);
    return Promise.reject(new Error(this.says));
  };
}

function watched(t: TestContext, says: Names['says']) {
  mock.timers.enable({ apis: ['setTimeout'] });
  const names = new Names();
  names.says = says;
  const answers: Resolution[] = [];
  const watch = new NameWatch('registry1', 30_000, (answer) => answers.push(answer), names.lookup);
  t.after(() => {
    watch.close();
    mock.timers.reset();
  });
  return { names, answers, watch };
}

async function tick(ms: number): Promise<void> {
  mock.timers.tick(ms);
  await settled();
}

test('a name is asked for again and again', async (t) => {
  const { names, answers, watch } = watched(t, ['10.0.0.1']);
  await watch.start();
  assert.deepEqual(answers, [{ addresses: ['10.0.0.1'] }]);
  names.says = ['10.0.0.2'];
  await tick(29_999);
  assert.equal(answers.length, 1);
  await tick(1);
  assert.deepEqual(answers[1], { addresses: ['10.0.0.2'] });
});

test('a name that does not resolve is an answer, and is asked for again soon', async (t) => {
  const { names, answers, watch } = watched(t, 'no such name');
  await watch.start();
  assert.deepEqual(answers, [{ failure: 'no such name' }]);
  await tick(1_999);
  assert.equal(names.asked, 1);
  await tick(1);
  assert.equal(names.asked, 2);
});

test('an address answers for itself and is not asked for', async (t) => {
  const names = new Names();
  for (const address of ['10.0.0.1', '2001:db8::1']) {
    const answers: Resolution[] = [];
    const watch = new NameWatch(address, 30_000, (answer) => answers.push(answer), names.lookup);
    t.after(() => watch.close());
    await watch.start();
    assert.deepEqual([answers, names.asked], [[{ addresses: [address] }], 0]);
  }
});

test('close ends the question under way, an answer after it is not told, and nothing is asked for any more', async (t) => {
  const { names, answers, watch } = watched(t, ['10.0.0.1']);
  const started = watch.start();
  watch.close();
  assert.equal(names.closed?.aborted, true);
  await started;
  await tick(1_000_000);
  assert.deepEqual([answers.length, names.asked], [0, 1]);
});

test('the system resolver gives the addresses of localhost, IPv4 first', async () => {
  const addresses = await systemLookup('localhost');
  assert.equal(addresses[0], '127.0.0.1');
  await assert.rejects(systemLookup('no-such-host.invalid'));
});

type Scene = { server: TestServer; names: Names; checked: string[]; good: Set<string> };

/** A server whose address is a name, whose checks are good at the addresses in `good`. */
async function scene(t: TestContext, says: Names['says'], healthCheck: object | false = {}): Promise<Scene> {
  mock.timers.enable({ apis: ['setTimeout'] });
  const names = new Names();
  names.says = says;
  const [checked, good] = [[] as string[], new Set(['10.0.0.1', '10.0.0.2'])];
  const probe = (host: string): Promise<ProbeResult> => {
    checked.push(host);
    return Promise.resolve(good.has(host) ? { ok: true } : { ok: false, reason: 'connection refused' });
  };
  const server = testServer('s1', { address: 'registry1:5000', healthCheck, lookup: names.lookup, probe });
  t.after(() => {
    server.close();
    mock.timers.reset();
  });
  await server.start();
  await tick(1);
  return { server, names, checked, good };
}

/** As long as it takes for any check and any question to come round. */
async function whileLong(): Promise<void> {
  for (let i = 0; i < 320; i++) await tick(100);
}

test('a server whose name does not resolve is down, and says why', async (t) => {
  const { server, checked } = await scene(t, 'ENOTFOUND');
  assert.deepEqual([server.health.up, server.usable, server.endpoint], [false, false, undefined]);
  assert.deepEqual(server.told, ['registry1 does not resolve: ENOTFOUND']);
  await whileLong();
  assert.deepEqual([server.told.length, checked], [1, []]);
});

test('it comes up once its name resolves and its checks are good', async (t) => {
  const { server, names } = await scene(t, 'ENOTFOUND');
  names.says = ['10.0.0.1'];
  await whileLong();
  assert.deepEqual(server.told, ['registry1 does not resolve: ENOTFOUND', 'up']);
  assert.deepEqual([server.usable, server.endpoint], [true, { host: '10.0.0.1', port: 5000 }]);
});

test('without health checks it comes up as soon as its name resolves', async (t) => {
  const { server, names } = await scene(t, 'EAI_AGAIN', false);
  assert.equal(server.usable, false);
  names.says = ['10.0.0.1'];
  await tick(2_000);
  assert.deepEqual([server.usable, server.told], [true, ['registry1 does not resolve: EAI_AGAIN', 'up']]);
});

test('a resolver that fails later changes nothing: the last good answer stays', async (t) => {
  const { server, names } = await scene(t, ['10.0.0.1']);
  names.says = 'ESERVFAIL';
  await whileLong();
  await whileLong();
  assert.ok(names.asked > 5);
  assert.deepEqual([server.usable, server.endpoint?.host, server.told], [true, '10.0.0.1', []]);
});

test('a server stays at its address while that is still an answer, and follows its name when it is not', async (t) => {
  const { server, names } = await scene(t, ['10.0.0.1', '10.0.0.2']);
  names.says = ['10.0.0.2', '10.0.0.1'];
  await whileLong();
  assert.equal(server.endpoint?.host, '10.0.0.1');
  names.says = ['10.0.0.2'];
  await whileLong();
  assert.deepEqual([server.endpoint?.host, server.told], ['10.0.0.2', []]);
});

test('a server whose checks fail has its name asked for every two seconds, and follows it to its new address', async (t) => {
  const { server, names, good } = await scene(t, ['10.0.0.1'], { interval: '1s' });
  await whileLong();
  assert.ok(names.asked <= 3, `asked ${names.asked} times while all was well`);
  good.delete('10.0.0.1');
  const before = names.asked;
  for (let i = 0; i < 100; i++) await tick(100);
  assert.ok(names.asked - before >= 3 && names.asked - before <= 6, `asked ${names.asked - before} times in 10 s`);
  assert.equal(server.usable, false);
  // As a container that is made anew.
  names.says = ['10.0.0.2'];
  for (let i = 0; i < 60; i++) await tick(100);
  assert.deepEqual([server.endpoint?.host, server.usable], ['10.0.0.2', true]);
  const well = names.asked;
  for (let i = 0; i < 200; i++) await tick(100);
  assert.equal(names.asked, well, 'nothing hurries any more');
});

test('of several addresses, the next one is taken where a check fails', async (t) => {
  const { server, good, checked } = await scene(t, ['10.0.0.1', '10.0.0.2']);
  good.delete('10.0.0.1');
  await whileLong();
  assert.deepEqual([server.endpoint?.host, server.usable, server.told], ['10.0.0.2', true, []]);
  good.delete('10.0.0.2');
  checked.length = 0;
  await whileLong();
  assert.deepEqual(server.told, ['connection refused']);
  assert.ok(
    checked.slice(2).every((host, i) => host !== checked[i + 1]),
    checked.join(),
  );
});

test('of several addresses, the next one is taken where a connection fails, and only once for each address', async (t) => {
  const { server } = await scene(t, ['10.0.0.1', '10.0.0.2'], false);
  server.connectFailed({ host: '10.0.0.1', port: 5000 }, 'connection refused');
  server.connectFailed({ host: '10.0.0.1', port: 5000 }, 'connection refused');
  assert.equal(server.endpoint?.host, '10.0.0.2');
  server.connectFailed({ host: '10.0.0.2', port: 5000 }, 'connection refused');
  assert.deepEqual([server.endpoint?.host, server.usable], ['10.0.0.1', true]);
});

test('a failed connection counts as a failed check and brings the next one forward', async (t) => {
  const { server, checked } = await scene(t, ['10.0.0.1']);
  const before = checked.length;
  server.connectFailed({ host: '10.0.0.1', port: 5000 }, 'connection refused');
  server.connectFailed({ host: '10.0.0.1', port: 5000 }, 'connection refused');
  assert.equal(server.usable, true);
  await tick(100);
  assert.equal(checked.length, before + 1);
  for (let i = 0; i < 3; i++) server.connectFailed({ host: '10.0.0.1', port: 5000 }, 'connection refused');
  assert.deepEqual([server.usable, server.told], [false, ['connection refused']]);
});

test('a check that this machine could not make says nothing of the server', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  let checks = 0;
  const probe = async (): Promise<ProbeResult> => {
    checks++;
    return { ok: false, reason: 'out of file descriptors', notMade: true };
  };
  const server = testServer('s1', { probe });
  t.after(() => {
    server.close();
    mock.timers.reset();
  });
  await server.start();
  await whileLong();
  assert.ok(checks > 5);
  assert.deepEqual([server.usable, server.told], [true, []]);
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { parseBind } from '../../../src/config/values.ts';
import { Listeners } from '../../../src/listeners/listeners.ts';
import type { Owner, Site } from '../../../src/listeners/site.ts';
import { parking } from '../../support/listening.ts';

const FRONTEND: Owner = { kind: 'frontend', name: 'f' };
const METRICS: Owner = { kind: 'metrics', name: 'metrics' };
const ADMIN: Owner = { kind: 'admin', name: 'admin' };

/** Says to each client whom it has reached. */
const site = (owner: Owner, text: string, optional = false): Site => {
  const bind = parseBind(text);
  assert.ok(bind);
  return { owner, bind, optional, take: (socket) => socket.end(owner.kind) };
};

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function whoAnswers(port: number): Promise<string> {
  let heard = '';
  const socket = connect(port, '127.0.0.1').setEncoding('utf8');
  socket.on('data', (text: string) => (heard += text));
  await once(socket, 'end');
  socket.end();
  return heard;
}

function listeners(t: TestContext): Listeners {
  const all = new Listeners({ listenFailed() {}, listensAtLast() {} });
  t.after(() => all.close());
  return all;
}

for (const owner of [FRONTEND, METRICS]) {
  test(`an optional site on the bind of the ${owner.kind} is missing, at a start and at a reload`, async (t) => {
    const all = listeners(t);
    const port = await freePort();
    const bind = `127.0.0.1:${port}`;
    for (const round of ['start', 'reload']) {
      const step = await all.plan([site(owner, bind), site(ADMIN, bind, true)], parking());
      assert.deepEqual(
        step.missing.map(({ code }) => code),
        ['EADDRINUSE'],
        round,
      );
      step.commit();
      assert.equal(await whoAnswers(port), owner.kind, round);
      assert.deepEqual(all.addressesOf(ADMIN), [], round);
    }
  });
}

test('an optional site that has its bind gives the bind to an owner that asks for it', async (t) => {
  const all = listeners(t);
  const port = await freePort();
  const bind = `127.0.0.1:${port}`;
  (await all.plan([site(ADMIN, bind, true)], parking())).commit();
  assert.equal(await whoAnswers(port), 'admin');
  const step = await all.plan([site(FRONTEND, bind), site(ADMIN, bind, true)], parking());
  assert.deepEqual(step.opened, [{ owner: FRONTEND, address: bind }]);
  step.commit();
  assert.equal(await whoAnswers(port), 'frontend');
});

test('owners that change places listen anew, for the log, and one that stays does not', async (t) => {
  const all = listeners(t);
  const [one, two, three] = [await freePort(), await freePort(), await freePort()];
  const at = (port: number): string => `127.0.0.1:${port}`;
  (await all.plan([site(FRONTEND, at(one)), site(METRICS, at(two)), site(ADMIN, at(three))], parking())).commit();
  const step = await all.plan([site(FRONTEND, at(two)), site(METRICS, at(one)), site(ADMIN, at(three))], parking());
  assert.deepEqual(step.opened, [
    { owner: FRONTEND, address: at(two) },
    { owner: METRICS, address: at(one) },
  ]);
  step.commit();
  assert.deepEqual([await whoAnswers(one), await whoAnswers(two)], ['metrics', 'frontend']);
});

test('an owner that has left is served until its listener has taken its backlog, and not after that', async (t) => {
  const all = listeners(t);
  (await all.plan([site(FRONTEND, '127.0.0.1:0')], parking())).commit();
  (await all.plan([], parking())).commit();
  assert.deepEqual(all.addressesOf(FRONTEND), []);
  assert.equal(all.serves(FRONTEND), true);
  await all.stop('frontend');
  assert.equal(all.serves(FRONTEND), false);
});

test('what waits for a commit shares its places, whatever the listener, and a commit or a rollback leaves them', async (t) => {
  const all = listeners(t);
  const ports = [await freePort(), await freePort()];
  const sites = ports.map((port) => site(FRONTEND, `127.0.0.1:${port}`));
  for (const how of ['rollback', 'commit'] as const) {
    const places = parking(3);
    const step = await all.plan(sites, places);
    const clients = [...ports, ...ports, ...ports].map((port) => connect(port, '127.0.0.1').on('error', () => {}));
    const closed = clients.map((client) => once(client.resume(), 'close'));
    await Promise.race(closed);
    assert.equal(places.parked, 3);
    step[how]();
    for (const client of clients) client.end();
    await Promise.all(closed);
    assert.equal(places.parked, 0);
  }
});

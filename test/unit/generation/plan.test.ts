/** A plan that cannot be put in force, or is not, leaves nothing; one that is changes everything at one moment. */
import assert from 'node:assert/strict';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { Http } from '../../../src/admin/http.ts';
import { schema, type Config } from '../../../src/config/schema.ts';
import { StartError } from '../../../src/errors.ts';
import type { Generation } from '../../../src/generation/generation.ts';
import { House } from '../../../src/generation/house.ts';
import { plan } from '../../../src/generation/plan.ts';
import type { Log } from '../../../src/log.ts';
import type { ConnectionRecord } from '../../../src/proxy/record.ts';
import { onreadSockets } from '../../../src/proxy/relay/sockets.ts';
import type { Reports } from '../../../src/reports.ts';
import { Rounds } from '../../../src/rounds.ts';
import { StateKeeper } from '../../../src/state.ts';
import type { View } from '../../../src/view.ts';
import { Client } from '../../support/clients.ts';
import { folderOf, openFilesOf } from '../../support/files.ts';
import { closedPort, listenRaw } from '../../support/listening.ts';
import { eventually } from '../../support/waiting.ts';

/** Nothing is stopped. */
const NEVER = new AbortController().signal;

/** What a process holds open, as far as it can be counted. */
function held(): { readonly listeners: number; readonly timers: number; readonly files: number } {
  const active = process.getActiveResourcesInfo();
  const count = (what: string): number => active.filter((one) => one === what).length;
  return { listeners: count('TCPServerWrap'), timers: count('Timeout'), files: openFilesOf(process.pid) };
}

/** Resolves when no more is held than it was then. */
async function isAgain(before: ReturnType<typeof held>): Promise<void> {
  await eventually(
    () => `${JSON.stringify(before)}, not ${JSON.stringify(held())}`,
    () => Object.entries(held()).every(([what, count]) => count <= before[what as keyof typeof before]),
  );
}

/** A house in which one generation after another comes into force. */
class Site {
  readonly house: House;
  readonly records: ConnectionRecord[] = [];
  /** What the observers have heard of servers. */
  readonly told: string[] = [];
  generation: Generation | undefined;
  readonly #clients: Client[] = [];

  constructor(t: TestContext) {
    const quiet = { tell() {}, info() {}, warn() {}, error() {} } as unknown as Log;
    const observer: Reports = {
      serverChanged: ({ name, health }) => void this.told.push(`${health.up ? 'up' : 'down'} ${name}`),
      adminChanged: ({ name, admin }) => void this.told.push(`${admin} ${name}`),
      weightChanged: ({ name }, weight) => void this.told.push(`weight ${weight} of ${name}`),
      serverChecked: ({ name }) => void this.told.push(`checked ${name}`),
      storageChanged() {},
      serverCame: ({ name }) => void this.told.push(`came ${name}`),
      serverLeft: ({ name }) => void this.told.push(`left ${name}`),
      clientCrowds() {},
      sharedChanged() {},
      sharedAnswered() {},
      sharedStatesFailed() {},
      nameChanged() {},
      refused() {},
      arrived: () => ({ joined() {}, moved() {}, left() {} }),
      connected() {},
      connectFailed() {},
      retried() {},
      listenFailed() {},
      listensAtLast() {},
      ended: (record) => void this.records.push(record),
    };
    this.house = new House({
      sockets: onreadSockets,
      observer,
      state: new StateKeeper(() => [...(this.generation?.backends.values() ?? [])], quiet),
      rounds: new Rounds({} as View, quiet),
      metrics: new Http(async (_, response) => void response.end('metrics')),
      admin: new Http(async (_, response) => void response.end('admin')),
    });
    const before = held();
    t.after(async () => {
      this.house.close();
      for (const { socket } of this.#clients) socket.destroy();
      await isAgain(before);
    });
  }

  async turn(config: Config): Promise<Generation> {
    const next = await plan(this.house, this.generation, config, NEVER);
    this.generation = next.generation;
    next.commit();
    return next.generation;
  }

  /** Who serves a client of this frontend. */
  async visit(frontend = 'f'): Promise<{ client: Client; by: string }> {
    const [address = ''] = this.house.listeners.addressesOf({ kind: 'frontend', name: frontend });
    const client = new Client({ port: Number(address.replace(/^.*:/, '')) });
    this.#clients.push(client);
    return { client, by: await client.line() };
  }
}

type Ports = { readonly one: number; readonly other: number };

/** Two servers that say their names. */
async function nodes(t: TestContext): Promise<Ports> {
  const [one, other] = [
    await listenRaw(t, (socket) => void socket.end('one\n')),
    await listenRaw(t, (socket) => void socket.end('other\n')),
  ];
  return { one, other };
}

type Changes = { readonly frontends?: object; readonly backends?: object; readonly [key: string]: unknown };

function configure(port: number, { frontends, backends, ...more }: Changes = {}): Config {
  return schema.parse({
    frontends: { f: { bind: '127.0.0.1:0', backend: 'b' }, ...frontends },
    backends: { b: { healthCheck: false, servers: { s1: `127.0.0.1:${port}` } }, ...backends },
    metrics: { bind: '127.0.0.1:0' },
    admin: { bind: '127.0.0.1:0' },
    ...more,
  });
}

/** What adds to each part: listeners, checks, names, servers. */
async function additions(port: number): Promise<Changes> {
  return {
    frontends: { g: { bind: ['127.0.0.1:0', `127.0.0.1:${await closedPort()}`], backend: 'c' } },
    backends: {
      c: {
        healthCheck: { interval: '10ms' },
        servers: { s1: `127.0.0.1:${port}`, s2: `127.0.0.1:${await closedPort()}`, s3: 'localhost:9' },
      },
    },
  };
}

async function takenPort(t: TestContext): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** What can go wrong, at each step of a plan, and what the StartError says of it. */
const FAULTS: Record<
  string,
  { readonly says: RegExp; readonly make: (t: TestContext, site: Site) => Promise<Changes> }
> = {
  'has no room for a connection below the open-file limit': {
    says: /open-file limit/,
    make: async (_, { house }) => {
      Object.assign(house, { otherFiles: Number.MAX_SAFE_INTEGER });
      return {};
    },
  },
  'names a state file that cannot be written': {
    says: /cannot write the state file/,
    make: async (t) => ({ state: { file: join(folderOf(t), 'no', 'state') } }),
  },
  'binds the metrics to a port that is taken': {
    says: /cannot listen on .* \(metrics\)/,
    make: async (t) => ({ metrics: { bind: `127.0.0.1:${await takenPort(t)}` } }),
  },
  'binds the admin address to a port that is taken': {
    says: /cannot listen on .* \(admin\)/,
    make: async (t) => ({ admin: { bind: `127.0.0.1:${await takenPort(t)}` } }),
  },
  'binds its last frontend to a port that is taken': {
    says: /cannot listen on .* \(frontend z\)/,
    make: async (t) => ({ frontends: { z: { bind: `127.0.0.1:${await takenPort(t)}`, backend: 'c' } } }),
  },
};

describe('a plan that', () => {
  for (const [fault, { says, make }] of Object.entries(FAULTS)) {
    for (const when of ['start', 'reload'] as const) {
      test(`${fault} is rejected and leaves nothing, at a ${when}`, async (t) => {
        const { one, other } = await nodes(t);
        const site = new Site(t);
        if (when === 'reload') await site.turn(configure(one));
        const { otherFiles } = site.house;
        const wrong = await make(t, site);
        const added = await additions(other);
        const wanted = configure(other, { ...added, ...wrong, frontends: { ...added.frontends, ...wrong.frontends } });
        const [before, told, frontends] = [held(), [...site.told], site.house.frontends];
        await assert.rejects(plan(site.house, site.generation, wanted, NEVER), (error) => {
          assert.ok(error instanceof StartError);
          assert.match(error.message, says);
          return true;
        });
        await isAgain(before);
        assert.deepEqual([site.told, site.house.frontends], [told, frontends]);
        if (when === 'reload') assert.equal((await site.visit()).by, 'one');
        Object.assign(site.house, { otherFiles });
        await site.turn(configure(other, added));
        assert.deepEqual([(await site.visit('f')).by, (await site.visit('g')).by], ['other', 'other']);
      });
    }
  }

  test('is good and is rolled back leaves nothing either, and those who came meanwhile are closed', async (t) => {
    const { one, other } = await nodes(t);
    const site = new Site(t);
    await site.turn(configure(one));
    const [before, told] = [held(), [...site.told]];
    const next = await plan(site.house, site.generation, configure(other, await additions(other)), NEVER);
    assert.equal(next.opened.length, 2);
    const [{ address } = { address: '' }] = next.opened;
    const early = new Client({ port: Number(address.replace(/^.*:/, '')) });
    await new Promise((resolve) => early.socket.once('connect', resolve));
    next.rollback();
    await early.ended;
    early.socket.destroy();
    await isAgain(before);
    assert.deepEqual([site.told, site.records], [told, []]);
    assert.equal((await site.visit()).by, 'one');
  });
});

/** Notes which backends are planned, committed and rolled back; the names of those in `waiting` are never answered for. */
function noting({ house }: Site, ...waiting: readonly string[]): string[] {
  const noted: string[] = [];
  const backend = house.backend.bind(house);
  house.backend = (name) => {
    const one = backend(name);
    const own = one.plan.bind(one);
    one.plan = (config) => {
      const step = own(config);
      noted.push(`plan ${name}`);
      const also = (what: 'commit' | 'rollback') => (): void => {
        noted.push(`${what} ${name}`);
        step[what]();
      };
      const ready = waiting.includes(name) ? new Promise<void>(() => {}) : step.ready;
      return { ...step, ready, commit: also('commit'), rollback: also('rollback') };
    };
    return one;
  };
  return noted;
}

test('each step that a failing plan has made is rolled back once, the last first, and none is committed', async (t) => {
  const { one, other } = await nodes(t);
  const site = new Site(t);
  const noted = noting(site);
  const wrong = { ...(await additions(other)), metrics: { bind: `127.0.0.1:${await takenPort(t)}` } };
  await assert.rejects(plan(site.house, undefined, configure(one, wrong), NEVER), StartError);
  assert.deepEqual(noted, ['plan b', 'plan c', 'rollback c', 'rollback b']);
});

test('a plan that waits for a name is given up when it is stopped, and one that is stopped before is not waited for', async (t) => {
  const { one } = await nodes(t);
  for (const first of [true, false]) {
    const site = new Site(t);
    const noted = noting(site, 'c');
    const stops = new AbortController();
    const added = await additions(one);
    const before = held();
    if (first) stops.abort();
    const planned = plan(site.house, undefined, configure(one, added), stops.signal);
    if (!first) setImmediate(() => stops.abort());
    await assert.rejects(planned, { code: 'STOPPING' });
    assert.deepEqual(noted, ['plan b', 'plan c', 'rollback c', 'rollback b']);
    await isAgain(before);
  }
});

test('a commit changes all at one moment, and keeps what has not changed', async (t) => {
  const { one, other } = await nodes(t);
  const site = new Site(t);
  const first = await site.turn(configure(one));
  const [b] = first.backends.values();
  const servers = b?.servers;
  const [address] = site.house.listeners.addressesOf({ kind: 'frontend', name: 'f' });
  const next = await plan(site.house, first, configure(one, await additions(other)), NEVER);
  assert.equal(next.generation.config.backends['b'], first.config.backends['b']);
  assert.ok(Object.isFrozen(next.generation));
  assert.deepEqual([site.house.frontends.length, (await site.visit()).by], [1, 'one'], 'nothing is in force yet');
  next.commit();
  assert.equal(next.generation.backends.get('b'), b);
  assert.deepEqual(b?.servers, servers);
  assert.deepEqual(site.house.listeners.addressesOf({ kind: 'frontend', name: 'f' }), [address]);
  assert.equal((await site.visit('g')).by, 'other');
  assert.deepEqual(
    next.opened.map(({ owner }) => owner.name),
    ['g', 'g'],
  );
});

test('a backend that stays, and whose checks stay, goes on checking its servers after a commit', async (t) => {
  const { one } = await nodes(t);
  const site = new Site(t);
  const checking = { b: { healthCheck: { interval: '50ms' }, servers: { s1: `127.0.0.1:${one}` } } };
  const checks = (): number => site.told.filter((what) => what === 'checked s1').length;
  await site.turn(configure(one, { backends: checking }));
  await site.turn(configure(one, { backends: checking, timeouts: { drain: '1s' } }));
  const before = checks();
  await eventually('no check', () => checks() > before + 2);
});

test('a start brings back what the file of the state says of its servers', async (t) => {
  const { one } = await nodes(t);
  const config = configure(one, { state: { file: join(folderOf(t), 'state') } });
  await t.test('by another process, which has ended', async (before) => {
    const site = new Site(before);
    const [server] = (await site.turn(config)).backends.get('b')!.servers;
    server!.setAdmin('maint');
    await site.house.state.save();
  });
  const site = new Site(t);
  const [restored] = (await site.turn(config)).backends.get('b')!.servers;
  assert.equal(restored?.admin, 'maint');
});

test('metrics and admin answer at their addresses, after another commit too', async (t) => {
  const { one } = await nodes(t);
  const site = new Site(t);
  for (const drain of ['1s', '2s']) {
    await site.turn(configure(one, { timeouts: { drain } }));
    for (const kind of ['metrics', 'admin'] as const) {
      const [address = ''] = site.house.listeners.addressesOf({ kind, name: kind });
      const response = await fetch(`http://${address}/`, { headers: { connection: 'close' } });
      assert.equal(await response.text(), kind);
    }
  }
});

test('a frontend that leaves with connections is known until they end, and is itself if it comes back', async (t) => {
  const { one } = await nodes(t);
  const holding = await listenRaw(t, (socket) => void socket.write('holding\n'));
  const site = new Site(t);
  const both = configure(one, {
    frontends: { g: { bind: '127.0.0.1:0', backend: 'c' } },
    backends: { c: { healthCheck: false, servers: { s1: `127.0.0.1:${holding}` } } },
  });
  await site.turn(both);
  const g = site.house.frontends.find(({ name }) => name === 'g');
  const { client } = await site.visit('g');
  const alone = await site.turn(configure(one));
  assert.ok(site.house.frontends.includes(g!) && g?.connections === 1);
  await eventually('its bind stands', () => !site.house.listeners.serves({ kind: 'frontend', name: 'g' }));
  site.house.forget(alone);
  assert.ok(site.house.frontends.includes(g), 'its connection stands');
  const again = await site.turn(both);
  assert.equal(again.frontends.get('g'), g);
  await site.turn(configure(one));
  client.socket.resetAndDestroy();
  await eventually('it stands', () => g?.connections === 0);
  assert.equal(site.records.at(-1)?.end, 'CD');
  // A removed bind stays until whoever came by its backlog was taken.
  await eventually('it is known', () => {
    site.house.forget(alone);
    return g !== undefined && !site.house.frontends.includes(g);
  });
});

test('a frontend that leaves without connections is known while its bind stands, for who comes by the backlog', async (t) => {
  const { one } = await nodes(t);
  const site = new Site(t);
  await site.turn(configure(one, { frontends: { g: { bind: '127.0.0.1:0', backend: 'b' } } }));
  const known = (): string[] => site.house.frontends.map(({ name }) => name);
  const next = await plan(site.house, site.generation, configure(one), NEVER);
  next.commit();
  assert.ok(site.house.listeners.serves({ kind: 'frontend', name: 'g' }));
  assert.deepEqual(known(), ['f', 'g']);
  await eventually('its bind stands', () => !site.house.listeners.serves({ kind: 'frontend', name: 'g' }));
  site.house.forget(next.generation);
  assert.deepEqual(known(), ['f']);
});

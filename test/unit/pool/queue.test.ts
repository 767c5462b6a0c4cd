/** Who waits for a place, and who gets which: both queues, under whatever happens to the servers. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import type { BackendConfig } from '../../../src/config/schema.ts';
import type { Stay } from '../../../src/pool/stay.ts';
import type { Outcome } from '../../../src/pool/queue.ts';
import type { AdminState } from '../../../src/pool/said.ts';
import type { Server } from '../../../src/pool/server.ts';
import { backendConfig, Scene } from '../../support/backend.ts';
import { inPart, settled } from '../../support/pool.ts';

type Limits = Readonly<
  Record<string, number | { readonly address?: string; readonly maxConnections?: number; readonly weight?: number }>
>;

/** Servers by name with their `maxConnections`; each is at an address of its own. */
function config(servers: Limits, more: object = {}): BackendConfig {
  const all = Object.entries(servers).map(([name, own]) => {
    const options = typeof own === 'number' ? { maxConnections: own } : own;
    return [name, { address: `10.0.0.${name.slice(1)}:5000`, ...options }] as const;
  });
  const healthCheck = { fall: 1, rise: 1, interval: '500ms', fastInterval: '500ms' };
  return backendConfig({ healthCheck, servers: Object.fromEntries(all), ...more });
}

/** One connection that looks for a place, and has it until `close`. */
class Comer {
  readonly client: string;
  readonly stay: Stay;
  /** How the search ended: a server's name, 'none', or 'left'; undefined while it waits. */
  got: string | undefined;
  server: Server | undefined;
  leave: () => void = () => {};

  constructor(scene: Scene, client: string, tried: ReadonlySet<Server> = new Set()) {
    this.client = client;
    this.stay = scene.backend.open(client);
    const choice = this.stay.choose(tried);
    if (choice.kind === 'full') {
      const wait = this.stay.wait(tried, choice.server);
      this.leave = () => wait.leave();
      void wait.outcome.then((outcome) => this.#ends(outcome));
    } else this.#ends(choice);
  }

  #ends(outcome: Outcome | undefined): void {
    if (outcome && outcome.kind !== 'none') this.server = outcome.server;
    this.got = outcome ? (this.server?.name ?? 'none') : 'left';
  }

  close(): void {
    this.leave();
    this.stay.close();
    this.server?.releaseSlot();
    this.server = undefined;
  }
}

async function opened(t: TestContext, servers: Limits, more?: object): Promise<Scene> {
  const scene = new Scene(t);
  await scene.commit(config(servers, more));
  return scene;
}

const got = async (...comers: readonly Comer[]): Promise<(string | undefined)[]> => {
  await settled();
  return comers.map((comer) => comer.got);
};

test('a newcomer waits for no server in particular: the place that comes free first is its', async (t) => {
  const scene = await opened(t, { s1: 1, s2: 1 });
  const [first, second] = [new Comer(scene, '10.1.1.1'), new Comer(scene, '10.1.1.2')];
  assert.deepEqual(await got(first, second), ['s1', 's2']);
  const bound = new Comer(scene, '10.1.1.1');
  const third = new Comer(scene, '10.1.1.3');
  assert.deepEqual([scene.server('s1').slots.waiting, scene.backend.waiting], [1, 1]);
  assert.equal(scene.backend.binding('10.1.1.3'), undefined, 'it is bound when it has its place');
  second.close();
  assert.deepEqual(await got(bound, third), [undefined, 's2']);
  assert.equal(scene.backend.binding('10.1.1.3')?.bound.name, 's2');
  first.close();
  assert.deepEqual(await got(bound), ['s1']);
});

for (const order of ['bound', 'new'] as const) {
  test(`the place is the ${order} client's where that has waited longer`, async (t) => {
    const scene = await opened(t, { s1: 1 });
    const holder = new Comer(scene, '10.1.1.1');
    const clients = order === 'bound' ? ['10.1.1.1', '10.1.1.2'] : ['10.1.1.2', '10.1.1.1'];
    const waiting = clients.map((client) => new Comer(scene, client));
    holder.close();
    assert.deepEqual(await got(...waiting), ['s1', undefined]);
    waiting[0]!.close();
    assert.deepEqual(await got(...waiting), ['s1', 's1']);
  });
}

test('connections of one new client that wait go to one server, and keep their age there', async (t) => {
  const scene = await opened(t, { s1: 1, s2: 1 });
  const [first, second] = [new Comer(scene, '10.1.1.1'), new Comer(scene, '10.1.1.2')];
  const news = [1, 2, 3].map(() => new Comer(scene, '10.1.1.3'));
  const late = new Comer(scene, '10.1.1.2');
  second.close();
  assert.deepEqual(await got(...news, late), ['s2', undefined, undefined, undefined]);
  assert.deepEqual([scene.backend.waiting, scene.server('s2').slots.waiting], [0, 3]);
  first.close();
  assert.deepEqual(await got(...news, late), ['s2', undefined, undefined, undefined], 's1 is not theirs');
  news[0]!.close();
  assert.deepEqual(await got(...news, late), ['s2', 's2', undefined, undefined], 'they were there before the other');
});

test('a newcomer does not get the place of a server that it has tried in vain while another may come free', async (t) => {
  const scene = await opened(t, { s1: 1, s2: 1 });
  const [first, second] = [new Comer(scene, '10.1.1.1'), new Comer(scene, '10.1.1.2')];
  const tried = new Comer(scene, '10.1.1.3', new Set([scene.server('s1')]));
  const other = new Comer(scene, '10.1.1.4');
  first.close();
  assert.deepEqual(await got(tried, other), [undefined, 's1']);
  second.close();
  assert.deepEqual(await got(tried), ['s2']);
});

test('a connection that moves its client takes those who wait along, to where there may be places', async (t) => {
  const scene = await opened(t, { s1: 1, s2: 3 });
  const holder = new Comer(scene, '10.1.1.1');
  const waiting = [new Comer(scene, '10.1.1.1'), new Comer(scene, '10.1.1.1')];
  assert.equal(scene.server('s1').slots.waiting, 2);
  const moved = new Comer(scene, '10.1.1.1', new Set([scene.server('s1')]));
  assert.deepEqual(await got(holder, moved, ...waiting), ['s1', 's2', 's2', 's2']);
});

test('a connection whose client moves to the very server that it has tried finds a place that is free', async (t) => {
  const scene = await opened(t, { s1: 1, s2: 2, s3: 2 });
  const holder = new Comer(scene, '10.1.1.1');
  const waiting = new Comer(scene, '10.1.1.1', new Set([scene.server('s2')]));
  assert.equal(scene.server('s1').slots.waiting, 1);
  const moved = new Comer(scene, '10.1.1.1', new Set([scene.server('s1'), scene.server('s3')]));
  assert.deepEqual(await got(holder, moved, waiting), ['s1', 's2', 's3']);
});

test('a client that is unbound goes on where it is served; those of it that wait go where a place is', async (t) => {
  const scene = await opened(t, { s1: 1, s2: 1 });
  const [first, second] = [new Comer(scene, '10.1.1.1'), new Comer(scene, '10.1.1.2')];
  const waiting = new Comer(scene, '10.1.1.1');
  second.close();
  assert.deepEqual(await got(first, waiting), ['s1', undefined], 's2 is not its server');
  assert.equal(scene.backend.waitingOf('10.1.1.1'), 1);
  assert.equal(scene.backend.unbind('10.1.1.1'), true);
  assert.deepEqual(await got(first, waiting), ['s1', 's2']);
  assert.equal(scene.backend.binding('10.1.1.1')?.bound.name, 's2');
  assert.deepEqual([scene.backend.waitingOf('10.1.1.1'), scene.server('s1').connections], [0, 1]);
  assert.equal(scene.backend.unbind('10.1.1.9'), false);
});

test('a server whose name resolves at last serves who waits', async (t) => {
  let resolve!: (addresses: string[]) => void;
  const scene = new Scene(t, { lookup: () => new Promise((done) => (resolve = done)) });
  const s2 = { address: 'late.test:5000' };
  await scene.commit(config({ s1: { maxConnections: 1 }, s2 }));
  const [first, second] = [new Comer(scene, '10.1.1.1'), new Comer(scene, '10.1.1.2')];
  assert.deepEqual(await got(first, second), ['s1', undefined]);
  resolve(['10.0.0.2']);
  assert.deepEqual(await got(second), ['s2']);
});

test('a reload that replaces every server has nobody turned away in between', async (t) => {
  const scene = await opened(t, { s1: 1 });
  const holder = new Comer(scene, '10.1.1.1');
  const waiting = [new Comer(scene, '10.1.1.1'), new Comer(scene, '10.1.1.2')];
  await scene.commit(config({ s2: 1 }));
  assert.deepEqual(await got(holder, ...waiting), ['s1', 's2', undefined]);
});

type Act =
  | { do: 'come'; client: number; tried: number }
  | { do: 'leave' | 'close'; nth: number }
  | { do: 'admin'; nth: number; state: AdminState }
  | { do: 'down' | 'up'; nth: number }
  | { do: 'unbind'; client: number }
  | { do: 'reload'; servers: Limits };

const limit = fc.record({ maxConnections: fc.constantFrom(0, 1, 1, 1, 2, 3), weight: fc.constantFrom(1, 1, 1, 0) });
const nth = fc.nat(30);
const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('come' as const),
      client: fc.nat(5),
      tried: fc.constantFrom(0, 0, 0, 1, 2),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('close' as const), nth }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), nth }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('unbind' as const), client: fc.nat(5) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('admin' as const),
      nth: fc.nat(2),
      state: fc.constantFrom<AdminState>('ready', 'ready', 'drain', 'maint'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('down' as const, 'up' as const), nth: fc.nat(2) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('reload' as const),
      servers: fc
        .record({ s1: limit, s2: limit, s3: limit }, { requiredKeys: [] })
        .filter((servers) => Object.keys(servers).length > 0),
    }),
  },
);

type Waiting = Comer & { readonly tried: ReadonlySet<Server> };

/** The servers that may serve a connection, said as plainly as can be. */
function mayServe(scene: Scene, { client, tried }: Waiting): readonly Server[] {
  const { servers, table } = scene.backend;
  const bound = table?.match(client);
  if (bound?.usable === true && !tried.has(bound)) return [bound];
  const open = servers.filter(({ usable, admin, weight }) => usable && admin === 'ready' && weight > 0);
  const untried = open.filter((server) => !tried.has(server));
  if (untried.length > 0) return untried;
  if (open.length > 0) return open;
  return bound?.usable === true ? [bound] : [];
}

const isFree = ({ config: { maxConnections }, connections }: Server): boolean =>
  maxConnections === 0 || connections < maxConnections;

async function play(scene: Scene, acts: readonly Act[]): Promise<void> {
  await scene.commit(config({ s1: 1, s2: 1 }));
  const all: Waiting[] = [];
  for (const one of acts) {
    const before = all.filter((comer) => comer.got === undefined);
    const server = 'nth' in one ? scene.backend.servers[one.nth] : undefined;
    switch (one.do) {
      case 'come': {
        const tried = new Set(one.tried > 0 ? scene.backend.servers.slice(one.tried - 1, one.tried) : []);
        all.push(Object.assign(new Comer(scene, `10.1.1.${one.client}`, tried), { tried }));
        break;
      }
      case 'leave':
        before[one.nth % Math.max(1, before.length)]?.close();
        break;
      case 'close': {
        const served = all.filter((comer) => comer.server);
        served[one.nth % Math.max(1, served.length)]?.close();
        break;
      }
      case 'unbind':
        scene.backend.unbind(`10.1.1.${one.client}`);
        break;
      case 'admin':
        server?.setAdmin(one.state);
        break;
      case 'down':
        if (!server?.endpoint) break;
        scene.dead.add(server.endpoint.host);
        server.connectFailed(server.endpoint, 'refused');
        break;
      case 'up':
        if (server?.endpoint) scene.dead.delete(server.endpoint.host);
        await scene.pass(1_000);
        break;
      case 'reload':
        await scene.commit(config(one.servers));
    }
    await settled();
    check(scene, all, before);
  }
  for (const comer of all) {
    comer.close();
    await settled();
  }
  const left = scene.backend.servers.flatMap(({ slots, connections }) => [slots.waiting, connections]);
  assert.ok([scene.backend.waiting, ...left].every((count) => count === 0));
}

function check(scene: Scene, all: readonly Waiting[], before: readonly Waiting[]): void {
  const waiting = all.filter((comer) => comer.got === undefined);
  const granted = before.filter((comer) => comer.server);
  for (const comer of waiting) {
    const servers = mayServe(scene, comer);
    assert.ok(servers.length > 0, 'who waits has a server to wait for');
    assert.ok(!servers.some(isFree), 'who waits has no place');
    // It waits elsewhere since this very act, for a connection of its client was given another server.
    if (granted.some(({ client, tried }) => client === comer.client && tried.size > 0)) continue;
    for (const later of granted) {
      const isLater = all.indexOf(later) > all.indexOf(comer);
      assert.ok(!isLater || !servers.includes(later.server!), 'nobody is served before who waits longer');
    }
  }
  for (const { client, server, tried } of granted) {
    const isMoved = granted.some((one) => one.client === client && one.tried.size > 0);
    // A server that has come by this very act may be down already, and its client be moved again.
    const isBound = server?.usable === false || scene.backend.table?.match(client) === server;
    assert.ok(tried.size > 0 || isMoved || isBound, 'bound where it is served');
  }
  for (const server of scene.backend.servers) {
    const { maxConnections } = server.config;
    const own = waiting.filter((comer) => {
      const servers = mayServe(scene, comer);
      return servers[0] === server && scene.backend.table?.match(comer.client) === server && !comer.tried.has(server);
    });
    assert.ok(server.slots.waiting >= own.length, 'a bound client waits for its server');
    if (granted.some((comer) => comer.server === server)) {
      assert.ok(maxConnections === 0 || server.connections <= maxConnections, 'no more places than there are');
    }
  }
  const inLines = scene.backend.servers.reduce((sum, { slots }) => sum + slots.waiting, scene.backend.waiting);
  assert.equal(inLines, waiting.length);
}

test('whatever happens to servers and clients: the longest waiter has the place that comes free, and nobody waits in vain', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 5, maxLength: 60, size: 'max' }), (acts) =>
      inPart((part) => play(new Scene(part), acts)),
    ),
    { numRuns: 200, includeErrorInReport: true },
  );
  t.diagnostic('200 stories');
});

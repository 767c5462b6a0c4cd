/** The protocol of a table that balancers share, against what Redis and the network do to it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { parse } from '../../../src/pool/shared/words.ts';
import { SERVERS, Stage, TIMEOUT_MS, type Served } from '../../support/shared-balancer.ts';
import { troubles, type SharedRedis } from '../../support/shared-redis.ts';

test('six first connections of a client over two balancers, at one moment, go to one server, at one bid each', async () => {
  const stage = await Stage.open();
  const before = stage.redis.commands;
  const served = await stage.all([0, 1, 0, 1, 0, 1].map((i) => stage.balancers[i]!.connect('c')));
  assert.deepEqual(new Set(served.map(({ server }) => server)).size, 1);
  assert.equal(stage.redis.commands - before, 2);
  assert.equal(stage.redis.get('c'), `${served[0]!.server} a`);
  assert.deepEqual(
    [stage.a.shared.counts.claims, stage.b.shared.counts.claims],
    [
      { won: 1, followed: 0 },
      { won: 0, followed: 1 },
    ],
  );
  assert.deepEqual([stage.b.table.moves, stage.b.shared.counts.conflicts], [0, 0], 'to follow is no move');
  stage.stop();
});

test('a client that is known costs no bid, and its life is prolonged with others, not by a bid a connection', async () => {
  const stage = await Stage.open();
  (await stage.one(stage.a)).close();
  await stage.clock.advance(3_000);
  const before = stage.redis.commands;
  for (let i = 0; i < 50; i++) (await stage.a.connect('c')).close();
  assert.equal(stage.redis.commands, before);
  await stage.clock.advance(2_500);
  assert.equal(stage.redis.commands - before, 1);
  assert.ok(stage.redis.lifeOf('c') > 57_000);
  stage.stop();
});

test('a client with a connection open at one balancer does not expire at the other; one without does', async () => {
  const stage = await Stage.open();
  const open = await stage.one(stage.a);
  await stage.clock.advance(10 * 60_000);
  assert.equal((await stage.one(stage.b)).server, open.server);
  open.close();
  (await stage.one(stage.a, 'd')).close();
  await stage.clock.advance(5 * 60_000);
  assert.equal(stage.redis.get('d'), undefined);
  stage.stop();
});

test('a server that dies: both balancers move its client to the same new server, and the first move stands', async () => {
  const stage = await Stage.open();
  const { server } = await stage.one(stage.a);
  await stage.one(stage.b);
  for (const balancer of stage.balancers) balancer.set(server!, false);
  const moved = await stage.all([stage.a.connect('c'), stage.b.connect('c')]);
  assert.equal(moved[0]!.server, moved[1]!.server);
  assert.notEqual(moved[0]!.server, server);
  assert.deepEqual(
    [stage.a.shared.counts.moves, stage.b.shared.counts.moves],
    [
      { won: 1, followed: 0 },
      { won: 0, followed: 1 },
    ],
  );
  assert.equal(stage.b.shared.counts.conflicts, 1);
  assert.equal(parse(stage.redis.get('c')!)!.home, server, 'the first server is remembered for all');
  stage.stop();
});

test('a balancer hears of a move without asking, and says in the moves of the client who moved it', async () => {
  const stage = await Stage.open();
  const { server } = await stage.one(stage.a);
  (await stage.one(stage.b)).close();
  stage.a.set(server!, false);
  const moved = await stage.one(stage.a);
  const before = stage.redis.commands;
  assert.equal((await stage.b.connect('c')).server, moved.server);
  assert.equal(stage.redis.commands, before);
  const [move] = stage.b.moves.of('c');
  assert.deepEqual([move?.from, move?.to, move?.reason], [server, moved.server, 'a moved it']);
  stage.stop();
});

test('a server that is not known here is not usable, and is not overwritten before a connection must go elsewhere', async () => {
  const stage = await Stage.open([['s1'], ['s2']]);
  (await stage.one(stage.a)).close();
  await stage.clock.advance(5_000);
  assert.equal(stage.redis.get('c'), 's1 a');
  assert.equal((await stage.one(stage.b)).server, 's2');
  assert.equal(stage.redis.get('c'), 's2 b');
  assert.equal(stage.a.table.peek('c'), undefined);
  stage.stop();
});

test('a link that is refused, frozen, slow, broken or at fault costs nobody more than the deadline, and is told once', async () => {
  const faults: Record<string, (redis: SharedRedis) => void> = {
    refused: (redis) => {
      redis.refuses = true;
      redis.restart(false);
    },
    frozen: (redis) => redis.freeze(),
    slow: (redis) => redis.delays.set('a', 300),
    full: (redis) => (redis.fault = "OOM command not allowed when used memory > 'maxmemory'."),
  };
  for (const [name, fault] of Object.entries(faults)) {
    const stage = await Stage.open([SERVERS]);
    await stage.one(stage.a, 'before');
    fault(stage.redis);
    const served = await stage.all(['c', 'd', 'e', 'before'].map((client) => stage.a.connect(client)));
    assert.ok(
      served.every(({ server }) => server !== undefined),
      name,
    );
    for (const { waitedMs } of served) assert.ok(waitedMs <= TIMEOUT_MS, `${name}: ${waitedMs}`);
    await stage.clock.advance(20_000);
    const later = await stage.a.connect('f');
    assert.equal(later.waitedMs, 0, `${name}: while the circuit is open nobody waits`);
    assert.equal(stage.a.told.length, 2, `${name}: ${stage.a.told.join('; ')}`);
    assert.equal(stage.a.shared.pending, 4, name);
    stage.stop();
  }
});

test('what was bound while the link was down is written when it is up, unless another balancer was first', async () => {
  const stage = await Stage.open();
  stage.redis.refuses = true;
  stage.redis.cut('a');
  const [own, contested] = await stage.all([stage.a.connect('own'), stage.a.connect('contested')]);
  for (const { server } of [await stage.one(stage.b, 'x'), await stage.one(stage.b, 'y')]) assert.ok(server);
  const first = await stage.one(stage.b, 'contested');
  assert.notEqual(first.server, contested!.server);
  stage.redis.refuses = false;
  await stage.clock.advance(2_000);
  assert.deepEqual(stage.a.shared.counts.reconciled, { won: 1, followed: 1 });
  assert.equal(stage.redis.get('own'), `${own!.server} a`);
  assert.equal(stage.a.table.peek('contested')?.server.name, first.server);
  assert.equal(stage.a.shared.pending, 0);
  assert.deepEqual(stage.a.told, ['up', 'the connection is lost', 'up']);
  stage.stop();
});

test('after a restart that has lost everything, whoever is open is there again, whoever comes is asked about again', async () => {
  const stage = await Stage.open();
  const open = await stage.one(stage.a, 'open');
  const away = await stage.one(stage.a, 'away');
  away.close();
  await stage.one(stage.b, 'away');
  stage.redis.restart(true);
  await stage.clock.advance(25_000);
  assert.equal(stage.redis.get('open'), `${open.server} a`);
  assert.equal((await stage.one(stage.a, 'away')).server, away.server);
  assert.equal((await stage.one(stage.b, 'open')).server, open.server);
  stage.stop();
});

test('a move that was not heard of, because the link was down, is learnt when the client comes again', async () => {
  const stage = await Stage.open();
  const { server, close } = await stage.one(stage.a);
  close();
  await stage.clock.advance(5_000);
  stage.redis.cut('a');
  stage.b.set(server!, false);
  const moved = await stage.one(stage.b);
  await stage.clock.advance(3_000);
  assert.equal((await stage.one(stage.a)).server, moved.server);
  assert.equal(stage.a.shared.counts.conflicts, 1);
  stage.stop();
});

test('news and an answer that come by different ways are not taken for each other: it is asked again', async () => {
  const stage = await Stage.open();
  const { server, close } = await stage.one(stage.a);
  close();
  // The answer to b left before the move, and comes after the news of it.
  stage.redis.delays.set('b', 10);
  stage.redis.newsDelays.set('b', 0);
  const late = stage.b.connect('c');
  await stage.clock.advance(11);
  stage.a.set(server!, false);
  const moved = await stage.one(stage.a);
  assert.equal((await stage.all([late]))[0]!.server, moved.server);
  stage.stop();
});

test('an operator takes a binding away for all balancers, also where the link was down', async () => {
  const stage = await Stage.open();
  for (const isDown of [false, true]) {
    await stage.one(stage.a);
    (await stage.one(stage.b)).close();
    if (isDown) {
      stage.redis.refuses = true;
      stage.redis.cut('a');
    }
    stage.a.table.unbind('c');
    stage.a.shared.unbind('c');
    stage.redis.refuses = false;
    await stage.clock.advance(3_000);
    assert.equal(stage.redis.get('c'), undefined);
    assert.equal(stage.b.table.peek('c'), undefined);
  }
  stage.stop();
});

test('an operator takes away the binding of a client that another balancer alone knows', async () => {
  const stage = await Stage.open();
  (await stage.one(stage.b)).close();
  const asked = stage.a.shared.unbindElsewhere('c');
  await stage.clock.advance(100);
  assert.equal(await asked, true);
  assert.deepEqual([stage.redis.get('c'), stage.b.table.peek('c')], [undefined, undefined]);
  const again = stage.a.shared.unbindElsewhere('c');
  await stage.clock.advance(100);
  assert.equal(await again, false, 'nobody has a binding of it');
  stage.redis.refuses = true;
  stage.redis.cut('a');
  await stage.one(stage.b);
  assert.equal(await stage.a.shared.unbindElsewhere('c'), false, 'nobody can be asked');
  stage.stop();
});

test('what is being written when the link is up again, and fails, is still left to write', async () => {
  const stage = await Stage.open([SERVERS]);
  stage.redis.refuses = true;
  stage.redis.cut('a');
  const { server } = await stage.one(stage.a);
  stage.redis.refuses = false;
  let failed = false;
  await stage.clock.advance(1_500, () => {
    if (failed || stage.a.told.at(-1) !== 'up') return;
    [failed, stage.redis.fault] = [true, 'OOM'];
  });
  assert.deepEqual([stage.a.told.at(-1), stage.a.shared.pending], ['OOM', 1]);
  stage.redis.fault = undefined;
  await stage.clock.advance(2_000);
  assert.deepEqual([stage.redis.get('c'), stage.a.shared.pending], [`${server} a`, 0]);
  stage.stop();
});

test('a balancer that stops writes first what was taken away, bound or here a moment before', async () => {
  const stage = await Stage.open([SERVERS]);
  for (const client of ['gone', 'here']) (await stage.one(stage.a, client)).close();
  await stage.clock.advance(30_000);
  stage.a.table.unbind('gone');
  stage.a.shared.unbind('gone');
  const { server } = await stage.a.connect('here');
  const finished = stage.a.shared.finish();
  await stage.clock.advance(10);
  await finished;
  assert.deepEqual([stage.redis.get('gone'), stage.redis.get('here')], [undefined, `${server} a`]);
  assert.ok(stage.redis.lifeOf('here') > 59_000, `${stage.redis.lifeOf('here')}`);
  stage.stop();
});

test('an own binding that has run out is no reason to move a client that another balancer has', async () => {
  const stage = await Stage.open(undefined, 10_000);
  (await stage.one(stage.a)).close();
  const open = await stage.one(stage.b);
  await stage.clock.advance(60_000);
  stage.a.table.expire();
  assert.equal((await stage.one(stage.a)).server, open.server);
  assert.equal(stage.redis.get('c'), `${open.server} a`);
  stage.stop();
});

const who = fc.constantFrom(0, 1);
const client = fc.constantFrom('c', 'd', 'e');
const server = fc.constantFrom(...SERVERS);
type Act = (stage: Stage, going: Set<Promise<Served>>) => void | Promise<void>;
const act = (what: string, run: Act): readonly [string, Act] => [what, run];
const acts: fc.Arbitrary<readonly [string, Act]> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(who, client)
      .map(([i, c]) => act(`${c} comes to ${i}`, (stage, going) => void going.add(stage.balancers[i]!.connect(c)))),
  },
  {
    weight: 4,
    arbitrary: fc
      .oneof({ weight: 3, arbitrary: fc.nat(150) }, fc.nat(40_000))
      .map((ms) => act(`${ms} ms`, (stage) => stage.clock.advance(ms, () => look(stage)))),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(server, fc.boolean(), fc.constantFrom([0], [1], [0, 1]))
      .map(([s, up, those]) =>
        act(`${s} is up: ${up}, for ${those.join()}`, (stage) => those.forEach((i) => stage.balancers[i]!.set(s, up))),
      ),
  },
  { weight: 8, arbitrary: troubles(['a', 'b']).map(([what, make]) => act(what, ({ redis }) => make(redis))) },
  fc.tuple(who, client).map(([i, c]) =>
    act(`${c} is unbound at ${i}`, (stage) => {
      const { table, shared } = stage.balancers[i]!;
      if (table.unbind(c)) shared.unbind(c);
      else void shared.unbindElsewhere(c);
    }),
  ),
);

/**
 * What a balancer that reaches Redis takes for agreed is what Redis says, or what Redis does not say any more is on its
 * way to the balancer. Whoever does not reach Redis goes on with what it knows.
 */
function look(stage: Stage): void {
  for (const { name, table, shared } of stage.balancers) {
    if (shared.state?.up !== true) continue;
    for (const c of ['c', 'd', 'e']) {
      const own = table.peek(c)?.server.name;
      const held = stage.redis.get(c);
      if (own === undefined || held === undefined || !shared.isAgreed(c, own)) continue;
      const other = parse(held)!.server;
      assert.ok(other === own || stage.redis.isUnderWay(name, c), `${name} has ${c} at ${own}, Redis at ${other}`);
    }
  }
}

test('a balancer that stops has whoever waits for the others go on at once', async () => {
  const stage = await Stage.open([SERVERS]);
  const served = stage.a.connect('c');
  stage.stop();
  // No time passes: nothing but the end of the wait lets the client go on.
  assert.deepEqual(SERVERS.includes((await served).server ?? ''), true);
  assert.equal((await served).waitedMs, 0);
});

test('two balancers: whatever becomes of Redis and the network, who reaches it agrees, and nobody waits too long', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(acts, { minLength: 5, maxLength: 60 }), async (story) => {
      const stage = await Stage.open();
      const going = new Set<Promise<Served>>();
      const served: Served[] = [];
      try {
        for (const [, run] of story) {
          await run(stage, going);
          await new Promise(setImmediate);
          look(stage);
        }
        // All is well again: what is left over is settled within seconds, without anybody who comes.
        stage.redis.thaw();
        stage.redis.delays.clear();
        stage.redis.newsDelays.clear();
        [stage.redis.refuses, stage.redis.fault] = [false, undefined];
        for (const balancer of stage.balancers) for (const s of SERVERS) balancer.set(s, true);
        await stage.clock.advance(10_000, () => look(stage));
        served.push(...(await Promise.all(going)));
        for (const { waitedMs } of served) assert.ok(waitedMs <= TIMEOUT_MS + 10, `waited ${waitedMs} ms`);
        for (const { shared, told } of stage.balancers) {
          assert.deepEqual([shared.state?.up, shared.pending], [true, 0]);
          assert.ok(
            told.every((one, i) => i === 0 || (one === 'up') !== (told[i - 1] === 'up')),
            told.join('; '),
          );
        }
        for (const c of ['c', 'd', 'e']) {
          const ends = [await stage.one(stage.a, c), await stage.one(stage.b, c), await stage.one(stage.a, c)];
          assert.equal(new Set(ends.map((one) => one.server)).size, 1, c);
          assert.equal(parse(stage.redis.get(c)!)!.server, ends[0]!.server);
          served.push(...ends);
        }
        for (const one of served) one.close();
      } finally {
        stage.stop();
      }
    }),
    { numRuns: 200 },
  );
});

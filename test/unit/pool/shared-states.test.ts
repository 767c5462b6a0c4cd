/** What operators say of servers, as balancers share it, against what Redis, the network and clocks do to it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  ADMIN_STATES,
  hear,
  isLater,
  parseSaid,
  saidNow,
  spellSaid,
  TOPICS,
  type Said,
  type Topic,
} from '../../../src/pool/said.ts';
import type { BackendConfig } from '../../../src/config/schema.ts';
import type { Bid, StateBid } from '../../../src/pool/shared/session.ts';
import { backendConfig, Scene } from '../../support/backend.ts';
import { SERVERS, SimulatedBalancer, Stage } from '../../support/shared-balancer.ts';
import { SharedRedis, SimulatedClock, troubles } from '../../support/shared-redis.ts';

const states = (balancer: SimulatedBalancer): string[] => balancer.servers.map(({ name, admin }) => `${name} ${admin}`);

test('drain at one balancer is drain at the other, with who, where and when; ready ends it from either', async () => {
  const stage = await Stage.open();
  const said = stage.a.order('s1', 'state', 'drain', '10.0.0.9:4711');
  const told = stage.a.shared.states!.isTold();
  await stage.clock.advance(10);
  assert.equal(await told, true);
  assert.equal(stage.b.server('s1').admin, 'drain');
  assert.deepEqual(stage.b.server('s1').said.state, { ...said, by: 'a' });
  assert.equal(stage.redis.fields.get('s1 state'), `${said.atMs} drain 10.0.0.9:4711 a`);
  stage.b.order('s1', 'state', 'ready');
  await stage.clock.advance(10);
  assert.deepEqual([stage.a.server('s1').admin, stage.a.server('s1').said.state!.by], ['ready', 'b']);
  assert.equal(stage.a.shared.pending, 0);
  stage.stop();
});

test('a weight is shared where it stands in for the same one, and apart from the state', async () => {
  const stage = await Stage.open();
  stage.a.order('s1', 'state', 'maint');
  stage.b.order('s1', 'weight', '3/1');
  stage.b.order('s2', 'weight', '5/4');
  await stage.clock.advance(20);
  for (const { server } of stage.balancers.map((one) => ({ server: one.server('s1') }))) {
    assert.deepEqual([server.admin, server.weight, server.ownWeight], ['maint', 3, 3]);
  }
  assert.equal(stage.a.server('s2').weight, 1, 'it was said of another configuration');
  stage.a.order('s1', 'weight', '1/1');
  await stage.clock.advance(20);
  assert.equal(stage.b.server('s1').ownWeight, undefined);
  stage.stop();
});

test('a server that is not known here is left alone, and hears what was said when it comes', async () => {
  const stage = await Stage.open([['s1'], ['s1', 's2']]);
  stage.b.order('s2', 'state', 'drain');
  await stage.clock.advance(20);
  stage.a.order('s1', 'state', 'maint');
  await stage.clock.advance(20);
  assert.deepEqual(states(stage.b), ['s1 maint', 's2 drain']);
  const late = await SimulatedBalancer.start('c', ['s2', 's1'], stage.redis, stage.clock);
  stage.balancers.push(late);
  await stage.clock.advance(20);
  assert.deepEqual(states(late), ['s2 drain', 's1 maint']);
  stage.stop();
});

test('a balancer that does not share states neither hears nor tells', async () => {
  const stage = await Stage.open();
  const alone = await SimulatedBalancer.start('c', SERVERS, stage.redis, stage.clock, 60_000, false);
  stage.balancers.push(alone);
  await stage.clock.advance(20);
  stage.a.order('s1', 'state', 'drain');
  alone.order('s2', 'state', 'maint');
  await stage.clock.advance(20_000);
  assert.deepEqual([states(stage.b)[2], states(alone)], ['s1 drain', ['s1 ready', 's2 maint', 's3 ready']]);
  assert.equal(alone.shared.pending, 0);
  stage.stop();
});

test('what is said while Redis is away counts at once, is told later, and gives way to what was said after it', async () => {
  const stage = await Stage.open();
  stage.redis.refuses = true;
  stage.redis.cut('a');
  stage.a.order('s1', 'state', 'drain');
  stage.a.order('s2', 'state', 'maint');
  assert.deepEqual(states(stage.a), ['s1 drain', 's2 maint', 's3 ready']);
  assert.deepEqual([stage.a.shared.pending, await stage.a.shared.states!.isTold()], [2, false]);
  await stage.clock.advance(1_000);
  stage.b.order('s2', 'state', 'drain');
  await stage.clock.advance(1_000);
  stage.redis.refuses = false;
  await stage.clock.advance(3_000);
  for (const balancer of stage.balancers) {
    assert.deepEqual(states(balancer).toSorted(), ['s1 drain', 's2 drain', 's3 ready']);
  }
  assert.deepEqual(stage.a.shared.counts.reconciled, { won: 1, followed: 1 });
  assert.equal(stage.a.shared.counts.conflicts, 1);
  stage.stop();
});

test('whoever has heard of a word says a later one, however slow the clock is', async () => {
  const stage = await Stage.open();
  stage.b.skewMs = -600_000;
  stage.a.skewMs = 600_000;
  stage.a.order('s1', 'state', 'drain');
  await stage.clock.advance(20);
  stage.b.order('s1', 'state', 'ready');
  await stage.clock.advance(20);
  assert.deepEqual(
    stage.balancers.map((one) => one.server('s1').admin),
    ['ready', 'ready'],
  );
  stage.stop();
});

test('a Redis that has lost everything, by a restart or under the hands of an operator, is told again', async () => {
  const stage = await Stage.open();
  stage.a.order('s1', 'state', 'drain');
  await stage.clock.advance(20);
  for (const lose of [() => stage.redis.restart(true), () => stage.redis.fields.clear()]) {
    lose();
    await stage.clock.advance(7_000);
    assert.match(stage.redis.fields.get('s1 state') ?? '', / drain unix a$/);
    assert.equal(stage.b.server('s1').admin, 'drain');
  }
  stage.stop();
});

test('a Redis that takes bindings and no states is told once, and heard again when it does', async () => {
  const stage = await Stage.open([SERVERS]);
  const told = stage.redis.states.bind(stage.redis);
  stage.redis.states = () => {
    throw new Error('NOPERM');
  };
  stage.a.order('s1', 'state', 'drain');
  await stage.clock.advance(30_000);
  assert.deepEqual([stage.a.failures, stage.a.told, stage.a.shared.pending], [['NOPERM'], ['up'], 1]);
  stage.redis.states = told;
  await stage.clock.advance(6_000);
  assert.equal(stage.a.shared.pending, 0);
  stage.stop();
});

test('a backend that starts, and a server that a reload brings, have heard what others say before they serve', async (t) => {
  const redis = new SharedRedis(new SimulatedClock());
  redis.states('b', [
    { field: 's1 state', from: '', to: '5 drain unix b' },
    { field: 's2 state', from: '', to: '5 maint unix b' },
    { field: 's2 weight', from: '', to: '5 7/1 unix b' },
  ]);
  const session = async () => ({
    agree: async (bids: readonly Bid[]) => bids.map(({ to }) => to),
    states: async (bids: readonly StateBid[]) => redis.states('a', bids),
    close() {},
  });
  const scene = new Scene(t, { sessions: () => session });
  const config = (servers: object, sharedStates = true): BackendConfig => {
    const shared = { url: 'redis://h', name: 'a' };
    return backendConfig({ servers, healthCheck: false, stickTable: { shared, sharedStates } });
  };
  const [s1, s2] = [{ s1: '10.0.0.1:1', s3: '10.0.0.3:1' }, { s2: '10.0.0.2:1' }];
  await scene.commit(config(s1));
  assert.equal(scene.visit('10.1.0.1'), 'balanced s3');
  await scene.commit(config({ ...s1, ...s2 }));
  assert.deepEqual([scene.server('s2').admin, scene.server('s2').ownWeight], ['maint', 7]);
  assert.deepEqual(scene.told, ['shared', 'came s1', 'came s3', 'drain s1', 'came s2', 'maint s2', 'weight 7 of s2']);
  hear(scene.server('s2'), 'state', saidNow('ready', 'unix', scene.server('s2').said.state));
  await scene.pass(1);
  assert.match(redis.fields.get('s2 state') ?? '', / ready unix a$/);
  await scene.commit(config({ ...s1, ...s2 }, false));
  hear(scene.server('s1'), 'state', saidNow('ready', 'unix', scene.server('s1').said.state));
  await scene.pass(10_000);
  assert.equal(redis.fields.get('s1 state'), '5 drain unix b', 'from now on it is its own affair');
});

const word = (topic: Topic) =>
  topic === 'state' ? fc.constantFrom<string>(...ADMIN_STATES) : fc.constantFrom('1/1', '3/1', '256/1', '0/1');
const said = (topic: Topic): fc.Arbitrary<Said> =>
  fc.record(
    {
      word: word(topic),
      who: fc.constantFrom('', 'unix', '10.0.0.1:5000', '[fe80::1%eth0]:5000'),
      by: fc.constantFrom(undefined, 'lb1', 'lb2/4711'),
      atMs: fc.nat(4_000_000_000_000),
    },
    { noNullPrototype: true },
  );

test('what is spelled is read as it was, and of two words all take the same for the later', () => {
  for (const topic of TOPICS) {
    fc.assert(fc.property(said(topic), (one) => assert.deepEqual(parseSaid(topic, spellSaid(one)), one)));
    fc.assert(
      fc.property(said(topic), said(topic), said(topic), fc.constantFrom(0, 1), (one, other, third, atMs) => {
        const [a, b, c] = [
          { ...one, atMs },
          { ...other, atMs: 0 },
          { ...third, atMs: 0 },
        ];
        assert.equal(isLater(a, a), false);
        assert.ok(isLater(a, undefined));
        assert.equal(isLater(a, b) && isLater(b, a), false);
        if (isLater(a, b) && isLater(b, c)) assert.ok(isLater(a, c));
      }),
    );
  }
});

test('whatever strangers have written: nothing but a word of a balancer is heard, and operators have the last word', async () => {
  const bytes = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.string({ unit: fc.constantFrom(...Array.from('0123456789 /-adeimnrty')), maxLength: 40 }),
    said('state').map((one) => spellSaid(one)),
    said('weight').map((one) => `${spellSaid(one)} and more`),
    fc.constant(`${'9'.repeat(400)} drain unix a`),
  );
  const field = fc.oneof(
    fc.constantFrom('s1 state', 's1 weight', 's2 state', 's1', '', '__proto__ state', 'constructor'),
    fc.string({ maxLength: 20 }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(field, bytes), { maxLength: 12 }), async (written) => {
      const stage = await Stage.open();
      try {
        const before = new Map(written);
        for (const [name, text] of before) stage.redis.fields.set(name, text);
        await stage.clock.advance(6_000);
        for (const { servers } of stage.balancers) {
          for (const server of servers) {
            for (const topic of TOPICS) {
              const meant = parseSaid(topic, before.get(`${server.name} ${topic}`) ?? '');
              assert.deepEqual(server.said[topic], meant);
            }
          }
        }
        for (const [name, text] of before) assert.equal(stage.redis.fields.get(name), text, 'it is left alone');
        stage.a.order('s1', 'state', 'maint');
        stage.b.order('s2', 'state', 'drain');
        await stage.clock.advance(20);
        for (const { servers } of stage.balancers) {
          const [s1, s2] = ['s1', 's2'].map((name) => servers.find((one) => one.name === name)!.admin);
          assert.deepEqual([s1, s2], ['maint', 'drain']);
        }
        assert.deepEqual(
          stage.balancers.map(({ shared }) => shared.pending),
          [0, 0],
        );
      } finally {
        stage.stop();
      }
    }),
    { numRuns: 60 },
  );
});

/** The balancers of the model: c knows a server less, and another. */
const KNOWN = [SERVERS, SERVERS.toReversed(), ['s1', 's9']];
const who = fc.constantFrom(0, 1, 2);
type Model = Stage & { readonly words: { field: string; said: Said }[]; forgotten: boolean };
type Act = (stage: Model) => void | Promise<void>;
const act = (what: string, run: Act): { readonly what: string; readonly run: Act; toString(): string } => ({
  what,
  run,
  toString: () => what,
});

/** A balancer ends, and another begins, with what its state file says of servers, or without. */
async function restart(stage: Model, i: number, keeps: boolean): Promise<void> {
  const old = stage.balancers[i]!;
  const lines = old.servers.flatMap(({ name, said: all }) =>
    TOPICS.flatMap((topic) => (all[topic] ? [{ name, topic, text: spellSaid(all[topic]) }] : [])),
  );
  old.stop();
  const fresh = await SimulatedBalancer.start(old.name, KNOWN[i]!, stage.redis, stage.clock);
  fresh.skewMs = old.skewMs;
  stage.balancers[i] = fresh;
  if (!keeps) stage.forgotten = true;
  else for (const { name, topic, text } of lines) fresh.say(name, topic, parseSaid(topic, text)!);
}

const acts = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(who, fc.nat(2), fc.constantFrom(...TOPICS), fc.nat(3)).map(([i, nth, topic, pick]) => {
      const server = KNOWN[i]![nth % KNOWN[i]!.length]!;
      const spoken = topic === 'state' ? ADMIN_STATES[pick % 3]! : ['1/1', '3/1', '0/1', '7/1'][pick]!;
      return act(`${i} says ${server} ${topic} ${spoken}`, ({ balancers, words }) => {
        words.push({ field: `${server} ${topic}`, said: balancers[i]!.order(server, topic, spoken, `10.0.0.${i}:1`) });
      });
    }),
  },
  {
    weight: 5,
    arbitrary: fc
      .oneof({ weight: 3, arbitrary: fc.nat(150) }, fc.nat(20_000))
      .map((ms) => act(`${ms} ms`, (stage) => stage.clock.advance(ms, () => look(stage)))),
  },
  { weight: 8, arbitrary: troubles(['a', 'b', 'c']).map(([what, make]) => act(what, ({ redis }) => make(redis))) },
  fc
    .tuple(who, fc.constantFrom(-3_000, 0, 50, 3_000))
    .map(([i, ms]) => act(`the clock of ${i} is off by ${ms} ms`, ({ balancers }) => void (balancers[i]!.skewMs = ms))),
  fc
    .tuple(who, fc.boolean())
    .map(([i, keeps]) => act(`${i} restarts, with its file: ${keeps}`, (stage) => restart(stage, i, keeps))),
);

/** A balancer never goes back to what was said before: what it believes now is no earlier than what it believed. */
function look({ balancers }: Model): void {
  for (const balancer of balancers) {
    for (const server of balancer.servers) {
      for (const topic of TOPICS) {
        const now = server.said[topic];
        const before = believed.get(server)?.[topic];
        assert.ok(!before || (now && !isLater(before, now)), `${balancer.name} goes back to ${now?.word}`);
      }
      believed.set(server, { ...server.said });
    }
  }
}
const believed = new WeakMap<object, { [T in Topic]?: Said }>();

test('three balancers: whatever becomes of Redis, network, clocks and processes, all come to the last word', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(acts, { minLength: 5, maxLength: 60 }), async (story) => {
      const stage: Model = Object.assign(await Stage.open(KNOWN), { words: [], forgotten: false });
      try {
        for (const { run } of story) {
          await run(stage);
          await new Promise(setImmediate);
          look(stage);
        }
        stage.redis.thaw();
        stage.redis.delays.clear();
        stage.redis.newsDelays.clear();
        [stage.redis.refuses, stage.redis.fault] = [false, undefined];
        const known = stage.balancers.flatMap(({ servers }) =>
          servers.flatMap(({ name, said: all }) => TOPICS.map((topic) => ({ name, topic, said: all[topic] }))),
        );
        await stage.clock.advance(15_000, () => look(stage));
        assert.deepEqual(
          stage.balancers.map(({ shared }) => [shared.state?.up, shared.pending]),
          [
            [true, 0],
            [true, 0],
            [true, 0],
          ],
        );
        for (const { name, topic, said: one } of known) {
          const last = parseSaid(topic, stage.redis.fields.get(`${name} ${topic}`) ?? '');
          if (one) assert.ok(last && !isLater(one, last), `${name} ${topic}: ${one.word} is lost`);
          for (const balancer of stage.balancers) {
            const server = balancer.servers.find((other) => other.name === name);
            if (!server) continue;
            assert.equal(server.said[topic]?.word, last?.word, `${balancer.name} has ${name}`);
            const is = topic === 'state' ? server.admin : `${server.weight}/1`;
            assert.equal(is, last?.word ?? (topic === 'state' ? 'ready' : '1/1'));
          }
        }
        // Where no process has forgotten what it was told, no word is lost: the latest of all stands.
        if (stage.forgotten) return;
        for (const { field, said: one } of stage.words) {
          const last = parseSaid(field.endsWith('state') ? 'state' : 'weight', stage.redis.fields.get(field)!)!;
          assert.ok(!isLater(one, last), `${field}: ${one.word} is lost`);
          assert.ok(stage.words.some((other) => other.field === field && !isLater(last, other.said)));
        }
      } finally {
        stage.stop();
      }
    }),
    { numRuns: 200 },
  );
});

import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import * as fc from 'fast-check';
import { freshHealth, HealthMonitor, observe, type Health } from '../../../src/pool/health.ts';
import { settled } from '../../support/pool.ts';

const THRESHOLDS = { rise: 2, fall: 3 };
const see = (health: Health, ok: boolean, now = 0, thresholds = THRESHOLDS): Health =>
  observe(health, ok ? { ok } : { ok, reason: 'refused' }, thresholds, now);

/** `+` and `-` are good and failed checks; the answer has a `U` or `D` for the state after each. */
function sequence(checks: string, thresholds = THRESHOLDS, from = freshHealth(0)): string {
  let health = from;
  return checks
    .split('')
    .map((check) => ((health = see(health, check === '+', 0, thresholds)).up ? 'U' : 'D'))
    .join('');
}

const SEQUENCES: [string, string, string][] = [
  ['the first failure of a fresh start takes a server down at once', '-', 'D'],
  ['after one good check it takes three failures', '+---', 'UUUD'],
  ['two failures that are not consecutive leave a server up', '+-+-+-+-', 'UUUUUUUU'],
  ['a good check clears the failures before it', '+--+--+---', 'UUUUUUUUUD'],
  ['two good checks in a row bring a server up', '-++', 'DDU'],
  ['one good check does not', '-+-+-', 'DDDDD'],
  ['a failure clears the good checks before it', '-+-++', 'DDDDU'],
  ['only the first check of all is special', '-++--', 'DDUUU'],
  ['a server that comes back falls by three again', '-++---', 'DDUUUD'],
  ['a server that stays down stays down', '------', 'DDDDDD'],
];
for (const [title, checks, states] of SEQUENCES) {
  test(`${title}: ${checks}`, () => assert.equal(sequence(checks), states));
}

test('rise and fall of 1 follow each check', () => {
  assert.equal(sequence('+-+-', { rise: 1, fall: 1 }), 'UDUD');
});

test('a server is down since it went down, for the reason of its last failure', () => {
  const down = see(freshHealth(5), false, 10);
  assert.deepEqual(down, { up: false, streak: 0, fresh: false, reason: 'refused', since: 10 });
  const still = observe(down, { ok: false, reason: 'no answer within 2s' }, THRESHOLDS, 20);
  assert.deepEqual([still.since, still.reason], [10, 'no answer within 2s']);
  const rising = see(still, true, 30);
  assert.deepEqual([rising.up, rising.streak, rising.reason], [false, 1, 'no answer within 2s']);
  assert.deepEqual(see(rising, true, 40), { up: true, streak: 0, fresh: false, reason: '', since: 40 });
});

test('a server that is up has no reason, even after a failure that did not take it down', () => {
  const shaken = see(see(freshHealth(0), true), false);
  assert.deepEqual([shaken.up, shaken.streak, shaken.reason], [true, 1, '']);
});

test('whatever the checks say, the state is what their last ones say', () => {
  const checks = fc.array(fc.boolean(), { minLength: 1, maxLength: 40, size: 'max' });
  const count = fc.integer({ min: 1, max: 5 });
  fc.assert(
    fc.property(checks, count, count, (all, rise, fall) => {
      const states = sequence(all.map((ok) => (ok ? '+' : '-')).join(''), { rise, fall });
      // The naive way: look back over all checks, for the last run that was long enough to decide.
      for (let i = 0; i < all.length; i++) {
        let up = true;
        for (let j = 0; j <= i; j++) {
          const needed = all[j] ? rise : fall;
          const run = all.slice(Math.max(0, j - needed + 1), j + 1);
          if (run.length === needed && run.every((ok) => ok === all[j])) up = all[j]!;
          else if (j === 0 && !all[0]) up = false;
        }
        assert.equal(states[i], up ? 'U' : 'D', `${states} after ${i}`);
      }
    }),
  );
});

const UP: Health = freshHealth(0);
const SHAKEN: Health = { ...UP, streak: 1 };

/** A monitor whose checks a test ends by hand, under a clock that it winds. */
function monitored(random = 0.5) {
  mock.timers.enable({ apis: ['setTimeout'] });
  let now = 1_000;
  const clock = mock.method(performance, 'now', () => now);
  const waiting: ((health: Health) => void)[] = [];
  let checks = 0;
  const check = (): Promise<Health> => {
    checks++;
    return new Promise((resolve) => waiting.push(resolve));
  };
  const monitor = new HealthMonitor({ interval: 2_000, fastInterval: 500 }, check, () => random);
  return {
    monitor,
    checks: () => checks,
    running: () => waiting.length,
    tick: (ms: number): void => {
      now += ms;
      mock.timers.tick(ms);
    },
    end: async (health: Health = UP): Promise<void> => {
      waiting.shift()?.(health);
      await settled();
    },
    done: (): void => {
      monitor.close();
      clock.mock.restore();
      mock.timers.reset();
    },
  };
}

test('checks come at the interval, or at the fast one while a server is changing', async (t) => {
  const { monitor, checks, tick, end, done } = monitored();
  t.after(done);
  monitor.start();
  tick(0);
  assert.equal(checks(), 1);
  await end(UP);
  tick(1_999);
  assert.equal(checks(), 1);
  tick(1);
  assert.equal(checks(), 2);
  await end(SHAKEN);
  tick(499);
  assert.equal(checks(), 2);
  tick(1);
  assert.equal(checks(), 3);
});

test('a check that takes long is not overlapped by another, woken or not', async (t) => {
  const { monitor, checks, running, tick, end, done } = monitored();
  t.after(done);
  monitor.start();
  tick(0);
  for (let i = 0; i < 10; i++) {
    monitor.wake();
    tick(10_000);
    assert.equal(running(), 1);
  }
  assert.equal(checks(), 1);
  await end();
  tick(99);
  assert.equal(checks(), 1);
  tick(1);
  assert.equal(checks(), 2);
  await end();
  tick(1_999);
  assert.equal(checks(), 2);
});

test('a wake brings the next check forward, and not closer than the floor', async (t) => {
  const { monitor, checks, tick, end, done } = monitored();
  t.after(done);
  monitor.start();
  tick(0);
  await end();
  monitor.wake();
  tick(99);
  assert.equal(checks(), 1);
  tick(1);
  assert.equal(checks(), 2);
  await end();
  tick(1_000);
  for (let i = 0; i < 100; i++) monitor.wake();
  tick(0);
  assert.equal(checks(), 3);
  for (let i = 0; i < 10; i++) {
    await end();
    for (let ms = 0; ms < 100; ms++) {
      monitor.wake();
      assert.equal(checks(), 3 + i);
      tick(1);
    }
    assert.equal(checks(), 4 + i);
  }
});

test('jitter moves a check by at most a tenth, both ways', async () => {
  for (const [random, ms] of [
    [0, 1_800],
    [0.25, 1_900],
    [0.5, 2_000],
    [0.999_999, 2_199],
  ] as const) {
    const { monitor, checks, tick, end, done } = monitored(random);
    try {
      monitor.start();
      tick(0);
      await end();
      tick(ms - 1);
      assert.equal(checks(), 1, String(random));
      tick(2);
      assert.equal(checks(), 2, String(random));
    } finally {
      done();
    }
  }
});

test('nothing is checked after close, not even when the last check ends or somebody wakes', async (t) => {
  const { monitor, checks, tick, end, done } = monitored();
  t.after(done);
  monitor.start();
  tick(0);
  monitor.close();
  await end();
  monitor.wake();
  monitor.start();
  tick(1_000_000);
  assert.equal(checks(), 1);
});

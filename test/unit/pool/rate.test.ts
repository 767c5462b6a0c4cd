import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Rate } from '../../../src/pool/rate.ts';

const near = (actual: number, wanted: number, by: number): void =>
  assert.ok(Math.abs(actual - wanted) <= by, `${actual} is not within ${by} of ${wanted}`);

test('a steady flow has its rate from the first look on, however often somebody looks', () => {
  const looks = fc.array(fc.integer({ min: 50, max: 3_000 }), { minLength: 1, maxLength: 50 });
  fc.assert(
    fc.property(looks, fc.integer({ min: 0, max: 1_000_000 }), (steps, perSecond) => {
      const rate = new Rate(7, 1_000);
      let nowMs = 1_000;
      for (const step of steps) {
        nowMs += step;
        rate.look(7 + ((nowMs - 1_000) * perSecond) / 1_000, nowMs);
        near(rate.perSecond, perSecond, 1e-6 * (1 + perSecond));
      }
    }),
  );
});

test('what has stopped fades: most of it in ten seconds, all of it in a minute', () => {
  const rate = new Rate(0, 0);
  let nowMs = 0;
  const go = (seconds: number, total: (second: number) => number): void => {
    for (let i = 1; i <= seconds; i++) rate.look(total(i), (nowMs += 1_000));
  };
  go(60, (second) => second * 1_000);
  near(rate.perSecond, 1_000, 1e-6);
  go(10, () => 60_000);
  near(rate.perSecond, 135, 1);
  go(50, () => 60_000);
  near(rate.perSecond, 0, 0.01);
});

test('a burst within a second is not told as if it went on', () => {
  const rate = new Rate(0, 0);
  for (let second = 1; second <= 20; second++) rate.look(0, second * 1_000);
  rate.look(10_000, 21_000);
  assert.ok(rate.perSecond < 2_000, String(rate.perSecond));
});

test('looks that follow at once change nothing, and lose nothing', () => {
  const rate = new Rate(0, 0);
  rate.look(10, 10);
  assert.equal(rate.perSecond, 0);
  rate.look(100, 100);
  near(rate.perSecond, 1_000, 1e-6);
  rate.look(5_000, 101);
  near(rate.perSecond, 1_000, 1e-6);
});

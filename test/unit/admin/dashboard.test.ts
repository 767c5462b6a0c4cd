/** What the dashboard works out without a page: streams of events, figures, charts. The page is tested in a browser. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { ServerStatus } from '../../../src/admin/dashboard/answers.ts';
import { EventText } from '../../../src/admin/dashboard/event-text.ts';
import {
  bytes,
  clock,
  count,
  duration,
  milliseconds,
  perSecond,
  UNKNOWN,
} from '../../../src/admin/dashboard/format.ts';
import { History, niceTop, WINDOW_MS } from '../../../src/admin/dashboard/history.ts';
import type { ServerStatus as AnsweredRow } from '../../support/operator.ts';

/** The page is built by itself, so it has types of its own: what the API answers must be what the page reads. */
export const readsWhatIsAnswered = (row: AnsweredRow): ServerStatus => row;

test('a stream of events is read the same in whatever pieces it comes', () => {
  const word = fc.string({ unit: fc.constantFrom('a', 'ü', ' ', ':', '{', '"', '\\'), maxLength: 12 });
  const event = fc.record({ id: fc.nat(), name: fc.constantFrom('server_down', 'session'), data: word });
  const cuts = fc.array(fc.nat(40), { maxLength: 40 });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 8 }), cuts, fc.boolean(), (events, sizes, hasReturns) => {
      const end = hasReturns ? '\r\n' : '\n';
      const stream = events
        .map(
          ({ id, name, data }) => `: heartbeat${end}${end}id: ${id}${end}event: ${name}${end}data: ${data}${end}${end}`,
        )
        .join('');
      const text = new EventText();
      const read = [];
      let rest = stream;
      for (const size of sizes) {
        read.push(...text.take(rest.slice(0, size)));
        rest = rest.slice(size);
      }
      read.push(...text.take(rest));
      assert.deepEqual(
        read,
        events.map(({ id, name, data }) => ({ id: String(id), name, data })),
      );
    }),
  );
});

test('an event without data is none; its id still says where the stream is', () => {
  const text = new EventText();
  assert.deepEqual(text.take('id: 7\nevent: x\n\n'), []);
  assert.equal(text.id, '7');
  assert.deepEqual(text.take('data: a\ndata:b\nretry: 5\n\n'), [{ id: '7', name: 'message', data: 'a\nb' }]);
});

test('text without a line end does not grow without bound', () => {
  const text = new EventText();
  assert.throws(() => {
    for (;;) text.take('x'.repeat(1 << 16));
  }, /a line of more than/);
});

test('figures are short, and an unknown one is said to be unknown', () => {
  assert.deepEqual([0, 7, 9_999, 12_345, 999_999, 1.5e9].map(count), ['0', '7', '9,999', '12.3k', '1.0M', '1.5G']);
  assert.deepEqual([0, 980, 1_234, 99_960, 5e15].map(bytes), ['0 B', '980 B', '1.2 kB', '100 kB', '5.0 PB']);
  assert.deepEqual([0, 0.04, 3.21, 12.6].map(perSecond), ['0', '0.0', '3.2', '13']);
  assert.deepEqual([0, 8_400, 252_000, 12_000_000, 4.4e8].map(duration), [
    '0 s',
    '8 s',
    '4 m 12 s',
    '3 h 20 m',
    '5 d 2 h',
  ]);
  assert.deepEqual([0.21, 12.4].map(milliseconds), ['0.2 ms', '12 ms']);
  assert.deepEqual(
    [count, bytes, perSecond, duration, milliseconds].map((write) => write(null)),
    Array(5).fill(UNKNOWN),
  );
});

test('a time of another day has its date', () => {
  const at = new Date(2026, 10, 27, 3, 4, 5);
  assert.equal(clock(at.toISOString(), at), '03:04:05');
  assert.equal(clock(at.toISOString(), new Date(2026, 10, 28)), '2026-11-27 03:04:05');
  assert.equal(clock('never'), UNKNOWN);
});

test('a chart ends at the last sample, forgets what is older than its window, and breaks its line at a gap', () => {
  const history = new History();
  assert.equal(history.path(0, 1, 100, 10), '');
  history.add(0, [5]);
  assert.equal(history.path(0, 10, 100, 10), 'M100.0 5.0h0');
  for (const atMs of [2_000, 60_000, 62_000]) history.add(atMs, [atMs === 62_000 ? 20 : 10]);
  assert.equal(history.path(0, 20, 100, 10), 'M79.3 7.5L80.0 5.0M99.3 5.0L100.0 0.0');
  assert.deepEqual(history.range(0), { least: 5, most: 20, last: 20 });
  history.add(62_000 + WINDOW_MS, [1]);
  assert.deepEqual(history.range(0), { least: 1, most: 20, last: 1 });
});

test('the top of a scale is a round number that no value exceeds', () => {
  assert.deepEqual([0, 1, 1.1, 4, 6, 11, 250].map(niceTop), [1, 1, 2, 5, 10, 20, 500]);
});

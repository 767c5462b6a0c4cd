import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outlet, type Sink } from '../../src/outlet.ts';
import { eventually } from '../support/waiting.ts';

/** A reader who takes a batch when the test says so. */
function reader(): { sink: Sink; batches: string[]; take: (error?: Error) => void } {
  const batches: string[] = [];
  const dones: ((error?: Error) => void)[] = [];
  return {
    sink: (text, done) => {
      batches.push(text);
      dones.push(done);
    },
    batches,
    take: (error) => dones.shift()?.(error),
  };
}

const notice = (dropped: number): string => `dropped ${dropped}\n`;

test('lines are written together, in their order, without anybody asking', async () => {
  const { sink, batches } = reader();
  const outlet = new Outlet(sink, notice);
  for (const line of ['a\n', 'b\n', 'c\n']) outlet.write(line);
  assert.deepEqual(batches, []);
  // The outlet's own timer keeps no process alive; this does.
  assert.deepEqual(await eventually('a batch', () => batches.length > 0 && batches), ['a\nb\nc\n']);
});

test('many lines are not kept waiting for more', () => {
  const { sink, batches } = reader();
  const outlet = new Outlet(sink, notice);
  outlet.write(`${'x'.repeat(20_000)}\n`);
  assert.equal(batches.length, 1);
});

test('a reader who does not read gets the next batch only when the last is taken, and may lose the newest lines', () => {
  const { sink, batches, take } = reader();
  const outlet = new Outlet(sink, notice, 40_000);
  const line = `${'x'.repeat(19_998)}\n`;
  outlet.write(line);
  outlet.write(line);
  outlet.write('too much for it\n');
  outlet.write('again\n');
  assert.deepEqual([batches.length, outlet.dropped], [1, 2]);
  take();
  assert.equal(batches[1], `${line}dropped 2\n`);
  take();
  assert.deepEqual([batches.length, outlet.dropped], [2, 2]);
  outlet.write(line);
  take();
  assert.equal(batches[2], line, 'what was lost is told once');
});

test('lines that cannot be written are dropped and counted, and told when writing works again', async () => {
  const { sink, batches, take } = reader();
  const outlet = new Outlet(sink, notice);
  const line = `${'x'.repeat(20_000)}\n`;
  outlet.write(line);
  outlet.write('waits\n');
  take(new Error('the disk is full'));
  assert.equal(outlet.dropped, 1);
  assert.equal(batches[1], 'waits\n');
  take();
  assert.equal(batches[2], 'dropped 1\n');
  take();
  assert.equal(batches.length, 3);
});

test('a close writes what waits, and resolves when all is taken', async () => {
  const { sink, batches, take } = reader();
  const outlet = new Outlet(sink, notice);
  outlet.write('a\n');
  let closed = false;
  const closing = outlet.close().then(() => (closed = true));
  assert.deepEqual(batches, ['a\n']);
  outlet.write('b\n');
  take();
  assert.deepEqual(batches, ['a\n', 'b\n']);
  await Promise.resolve();
  assert.equal(closed, false);
  take();
  await closing;
});

test('a close without lines resolves', async () => {
  await new Outlet(reader().sink, notice).close();
});

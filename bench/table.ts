/**
 * What 200 000 bindings cost: memory, and time for each step of a connection; and what the connections of a lone client
 * cost, 100 a second, in tables of several sizes. `npm run bench:table`; an argument is another number of clients.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { StickTable } from '../src/pool/stick-table.ts';

const clients = Number(process.argv[2] ?? 200_000);
const servers = [{ name: 's1' }, { name: 's2' }, { name: 's3' }, { name: 's4' }];
const address = (i: number): string => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;

function heapBytes(): number {
  globalThis.gc?.();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + external + arrayBuffers;
}

/** Calls `step` with 0 to `count` - 1; returns the nanoseconds of a call. */
function time(count: number, step: (i: number) => void): number {
  const startedMs = performance.now();
  for (let i = 0; i < count; i++) step(i);
  return ((performance.now() - startedMs) * 1e6) / count;
}

if (!globalThis.gc) throw new Error('run it with node --expose-gc');
const before = heapBytes();
const table = new StickTable<{ name: string }>({ size: clients, expireMs: 1_800_000 });
const empty = heapBytes();
const connect = (i: number): void => {
  const client = address(i);
  table.open(client);
  if (!table.match(client)) table.bind(client, servers[i % servers.length]!);
  table.close(client);
};
const first = time(clients, connect);
const full = heapBytes();
// Clients return in another order than they came in, because that order would suit the processor's cache too well.
const stride = 7_919;
const again = time(clients, (i) => connect((i * stride) % clients));
const lookup = time(clients, (i) => table.peek(address((i * stride) % clients)));
const evicting = time(clients, (i) => connect(clients + i));

console.log(`bindings               ${table.entries} (node ${process.version})`);
console.log(`memory, empty table    ${((empty - before) / 1e6).toFixed(1)} MB`);
const eachBytes = Math.round((full - before) / clients);
console.log(`memory, full table     ${((full - before) / 1e6).toFixed(1)} MB, ${eachBytes} bytes a binding`);
console.log(`lookup                 ${lookup.toFixed(0)} ns`);
console.log(`first connection       ${first.toFixed(0)} ns (open, bind, close)`);
console.log(`returning client       ${again.toFixed(0)} ns (open, match, close)`);
console.log(`first, table full      ${evicting.toFixed(0)} ns (with an eviction); ${table.evictions} evicted`);

for (const size of [1_000, 200_000, 2_000_000]) {
  const startedMs = performance.now();
  const own = new StickTable<{ name: string }>({ size, expireMs: 1_800_000 });
  const startMs = performance.now() - startedMs;
  let spentMs = 0;
  for (let i = 0; i < 200; i++) {
    await pause(10);
    const cpu = process.cpuUsage();
    own.open('10.0.0.1');
    if (!own.match('10.0.0.1')) own.bind('10.0.0.1', servers[0]!);
    own.close('10.0.0.1');
    const { user, system } = process.cpuUsage(cpu);
    spentMs += (user + system) / 1_000;
  }
  const each = ((spentMs * 1_000) / 200).toFixed(0);
  console.log(
    `a lone client, size ${String(size).padEnd(7)} ${each} µs CPU a connection; start ${startMs.toFixed(1)} ms`,
  );
}

/** What a nameserver says of the servers there are. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Discovered } from '../../../src/config/values.ts';
import { askDns } from '../../../src/pool/discovery.ts';
import { nameserver } from '../../support/dns.ts';

const NAME: Discovered = { discover: 'dns', name: 'r.test', port: 5000 };
const SERVICE: Discovered = { discover: 'srv', name: '_r._tcp.test' };
const found = (host: string, port = 5000, name = 'r.test') => ({ host, port, name });

test('a name is all its addresses, IPv4 first, for as long as the shortest time to live', async (t) => {
  const { dns, sources } = await nameserver(t);
  const records = [
    { type: 'AAAA' as const, name: 'r.test', data: 'fd00::1', ttl: 10 },
    { type: 'A' as const, name: 'r.test', data: '10.0.0.1', ttl: 20 },
    { type: 'A' as const, name: 'r.test', data: '10.0.0.2', ttl: 30 },
  ];
  dns.records.set('r.test', records);
  const { endpoints, ttlSeconds, unanswered } = await askDns(NAME, undefined, sources);
  assert.deepEqual(
    endpoints.toSorted((a, b) => (a.host < b.host ? -1 : 1)),
    [found('10.0.0.1'), found('10.0.0.2'), found('fd00::1')],
  );
  assert.equal(endpoints.at(-1)?.host, 'fd00::1');
  assert.deepEqual([ttlSeconds, unanswered], [10, []]);
});

test('a name without an address in a family has none there; a family that was not answered for is named', async (t) => {
  const { dns, sources } = await nameserver(t);
  for (const [own, family, other] of [
    ['10.0.0.1', 6, 'AAAA r.test'],
    ['fd00::1', 4, 'A r.test'],
  ] as const) {
    dns.addresses('r.test', own);
    assert.deepEqual(await askDns(NAME, undefined, sources), {
      endpoints: [found(own)],
      ttlSeconds: 0,
      unanswered: [],
    });
    dns.failingFor.add(other);
    const { endpoints, unanswered } = await askDns(NAME, undefined, sources);
    assert.deepEqual([endpoints, unanswered], [[found(own)], [{ name: 'r.test', port: 5000, family }]]);
    dns.failingFor.clear();
  }
});

test('without an answer in either family the fault is told, not the family that has no address', async (t) => {
  const { dns, sources } = await nameserver(t);
  dns.addresses('r.test');
  for (const failing of ['A r.test', 'AAAA r.test']) {
    dns.failingFor.add(failing);
    await assert.rejects(askDns(NAME, undefined, sources), { code: 'ESERVFAIL' });
    dns.failingFor.clear();
  }
  await assert.rejects(askDns(NAME, undefined, sources), { code: 'ENODATA' });
});

test('a service is the addresses of its targets, each with the port of its target', async (t) => {
  const { dns, sources } = await nameserver(t);
  dns.services(SERVICE.name, { target: 'a.test', port: 5001 }, { target: 'b.test', port: 5002 });
  dns.ttl = 20;
  dns.addresses('a.test', '10.0.0.1');
  dns.ttl = 5;
  dns.addresses('b.test', '10.0.0.2');
  dns.failingFor.add('AAAA a.test');
  const { endpoints, ttlSeconds, unanswered } = await askDns(SERVICE, undefined, sources);
  assert.deepEqual(
    endpoints.toSorted((a, b) => a.port - b.port),
    [found('10.0.0.1', 5001, 'a.test'), found('10.0.0.2', 5002, 'b.test')],
  );
  assert.deepEqual([ttlSeconds, unanswered], [5, [{ name: 'a.test', port: 5001, family: 6 }]]);
});

test('a target without an address keeps no other away; a target that could not be asked for fails the answer', async (t) => {
  const { dns, sources } = await nameserver(t);
  dns.services(SERVICE.name, { target: 'a.test', port: 5001 }, { target: 'b.test', port: 5001 });
  dns.addresses('a.test', '10.0.0.1');
  const { endpoints } = await askDns(SERVICE, undefined, sources);
  assert.deepEqual(endpoints, [found('10.0.0.1', 5001, 'a.test')]);
  dns.failingFor.add('b.test');
  await assert.rejects(askDns(SERVICE, undefined, sources), { code: 'ESERVFAIL' });
  await assert.rejects(askDns({ discover: 'srv', name: 'no.test' }, undefined, sources), { code: 'ENOTFOUND' });
});

test('a question that is no longer wanted ends at once', async (t) => {
  const { dns, sources } = await nameserver(t);
  dns.hold('A r.test');
  const closed = new AbortController();
  const answered = askDns(NAME, closed.signal, sources);
  await dns.waits('A r.test');
  closed.abort();
  await assert.rejects(answered, { code: 'ECANCELLED' });
});

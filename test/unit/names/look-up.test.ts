/** Names looked up with a real nameserver, and with files of a machine of the test's own. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { lookUp, lookUpService, type Sources } from '../../../src/names/look-up.ts';
import { nameserver } from '../../support/dns.ts';

const found = async (name: string, sources: Sources): Promise<readonly string[]> =>
  (await lookUp(name, undefined, sources)).addresses;
const fault = (code: string, message: RegExp | string) => ({ name: 'Error', code, message });

test('an address is its own, and nobody is asked', async (t) => {
  const { dns, sources } = await nameserver(t);
  for (const address of ['10.0.0.1', '2001:db8::1', 'fe80::1%lo'])
    assert.deepEqual(await found(address, sources), [address]);
  assert.equal(dns.asked.size, 0);
});

test('a name that the hosts file has is asked of nobody; a change of the file is seen at once', async (t) => {
  const { dns, sources } = await nameserver(t, { hosts: '::1 r.test\n10.0.0.1 r.test R\n10.0.0.1 r.test\n' });
  assert.deepEqual(await lookUp('R.TEST', undefined, sources), {
    addresses: ['10.0.0.1', '::1'],
    ttlSeconds: Infinity,
    unanswered: [],
  });
  assert.deepEqual(await found('r', sources), ['10.0.0.1']);
  assert.deepEqual(await found('r.test.', sources), ['10.0.0.1', '::1']);
  assert.equal(dns.asked.size, 0);
  writeFileSync(sources.hostsFile, '10.0.0.2 r.test\n');
  assert.deepEqual(await found('r.test', sources), ['10.0.0.2']);
  rmSync(sources.hostsFile);
  dns.addresses('r.test', '10.0.0.3');
  assert.deepEqual(await found('r.test', sources), ['10.0.0.3']);
});

test('localhost is this machine, also where no file says so, and no nameserver is asked for it', async (t) => {
  const { dns, sources } = await nameserver(t, { resolvConf: 'search a.test\n' });
  for (const name of ['localhost', 'LocalHost.', 'r.localhost'])
    assert.deepEqual(await found(name, sources), ['127.0.0.1', '::1']);
  assert.equal(dns.asked.size, 0);
  writeFileSync(sources.hostsFile, '127.0.0.1 localhost\n');
  assert.deepEqual(await found('localhost', sources), ['127.0.0.1']);
});

test('a short name is completed by the search list, and a name with a final dot is not', async (t) => {
  const resolvConf = 'search one.test two.test\noptions ndots:3\n';
  const { dns, sources } = await nameserver(t, { resolvConf });
  dns.addresses('r.two.test', '10.0.0.2');
  dns.addresses('r', '10.0.0.9');
  dns.addresses('r.s.t.u', '10.0.0.8');
  dns.addresses('r.s.t.u.one.test', '10.0.0.7');
  assert.deepEqual(await found('r', sources), ['10.0.0.2']);
  assert.deepEqual(await found('r.', sources), ['10.0.0.9']);
  assert.deepEqual(await found('r.s.t.u', sources), ['10.0.0.8']);
  dns.addresses('r.one.test', '10.0.0.1');
  assert.deepEqual(await found('r', sources), ['10.0.0.1']);
  // A name that has records of another kind alone goes on to the next domain, as the C library does.
  dns.addresses('r.one.test');
  assert.deepEqual(await found('r', sources), ['10.0.0.2']);
  dns.services('_r._tcp.one.test', { target: 'r', port: 5000 });
  const [target] = await lookUpService('_r._tcp', undefined, sources);
  assert.deepEqual([target?.name, target?.port, target?.has.addresses], ['r', 5000, ['10.0.0.9']], 'a target is whole');
});

test('a domain whose nameserver fails keeps no other from being asked, and is told where no other has the name', async (t) => {
  const { dns, sources } = await nameserver(t, { resolvConf: 'search one.test two.test\n' });
  dns.failingFor.add('r.one.test');
  dns.addresses('r.two.test', '10.0.0.2');
  assert.deepEqual(await found('r', sources), ['10.0.0.2']);
  dns.records.clear();
  await assert.rejects(
    found('r', sources),
    fault('ESERVFAIL', /^the nameserver says SERVFAIL \(asked 127\.[\d.]+:\d+\)$/),
  );
});

test('a name that does not exist, has no address, or cannot be asked for is told from the others', async (t) => {
  const { dns, sources } = await nameserver(t, { resolvConf: 'search one.test\n' });
  dns.addresses('empty.test');
  dns.failingFor.add('failing.test');
  for (const [name, code, message] of [
    ['r.test.', 'ENOTFOUND', 'the name does not exist'],
    ['r', 'ENOTFOUND', 'the name does not exist (asked for r.one.test, r)'],
    ['empty.test.', 'ENODATA', 'the name has no address'],
    ['empty.test', 'ENODATA', 'the name has no address (asked for empty.test, empty.test.one.test)'],
    ['failing.test.', 'ESERVFAIL', /^the nameserver says SERVFAIL/],
  ] as const) {
    await assert.rejects(found(name, sources), fault(code, message), name);
  }
  const tooLong = `${'a.'.repeat(120)}a.test`;
  await assert.rejects(found(`${tooLong}.`, sources), fault('ENOTFOUND', 'the name does not exist'));
  await assert.rejects(
    lookUpService('empty.test.', undefined, sources),
    fault('ENODATA', 'the name has no SRV record'),
  );
});

test('an alias is followed, and its addresses are those of its target', async (t) => {
  const { dns, sources } = await nameserver(t);
  dns.alias('r.test', 'a.test');
  dns.alias('a.test', 'b.test');
  dns.addresses('b.test', '10.0.0.1', '2001:db8::1');
  assert.deepEqual(await found('r.test', sources), ['10.0.0.1', '2001:db8::1']);
  dns.addresses('b.test');
  await assert.rejects(found('r.test.', sources), { code: 'ENODATA' });
});

test('an answer that is too long for a datagram is asked for over TCP', async (t) => {
  const { dns, sources } = await nameserver(t);
  const all = Array.from({ length: 1_000 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
  dns.addresses('r.test', ...all);
  assert.deepEqual((await found('r.test', sources)).toSorted(), all.toSorted());
  assert.ok(dns.streams > 0);
});

test('an address is known once, and those at which nobody can be reached are left out', async (t) => {
  const { dns, sources } = await nameserver(t);
  dns.addresses('r.test', '0.0.0.0', '::', '224.0.0.1', '255.255.255.255', 'ff02::1', '10.0.0.1', '::ffff:10.0.0.1');
  assert.deepEqual(await found('r.test', sources), ['10.0.0.1']);
  dns.addresses('r.test', '2001:db8::1', '::ffff:10.0.0.1');
  assert.deepEqual(await found('r.test', sources), ['10.0.0.1', '2001:db8::1'], 'IPv4 first, however it is written');
  dns.addresses('r.test', '0.0.0.0', '::');
  const blocked = 'all its addresses are such as 0.0.0.0, where nobody is reached';
  await assert.rejects(found('r.test.', sources), fault('EUNUSABLE', blocked));
});

test('the targets of a service: each once, without those that have no address, no port, or stand for no service', async (t) => {
  const { dns, sources } = await nameserver(t, { hosts: '10.0.0.9 b.test\n' });
  dns.addresses('a.test', '10.0.0.1');
  const targets = [
    { target: 'a.test', port: 5001 },
    { target: 'a.test', port: 5002 },
    { target: 'b.test', port: 5001 },
    { target: 'gone.test', port: 5001 },
    { target: 'a.test', port: 0 },
    { target: '.', port: 5001 },
  ];
  dns.services('_r._tcp.test', ...targets);
  const seen = await lookUpService('_r._tcp.test', undefined, sources);
  assert.deepEqual(seen.map(({ name, port, has }) => `${name}:${port} ${has.addresses[0]}`).toSorted(), [
    'a.test:5001 10.0.0.1',
    'a.test:5002 10.0.0.1',
    'b.test:5001 10.0.0.9',
  ]);
  assert.equal(dns.asked.get('A a.test'), 1);
  dns.failingFor.add('gone.test');
  await assert.rejects(
    lookUpService('_r._tcp.test', undefined, sources),
    fault('ESERVFAIL', /^its target gone\.test: the nameserver says SERVFAIL/),
  );
});

test('a service has at most 256 targets', async (t) => {
  const { dns, sources } = await nameserver(t);
  const all = Array.from({ length: 600 }, (_, i) => ({ target: 'a.test', port: i + 1 }));
  dns.addresses('a.test', '10.0.0.1');
  dns.services('_r._tcp.test', ...all);
  assert.equal((await lookUpService('_r._tcp.test', undefined, sources)).length, 256);
});

/** A nameserver that takes questions and answers none; `sources` asks it before `others`. */
async function silent(t: TestContext, sources: Sources, others: readonly string[] = []) {
  const socket = createSocket('udp4');
  let questions = 0;
  socket.on('message', () => void questions++);
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => socket.close());
  const resolver = (): Resolver => {
    const made = new Resolver({ timeout: 300, tries: 2 });
    made.setServers([`127.0.0.1:${socket.address().port}`, ...others]);
    return made;
  };
  return { asked: () => questions, sources: { ...sources, resolver } };
}

test('a nameserver that answers nothing is told as such, and the search list is not gone through', async (t) => {
  const { sources } = await nameserver(t, { resolvConf: 'search one.test two.test three.test\n' });
  const { sources: hanging } = await silent(t, sources);
  await assert.rejects(found('r', hanging), fault('ETIMEOUT', /^no nameserver answers \(asked 127\.0\.0\.1:\d+\)$/));
});

test('where the first nameserver answers nothing, the second is asked, and for all names of the search list', async (t) => {
  const domains = ['one', 'two', 'three', 'four', 'five', 'six'].map((name) => `${name}.test`);
  const { dns, sources } = await nameserver(t, { resolvConf: `search ${domains.join(' ')}\n` });
  const [second = ''] = sources.resolver().getServers();
  const { sources: hanging } = await silent(t, sources, [second]);
  dns.addresses('r.six.test', '10.0.0.1');
  assert.deepEqual(await found('r', hanging), ['10.0.0.1']);
});

test('a question that is given up ends at once, and asks nothing more', async (t) => {
  const { sources } = await nameserver(t, { resolvConf: 'search one.test two.test\n' });
  const { asked, sources: hanging } = await silent(t, sources);
  const stops = new AbortController();
  const answer = lookUp('r', stops.signal, hanging);
  stops.abort();
  const given = fault('ECANCELLED', 'the question was given up');
  await assert.rejects(answer, given);
  const before = asked();
  await assert.rejects(lookUp('r', stops.signal, hanging), given);
  await assert.rejects(lookUpService('r', stops.signal, hanging), given);
  assert.equal(asked(), before);
});

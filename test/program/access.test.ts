/** Who may connect, and how often: the rules by themselves, on an injected clock, and in the running program. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Access, accessRules } from '../../src/proxy/admission/access.ts';
import { buildProxyHeader } from '../../src/pool/proxy-protocol.ts';
import { noIpv6 } from '../support/able.ts';
import { start } from '../support/berth.ts';
import { Client, visit } from '../support/clients.ts';
import { reload } from '../support/operator.ts';
import { refusing, serve } from '../support/servers.ts';
import { settings, type Given, type Settings } from '../support/settings.ts';

type Rules = Parameters<typeof accessRules>[0];
const OPEN: Rules = { allow: [], deny: [], perSource: { connections: 0, rate: { count: 0, windowMs: 10_000 } } };
const rate = (count: number, windowMs = 10_000): Rules => ({
  ...OPEN,
  perSource: { connections: 0, rate: { count, windowMs } },
});
const connections = (most: number): Rules => ({ ...OPEN, perSource: { ...OPEN.perSource, connections: most } });
const refused = (reason: string): string => `berth_frontend_refused_total{frontend="f",reason="${reason}"}`;
const frontend = (rules: object, server: Given): Settings =>
  settings([server], { healthCheck: false, retries: 0 }, {}, rules);

/** Rules that may change, and who has come in under them. */
class Gate {
  readonly #access: Access;
  #rules: ReturnType<typeof accessRules>;

  constructor(rules: Rules, now?: () => number) {
    this.#access = new Access(now);
    this.#rules = accessRules(rules);
  }

  apply(rules: Rules): void {
    this.#rules = accessRules(rules);
  }

  admit(address: string): string | undefined {
    return this.#access.admit(this.#rules, address);
  }

  leave(address: string): void {
    this.#access.leave(address);
  }
}

/** The bits of an address, as a number. */
function bits(address: string): bigint {
  if (address.includes('.')) return address.split('.').reduce((sum, octet) => (sum << 8n) | BigInt(octet), 0n);
  const [left = [], right] = address.split('::').map((half) => half.split(':').filter(Boolean));
  const [head, tail] = [left, right ?? []];
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0');
  return [...head, ...zeros, ...tail].reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n);
}

for (const [family, address, width] of [
  ['IPv4', fc.ipV4(), 32],
  [
    'IPv6',
    fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).map((n) =>
      n
        .toString(16)
        .padStart(32, '0')
        .replaceAll(/(.{4})(?=.)/g, '$1:'),
    ),
    128,
  ],
] as const) {
  test(`an ${family} network is the addresses that share its first bits, and no other`, () => {
    const near = fc.tuple(address, fc.integer({ min: 0, max: width }), fc.integer({ min: 0, max: width - 1 }));
    const access = new Gate(OPEN);
    fc.assert(
      fc.property(near, address, ([network, prefix, flipped], far) => {
        access.apply({ ...OPEN, deny: [`${network}/${prefix}`] });
        const mask = BigInt(width - prefix);
        const neighbour = bits(network) ^ (1n << BigInt(flipped));
        const text =
          family === 'IPv4'
            ? [24n, 16n, 8n, 0n].map((shift) => (neighbour >> shift) & 255n).join('.')
            : neighbour
                .toString(16)
                .padStart(32, '0')
                .replaceAll(/(.{4})(?=.)/g, '$1:');
        for (const who of [network, text, far]) {
          const inside = bits(who) >> mask === bits(network) >> mask;
          assert.equal(access.admit(who), inside ? 'denied' : undefined, `${who} in ${network}/${prefix}`);
        }
      }),
    );
  });
}

test('deny wins over allow, and an empty allow is everyone', () => {
  const access = new Gate({
    ...OPEN,
    allow: ['10.0.0.0/8', '2001:db8::/32'],
    deny: ['10.6.0.0/16', '2001:db8:6::1'],
  });
  const answers = (...all: string[]): (string | undefined)[] => all.map((address) => access.admit(address));
  assert.deepEqual(answers('10.5.0.1', '2001:db8:5::1', '2001:db8:6::2'), [undefined, undefined, undefined]);
  assert.deepEqual(answers('10.6.0.1', '2001:db8:6::1'), ['denied', 'denied']);
  assert.deepEqual(answers('11.0.0.1', '2001:db9::1', '::1'), ['not_allowed', 'not_allowed', 'not_allowed']);
});

test('IPv4 addresses are not in ::/0, but are in the part of it that maps them', () => {
  assert.equal(new Gate({ ...OPEN, deny: ['::/0'] }).admit('10.0.0.1'), undefined);
  assert.equal(new Gate({ ...OPEN, allow: ['::/0'] }).admit('10.0.0.1'), 'not_allowed');
  const access = new Gate({ ...OPEN, deny: ['::ffff:10.0.0.0/104', '::ffff:192.0.2.1'] });
  assert.deepEqual([access.admit('10.9.9.9'), access.admit('192.0.2.1')], ['denied', 'denied']);
  assert.deepEqual(
    [access.admit('11.0.0.0'), access.admit('192.0.2.2'), access.admit('::1')],
    [undefined, undefined, undefined],
  );
});

test('an IPv6 source is a /64, an IPv4 source an address', () => {
  const access = new Gate(connections(1));
  assert.equal(access.admit('2001:db8:0:1::1'), undefined);
  assert.equal(access.admit('2001:db8:0:1:ffff::2'), 'source_connections');
  assert.equal(access.admit('2001:db8:0:2::1'), undefined);
  assert.deepEqual([access.admit('10.0.0.1'), access.admit('10.0.0.2')], [undefined, undefined]);
  access.leave('2001:db8:0:1::1');
  assert.equal(access.admit('2001:db8:0:1::3'), undefined);
});

test('a source may spend its rate at once, and has it back evenly within the window', () => {
  let now = 1_000_000;
  const access = new Gate(rate(4), () => now);
  const burst = (): number => {
    let admitted = 0;
    while (access.admit('10.0.0.1') === undefined) admitted++;
    return admitted;
  };
  assert.equal(burst(), 4);
  now += 2_499;
  assert.equal(burst(), 0);
  now += 1;
  assert.equal(burst(), 1, 'asking too early costs nothing');
  now += 7_500;
  assert.equal(burst(), 3);
  now += 3_600_000;
  assert.equal(burst(), 4, 'nobody saves up more than that');
  assert.equal(access.admit('10.0.0.2'), undefined, 'others are others');
});

test('whenever a source comes, it is admitted no more often than its rate allows, and again after a whole window', () => {
  const pauses = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 3_000 })), { maxLength: 80 });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1, max: 60_000 }),
      pauses,
      (count, windowMs, all) => {
        let now = 0;
        const access = new Gate(rate(count, windowMs), () => now);
        const admitted: number[] = [];
        for (const pause of all) {
          now += pause;
          if (access.admit('10.0.0.1') === undefined) admitted.push(now);
        }
        for (const [i, from] of admitted.entries()) {
          for (const [more, until] of admitted.slice(i).entries()) {
            // All of a full bucket, and what flows in meanwhile.
            assert.ok(more + 1 <= count + ((until - from) * count) / windowMs + 1e-6);
          }
        }
        now += windowMs;
        assert.equal(access.admit('10.0.0.1'), undefined);
      },
    ),
  );
});

test('other rules count on from who is there and how often they came', () => {
  const access = new Gate(connections(3), () => 0);
  for (let i = 0; i < 3; i++) assert.equal(access.admit('10.0.0.1'), undefined);
  access.apply(connections(4));
  assert.deepEqual([access.admit('10.0.0.1'), access.admit('10.0.0.1')], [undefined, 'source_connections']);
  access.apply(connections(2));
  for (let i = 0; i < 2; i++) access.leave('10.0.0.1');
  assert.equal(access.admit('10.0.0.1'), 'source_connections', 'two are left');
  access.leave('10.0.0.1');
  assert.equal(access.admit('10.0.0.1'), undefined);

  const often = new Gate(rate(2), () => 0);
  assert.deepEqual([often.admit('10.0.0.1'), often.admit('10.0.0.1')], [undefined, undefined]);
  often.apply({ ...rate(2), deny: ['10.0.0.9'] });
  assert.deepEqual([often.admit('10.0.0.1'), often.admit('10.0.0.9')], ['source_rate', 'denied']);
});

test('whoever is not to come in is reset before a server is looked for, and counted by the reason', async (t) => {
  const [s1] = await serve(t, ['s1']);
  const rules = { allow: ['127.30.0.0/15', '::1'], deny: ['127.31.7.0/24'] };
  const berth = await start(t, frontend(rules, s1!));
  const port = await berth.port();
  for (const from of ['127.30.0.1', '127.31.8.1']) assert.equal((await visit(berth, { port, from })).answered, 's1');
  for (const from of ['127.31.7.1', '127.31.7.255', '127.32.0.1']) {
    assert.equal(await new Client({ port, from }).ended, 'reset', from);
  }
  assert.equal(s1?.accepted, 2);
  assert.equal(await berth.metric(refused('denied')), 2);
  assert.equal(await berth.metric(refused('not_allowed')), 1);
  assert.equal(await berth.metric('berth_stick_table_entries{backend="b"}'), 2);
});

test('on a dual-stack bind an IPv4 client is judged as IPv4', { skip: noIpv6() }, async (t) => {
  const [s1] = await serve(t, ['s1']);
  const berth = await start(t, frontend({ bind: '*:0', allow: ['127.0.0.0/8'] }, s1!));
  const port = await berth.port();
  assert.equal((await visit(berth, { port, host: '127.0.0.1' })).answered, 's1');
  assert.equal(await new Client({ port, host: '::1' }).ended, 'reset');
  await reload(berth, frontend({ bind: '*:0', deny: ['127.0.0.1'] }, s1!));
  assert.equal((await visit(berth, { port, host: '::1' })).answered, 's1');
  assert.equal(await new Client({ port, host: '127.0.0.1' }).ended, 'reset');
});

test('where PROXY is accepted the rules are for the advertised address, the list of proxies for the peer', async (t) => {
  const [s1] = await serve(t, ['s1']);
  const rules = {
    acceptProxy: ['127.40.0.0/16'],
    allow: ['192.0.2.0/24', '127.42.0.0/16'],
    deny: ['192.0.2.66'],
    perSource: { connections: 1 },
  };
  const berth = await start(t, frontend(rules, s1!));
  const port = await berth.port();
  const advertised = (address: string, from: string): Client => {
    const client = new Client({ port, from });
    const destination = { address: '198.51.100.1', port: 443 };
    client.socket.write(buildProxyHeader('v2', { address, port: 50_000 }, destination));
    return client;
  };
  const anna = advertised('192.0.2.1', '127.40.0.1');
  assert.equal(await anna.line(), 's1', 'its proxy need not be allowed');
  assert.equal(await advertised('192.0.2.2', '127.40.0.1').line(), 's1', 'and is not who is counted');
  assert.equal(await advertised('192.0.2.1', '127.40.0.2').ended, 'reset', 'she has one connection already');
  assert.equal(await advertised('192.0.2.66', '127.40.0.1').ended, 'reset', 'denied');
  assert.equal(await advertised('127.42.0.1', '127.40.0.1').line(), 's1', 'allowed');
  assert.equal(await advertised('198.51.100.7', '127.40.0.1').ended, 'reset', 'not allowed');
  assert.equal(await advertised('192.0.2.3', '127.41.0.1').ended, 'reset', 'the peer is not allowed, whoever it names');
  const counts = ['source_connections', 'denied', 'not_allowed'].map((reason) => berth.metric(refused(reason)));
  assert.deepEqual(await Promise.all(counts), [1, 1, 2]);
});

test('a source has as many connections as it may, whatever becomes of them', async (t) => {
  const [s1] = await serve(t, ['s1']);
  const rules = { perSource: { connections: 2 } };
  const berth = await start(t, frontend(rules, s1!));
  const port = await berth.port();
  const from = '127.33.0.1';
  for (let i = 0; i < 20; i++) {
    const client = new Client({ port, from });
    client.socket.once('connect', () => client.socket.resetAndDestroy());
    await client.ended;
    await berth.metricIs('berth_frontend_connections{frontend="f"}', 0);
  }
  const held = [new Client({ port, from }), new Client({ port, from })];
  for (const client of held) assert.equal(await client.line(), 's1');
  assert.equal(await new Client({ port, from }).ended, 'reset');
  assert.equal(await new Client({ port, from: '127.33.0.2' }).line(), 's1');
  assert.equal(await berth.metric(refused('source_connections')), 1);
  await held[0]?.finish();
  await berth.metricIs('berth_frontend_connections{frontend="f"}', 2);
  assert.equal(await new Client({ port, from }).line(), 's1');

  await reload(berth, frontend(rules, await refusing()));
  for (let i = 0; i < 3; i++) {
    assert.equal(await new Client({ port, from: '127.33.0.3' }).ended, 'reset');
    await berth.line(({ client }) => String(client).startsWith('127.33.0.3:'), berth.lines.length - 1);
  }
  assert.equal(await berth.metric(refused('source_connections')), 1, 'those had no server, not too many connections');
});

test('a source that comes too often is refused, and a reload does not forget it', async (t) => {
  const [s1] = await serve(t, ['s1']);
  const berth = await start(t, frontend({ perSource: { rate: '3/1h' } }, s1!));
  const port = await berth.port();
  const from = '127.34.0.1';
  for (let i = 0; i < 3; i++) assert.equal((await visit(berth, { port, from })).answered, 's1');
  assert.equal(await new Client({ port, from }).ended, 'reset');
  assert.equal((await visit(berth, { port, from: '127.34.0.2' })).answered, 's1');
  await reload(berth, frontend({ perSource: { rate: '3/2h', connections: 7 } }, s1!));
  assert.equal(await new Client({ port, from }).ended, 'reset');
  assert.equal(await berth.metric(refused('source_rate')), 2);
});

test('refusals are logged at a limited rate with their number, and all are counted', async (t) => {
  const berth = await start(t, frontend({ deny: ['0.0.0.0/0'] }, await refusing()));
  const port = await berth.port();
  const startedMs = performance.now();
  const refusals = () => berth.lines.filter(({ msg }) => msg === 'connection refused');
  let came = 0;
  // At the end more than 50 have come, and the last of them was logged.
  const told = () => refusals().reduce((sum, { count }) => sum + Number(count), 0);
  while (came < 50 || told() < 50) {
    assert.equal(await new Client({ port }).ended, 'reset');
    came++;
    assert.ok(refusals().length <= 1 + (performance.now() - startedMs) / 1_000, 'no more than one a second');
  }
  assert.ok(told() <= came);
  const [first] = refusals();
  assert.deepEqual(
    [first?.level, first?.['frontend'], first?.['reason'], first?.['count']],
    ['warn', 'f', 'denied', 1],
  );
  assert.match(String(first?.['client']), /^127\.0\.0\.1:\d+$/);
  assert.equal(await berth.metric(refused('denied')), came);
  assert.equal(berth.lines.filter(({ msg }) => msg === 'connection').length, 0);
});

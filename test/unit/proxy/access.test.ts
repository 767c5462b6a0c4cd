/** Who may connect, and how often: the rules by themselves, on an injected clock. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Access, accessRules } from '../../../src/proxy/admission/access.ts';

type Rules = Parameters<typeof accessRules>[0];
const NO_LIMIT = { connections: 0, rate: { count: 0, windowMs: 10_000 }, prefix: { ipv4: 32, ipv6: 64 } };
const OPEN: Rules = { allow: [], deny: [], perSource: NO_LIMIT };
const rate = (count: number, windowMs = 10_000): Rules => ({
  ...OPEN,
  perSource: { ...NO_LIMIT, rate: { count, windowMs } },
});
const connections = (most: number): Rules => ({ ...OPEN, perSource: { ...OPEN.perSource, connections: most } });

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

  /** Whoever asks before is told the same, and counts for nothing. */
  admit(address: string): string | undefined {
    const judged = [1, 2].map(() => this.#access.judge(this.#rules, address));
    const refusal = this.#access.admit(this.#rules, address);
    assert.deepEqual(judged, [refusal, refusal]);
    return refusal;
  }

  leave(address: string): void {
    this.#access.leave(this.#rules, address);
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
  assert.equal(new Gate({ ...OPEN, deny: ['::ffff:0:0/95'] }).admit('10.0.0.1'), undefined);
  assert.equal(new Gate({ ...OPEN, deny: ['::ffff:0:0/96'] }).admit('10.0.0.1'), 'denied');
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

test('how much of an address makes a source is for the operator to say', () => {
  const prefix = { ipv4: 24, ipv6: 128 };
  const rules = { ...OPEN, perSource: { ...NO_LIMIT, connections: 1, prefix } };
  const access = new Gate(rules);
  for (let host = 1; host <= 6; host++) assert.equal(access.admit(`2001:db8:5::${host}`), undefined);
  assert.equal(access.admit('2001:db8:5::6'), 'source_connections');
  assert.equal(access.admit('10.0.0.1'), undefined);
  assert.equal(access.admit('10.0.0.255'), 'source_connections');
  assert.equal(access.admit('10.0.1.1'), undefined);
  access.leave('10.0.0.1');
  assert.equal(access.admit('10.0.0.2'), undefined);
});

test('a connection leaves the source that it was counted for, whatever the prefix is by then', () => {
  const under = (ipv6: number) =>
    accessRules({ ...OPEN, perSource: { ...NO_LIMIT, connections: 1, prefix: { ipv4: 32, ipv6 } } });
  const [network, host] = [under(64), under(128)];
  const access = new Access();
  assert.equal(access.admit(network, '2001:db8::1'), undefined);
  assert.equal(access.admit(host, '2001:db8::1'), undefined);
  access.leave(network, '2001:db8::1');
  assert.equal(access.admit(network, '2001:db8::2'), undefined);
  assert.equal(access.admit(host, '2001:db8::1'), 'source_connections');
  access.leave(host, '2001:db8::1');
  assert.equal(access.admit(host, '2001:db8::1'), undefined);
});

test('every link-local host is a source of its own', () => {
  const access = new Gate(connections(1));
  for (const host of ['fe80::1%eth0', 'fe80::2%eth0', 'fe80::1%eth1']) assert.equal(access.admit(host), undefined);
  assert.equal(access.admit('fe80::1%eth1'), 'source_connections');
});

test('a network with a zone has the addresses of this zone alone, one without a zone those of all', () => {
  const access = new Gate({ ...OPEN, deny: ['fe80::1%eth0', 'fe80::aaaa:0%eth1/112', 'fe80::5'] });
  const denied = ['fe80::1%eth0', 'fe80::aaaa:7%eth1', 'fe80::5%eth0', 'fe80::5%eth7', 'fe80::5'];
  for (const address of denied) assert.equal(access.admit(address), 'denied', address);
  for (const address of ['fe80::1%eth1', 'fe80::1', 'fe80::aaaa:7%eth0', 'fe80::aaab:0%eth1', 'fe80::6%eth0']) {
    assert.equal(access.admit(address), undefined, address);
  }
});

test('however many networks there are, whether they hold each other or not, an address is in any or in none', () => {
  const few = fc.tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 24, max: 32 }));
  fc.assert(
    fc.property(fc.array(few, { minLength: 1, maxLength: 20 }), (all) => {
      const access = new Gate({ ...OPEN, deny: all.map(([host, prefix]) => `10.0.0.${host}/${prefix}`) });
      for (let host = 0; host < 256; host++) {
        const inside = all.some(([other, prefix]) => host >> (32 - prefix) === other >> (32 - prefix));
        assert.equal(access.admit(`10.0.0.${host}`), inside ? 'denied' : undefined);
      }
      assert.deepEqual([access.admit('9.255.255.255'), access.admit('10.0.1.0')], [undefined, undefined]);
    }),
  );
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
  const pauses = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 3_000 })), { maxLength: 80, size: 'max' });
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

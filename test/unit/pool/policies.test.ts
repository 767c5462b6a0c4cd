import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  leastConnections,
  POLICIES,
  randomOfTwo,
  roundRobin,
  sourceHash,
  type Candidate,
  type Policy,
} from '../../../src/pool/policies.ts';

const server = (name: string, weight = 1, connections = 0): Candidate => ({ name, weight, connections });
const [a, b, c] = [server('a', 5), server('b'), server('c')];
const equals = ['x', 'y', 'z'].map((name) => server(name));

const picks = (policy: Policy, candidates: readonly Candidate[], count: number): string[] =>
  Array.from({ length: count }, () => policy(candidates, undefined)?.name ?? '-');
const tally = (names: readonly string[]): Record<string, number> =>
  names.reduce<Record<string, number>>((sum, name) => ({ ...sum, [name]: (sum[name] ?? 0) + 1 }), {});

const weight = fc.oneof(fc.integer({ min: 1, max: 256 }), fc.double({ min: 0.01, max: 5, noNaN: true }));
const candidates = fc
  .array(fc.record({ weight, connections: fc.nat(1_000) }), { minLength: 1, maxLength: 12 })
  .map((all) => all.map((one, i) => ({ ...one, name: `s${i}` })));
const client = fc.option(fc.ipV4(), { nil: undefined });

for (const [name, make] of Object.entries(POLICIES)) {
  test(`${name} picks one of the candidates, whoever they are from one pick to the next`, () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(candidates, client), { minLength: 1, maxLength: 10 }), (rounds) => {
        const policy = make();
        for (const [all, who] of rounds) {
          const picked = policy(all, who);
          assert.ok(picked && all.includes(picked));
        }
      }),
    );
  });

  test(`${name} picks none of none, and the only one`, () => {
    const policy = make();
    for (const who of [undefined, '10.0.0.1']) {
      assert.equal(policy([], who), undefined);
      assert.equal(policy([a], who), a);
    }
  });

  test(`${name} changes neither its candidates nor their order`, () => {
    const all = Object.freeze([a, b, c].map((one) => Object.freeze({ ...one })));
    make()(all, '10.0.0.1');
    assert.deepEqual(all, [a, b, c]);
  });

  test(`${name} gives each of idle equals about its share of many clients`, () => {
    const policy = make();
    const counts = tally(
      Array.from({ length: 30_000 }, (_, i) => policy(equals, `10.0.${i >> 8}.${i & 255}`)?.name ?? '-'),
    );
    for (const { name: each } of equals) assert.ok(Math.abs(counts[each]! - 10_000) < 600, JSON.stringify(counts));
  });
}

test('round robin takes turns', () => {
  assert.equal(picks(roundRobin(), equals, 7).join(''), 'xyzxyzx');
});

test('round robin spreads a heavy server out, as nginx does', () => {
  assert.equal(picks(roundRobin(), [a, b, c], 14).join(' '), 'a a b a c a a a a b a c a a');
});

test('over as many picks as there is weight, each server has its weight', () => {
  const weights = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(weights, fc.integer({ min: 1, max: 3 }), (all, rounds) => {
      const policy = roundRobin();
      const servers = all.map((one, i) => server(`s${i}`, one));
      const sum = all.reduce((total, one) => total + one, 0);
      for (let round = 0; round < rounds; round++) {
        const counts = tally(picks(policy, servers, sum));
        for (const { name, weight: own } of servers) assert.equal(counts[name], own);
      }
    }),
  );
});

test('a server that leaves and comes back does not restart the turn', () => {
  const policy = roundRobin();
  const [x, y, z] = equals as [Candidate, Candidate, Candidate];
  assert.equal(picks(policy, [x, y, z], 2).join(''), 'xy');
  assert.equal(picks(policy, [x, z], 1).join(''), 'z');
  const after = tally(picks(policy, [x, y, z], 30));
  for (const { name } of equals) assert.ok(Math.abs(after[name]! - 10) <= 1, JSON.stringify(after));
});

test('two balancers of one policy have turns of their own', () => {
  const [one, other] = [roundRobin(), roundRobin()];
  assert.equal(picks(one, equals, 2).join(''), 'xy');
  assert.equal(picks(other, equals, 2).join(''), 'xy');
});

test('least connections takes the least loaded for its weight, and equals in turn', () => {
  const policy = leastConnections();
  assert.equal(policy([server('x', 1, 3), server('y', 1, 2), server('z', 1, 9)], undefined)?.name, 'y');
  assert.equal(policy([server('x', 4, 4), server('y', 1, 2)], undefined)?.name, 'x');
  assert.equal(picks(policy, equals, 6).join(''), 'xyzxyz');
});

test('least connections never picks a server while another has less for its weight', () => {
  fc.assert(
    fc.property(fc.array(candidates, { minLength: 1, maxLength: 5 }), (rounds) => {
      const policy = leastConnections();
      const load = ({ connections, weight: own }: Candidate): number => connections / own;
      for (const all of rounds) {
        const picked = policy(all, undefined);
        assert.ok(picked && all.every((one) => load(one) >= load(picked)));
      }
    }),
  );
});

test('random draws by weight and takes the less loaded of two', () => {
  const drawn = (...numbers: number[]): Policy => randomOfTwo(() => numbers.shift() ?? assert.fail('drew too often'));
  const all = [server('x', 1, 5), server('y', 1, 3), server('z', 2, 4)];
  assert.equal(drawn(0, 0.3)(all, undefined)?.name, 'y');
  assert.equal(drawn(0.3, 0)(all, undefined)?.name, 'y');
  assert.equal(drawn(0, 0.999_999)(all, undefined)?.name, 'z');
  assert.equal(drawn(0.5, 0.5)(all, undefined)?.name, 'z');
  assert.equal(drawn(1, 1)(all, undefined)?.name, 'z', 'where rounding leaves nobody, the last');
});

test('the hash of a source gives each client one server, in whatever order they stand, on each balancer', () => {
  fc.assert(
    fc.property(candidates, fc.ipV4(), (all, who) => {
      const picked = sourceHash()(all, who);
      assert.equal(sourceHash()(all.toReversed(), who), picked);
    }),
  );
});

test('a server that leaves moves only the clients it had', () => {
  fc.assert(
    fc.property(candidates, fc.nat(11), fc.ipV4(), (all, index, who) => {
      const gone = all[index % all.length];
      const before = sourceHash()(all, who);
      const after = sourceHash()(
        all.filter((one) => one !== gone),
        who,
      );
      if (before !== gone) assert.equal(after, before);
    }),
  );
});

test('the hash of a source follows the weights', () => {
  const policy = sourceHash();
  const all = [server('s1', 1), server('s2', 3)];
  const counts = tally(
    Array.from({ length: 20_000 }, (_, i) => policy(all, `192.168.${i >> 8}.${i & 255}`)?.name ?? '-'),
  );
  assert.ok(Math.abs(counts['s2']! - 15_000) < 500, JSON.stringify(counts));
});

test('the hash of a source follows the weights of many servers too', () => {
  const policy = sourceHash();
  const all = [server('s1'), server('s2'), server('s3', 8)];
  const counts = tally(
    Array.from({ length: 20_000 }, (_, i) => policy(all, `192.168.${i >> 8}.${i & 255}`)?.name ?? '-'),
  );
  assert.ok(Math.abs(counts['s3']! - 16_000) < 300, JSON.stringify(counts));
});

test('the hash of a source is the same in every version: an update of Berth moves no client', () => {
  const all = ['s1', 's2', 's3', 's4', 's5'].map((name) => server(name));
  const clients = ['10.0.0.1', '10.0.0.2', '172.16.254.3', '192.168.1.77', 'fd00:1:2:3::/64', '2001:db8::1'];
  const policy = sourceHash();
  assert.deepEqual(
    clients.map((address) => policy(all, address)?.name),
    ['s3', 's3', 's2', 's2', 's5', 's5'],
  );
});

test('clients that nothing identifies take turns under the hash of a source', () => {
  assert.deepEqual(picks(sourceHash(), equals, 4), ['x', 'y', 'z', 'x']);
});

test('a server whose weight grows takes clients from the others and moves none between them', () => {
  fc.assert(
    fc.property(candidates, fc.nat(11), fc.ipV4(), (all, index, who) => {
      const grown = index % all.length;
      const before = sourceHash()(all, who);
      const after = sourceHash()(
        all.map((one, i) => (i === grown ? { ...one, weight: one.weight * 2 } : one)),
        who,
      );
      if (after?.name !== all[grown]?.name) assert.equal(after?.name, before?.name);
    }),
  );
});

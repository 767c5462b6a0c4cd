import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { hostsAddresses } from '../../../src/names/hosts.ts';
import { namesToAsk, parseSearch, type Around } from '../../../src/names/search.ts';

const around = (given: Partial<Around> = {}): Around => ({ env: {}, hostname: 'node', ...given });
const parse = (text: string, given?: Partial<Around>) => parseSearch(text, around(given));

test('the last search or domain line counts, and a final dot of a domain does not', () => {
  for (const [text, domains] of [
    ['search a.test b.test\n', ['a.test', 'b.test']],
    ['search a.test\nsearch b.test.\n', ['b.test']],
    ['search a.test\ndomain b.test c.test\n', ['b.test']],
    ['domain b.test\nsearch a.test\tc.test  d.test\r\n', ['a.test', 'c.test', 'd.test']],
    ['search .\n', ['']],
    ['search\n', []],
    ['nameserver 10.0.0.1\n# search a.test\n;search b.test\n search c.test\nsearching d.test\n', []],
    ['', []],
  ] as const) {
    assert.deepEqual(parse(text), { domains, ndots: 1 }, JSON.stringify(text));
  }
});

test('a machine whose own name has a domain completes names with it, unless the file says what to complete with', () => {
  assert.deepEqual(parse('', { hostname: 'node1.cluster.test' }).domains, ['cluster.test']);
  assert.deepEqual(parse('search a.test\n', { hostname: 'node1.cluster.test' }).domains, ['a.test']);
});

test('ndots is 1, what the last option says, or what the environment says, and at most 15', () => {
  for (const [text, env, ndots] of [
    ['options ndots:5 timeout:1\n', {}, 5],
    ['options ndots:5\noptions edns0 ndots:2\n', {}, 2],
    ['options ndots:0\n', {}, 0],
    ['options ndots:99\n', {}, 15],
    ['options ndots:x ndots: ndots:-1\n', {}, 1],
    ['options ndots:5\n', { RES_OPTIONS: 'rotate ndots:3' }, 3],
  ] as const) {
    assert.equal(parse(text, { env }).ndots, ndots, text);
  }
  assert.deepEqual(parse('search a.test\n', { env: { LOCALDOMAIN: 'b.test c.test' } }).domains, ['b.test', 'c.test']);
});

test('a name with ndots dots is asked for as it stands first, another one last, one with a final dot only so', () => {
  const domains = ['a.test', 'b.test'];
  for (const [name, ndots, asked] of [
    ['r', 1, ['r.a.test', 'r.b.test', 'r']],
    ['r', 0, ['r', 'r.a.test', 'r.b.test']],
    ['r.s', 1, ['r.s', 'r.s.a.test', 'r.s.b.test']],
    ['r.s', 5, ['r.s.a.test', 'r.s.b.test', 'r.s']],
    ['r.', 5, ['r']],
    ['r.s.', 1, ['r.s']],
  ] as const) {
    assert.deepEqual(namesToAsk(name, { domains, ndots }), asked);
  }
  assert.deepEqual(namesToAsk('r', { domains: [], ndots: 1 }), ['r']);
  assert.deepEqual(namesToAsk('r', { domains: ['', 'a.test', 'a.test'], ndots: 1 }), ['r', 'r.a.test'], 'each once');
});

const line = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('search', 'domain', 'options', 'nameserver', 'search a.test', 'options ndots:', 'search ..'),
  fc
    .array(fc.constantFrom('search', 'options', 'ndots:3', ' ', '\t', '.', 'a.test', '#', ';'))
    .map((all) => all.join('')),
);
const file = fc.array(line, { maxLength: 60 }).map((lines) => lines.join('\n'));

test('whatever stands in resolv.conf, a name is asked for as it stands, and for at most so many times', () => {
  fc.assert(
    fc.property(file, fc.constantFrom('r', 'r.s', 'r.s.', 'registry.example.com'), (text, name) => {
      const search = parse(text);
      assert.ok(search.ndots >= 0 && search.ndots <= 15);
      const asked = namesToAsk(name, search);
      assert.ok(asked.includes(name.replace(/\.$/, '')));
      assert.ok(asked.length <= 33);
      assert.ok(asked.every((one) => one.startsWith(name.replace(/\.$/, '')) && !/[\s]/.test(one)));
      assert.equal(new Set(asked).size, asked.length);
    }),
  );
  const many = Array.from({ length: 5_000 }, (_, i) => `d${i}.test`).join(' ');
  assert.equal(namesToAsk('r', parse(`search ${many}\n`)).length, 33);
});

test('a hosts file gives all addresses of a name, each once, whichever way the name is written there', () => {
  const text = [
    '127.0.0.1\tlocalhost',
    '::1 localhost ip6-localhost # localhost again',
    '10.0.0.1 r.test r   # the first',
    '10.0.0.2  R.Test.',
    '10.0.0.1 r.test',
    '#10.0.0.3 r.test',
    'fe80::1%eth0 r.test',
    '10.0.0.256 r.test',
    'r.test 10.0.0.4',
    '10.0.0.5 rxtest other.r.test r.test.other',
    '',
  ].join('\r\n');
  assert.deepEqual(hostsAddresses(text, 'r.test'), ['10.0.0.1', '10.0.0.2', 'fe80::1%eth0']);
  assert.deepEqual(hostsAddresses(text, 'r'), ['10.0.0.1']);
  assert.deepEqual(hostsAddresses(text, 'localhost'), ['127.0.0.1', '::1']);
  assert.deepEqual(hostsAddresses(text, 'ip6-localhost'), ['::1']);
  for (const name of ['test', 'again', 'first', '10.0.0.4', 'x.test']) assert.deepEqual(hostsAddresses(text, name), []);
});

test('whatever else stands in a hosts file, the line of a name is found, and what is no address is not', () => {
  const hosts = fc.array(fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('r.test', '10.0.0.1', '#', '::1')));
  fc.assert(
    fc.property(hosts, hosts, (before, after) => {
      const others = [before, after].map((lines) => lines.join('\n').replaceAll('r.test', 's.test'));
      const text = `${others[0]}\n10.0.0.9 r.test\n${others[1]}`;
      assert.deepEqual(hostsAddresses(text, 'r.test'), ['10.0.0.9']);
      assert.deepEqual(hostsAddresses(others.join('\n'), 'r.test'), []);
    }),
  );
});

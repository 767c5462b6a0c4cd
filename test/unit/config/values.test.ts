import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  bindKey,
  bindsCollide,
  formatDiscovered,
  formatDuration,
  formatEndpoint,
  isCidr,
  parseBind,
  parseDuration,
  parseEndpoint,
  parseRate,
  parseServerAddress,
  parseSize,
} from '../../../src/config/values.ts';
import { normaliseAddress } from '../../../src/pool/client-key.ts';
import { contains, networks } from '../../../src/proxy/admission/networks.ts';

test('durations', () => {
  const table: Record<string, number | undefined> = {
    '500ms': 500,
    '2s': 2_000,
    '30m': 1_800_000,
    '1h': 3_600_000,
    '7d': 604_800_000,
    '0s': 0,
    '1.5s': 1_500,
    '0.001s': 1,
    '007s': 7_000,
    '': undefined,
    s: undefined,
    '5': undefined,
    '5 s': undefined,
    ' 5s': undefined,
    '5s\n': undefined,
    '-5s': undefined,
    '+5s': undefined,
    '5S': undefined,
    '5us': undefined,
    '5w': undefined,
    '1e3s': undefined,
    '.5s': undefined,
    '5.s': undefined,
    '1h30m': undefined,
    '9999999999s': undefined,
    '٣s': undefined,
  };
  for (const [text, ms] of Object.entries(table)) assert.equal(parseDuration(text), ms, JSON.stringify(text));
});

test('the shortest spelling of a duration', () => {
  const table = { 0: '0ms', 1: '1ms', 1_500: '1500ms', 2_000: '2s', 90_000: '90s', 120_000: '2m', 86_400_000: '1d' };
  for (const [ms, text] of Object.entries(table)) assert.equal(formatDuration(Number(ms)), text);
});

test('a formatted duration parses back to itself', () => {
  const units = fc.constantFrom(1, 1_000, 60_000, 3_600_000, 86_400_000);
  fc.assert(
    fc.property(fc.nat(99_999), units, (amount, unit) => {
      assert.equal(parseDuration(formatDuration(amount * unit)), amount * unit);
    }),
  );
});

test('sizes are decimal', () => {
  const table: [string | number, number | undefined][] = [
    ['200k', 200_000],
    ['1m', 1_000_000],
    ['1000', 1_000],
    [1_000, 1_000],
    [0, 0],
    ['200K', undefined],
    ['1.5k', undefined],
    [1.5, undefined],
    [-1, undefined],
    [1e21, undefined],
    [NaN, undefined],
    ['', undefined],
    ['k', undefined],
    ['1g', undefined],
    ['1 k', undefined],
  ];
  for (const [text, size] of table) assert.equal(parseSize(text), size, String(text));
  fc.assert(fc.property(fc.nat(999_999), (n) => parseSize(`${n}k`) === n * 1_000 && parseSize(n) === n));
});

test('binds', () => {
  const tcp: Record<string, [string, number]> = {
    '*:443': ['*', 443],
    ':443': ['*', 443],
    '10.0.0.1:443': ['10.0.0.1', 443],
    '[::]:443': ['::', 443],
    '[0:0::0]:443': ['::', 443],
    '[2001:DB8::0001]:443': ['2001:db8::1', 443],
    '[::FFFF:a00:1]:443': ['10.0.0.1', 443],
    '[fe80::1%eth0]:443': ['fe80::1%eth0', 443],
    '[2001:db8::ffff:1234]:443': ['2001:db8::ffff:1234', 443],
    '[::ffff:10.0.0.1%eth0]:443': ['::ffff:10.0.0.1%eth0', 443],
    'LocalHost:0': ['localhost', 0],
    'a.b-c_d.example.:65535': ['a.b-c_d.example.', 65_535],
  };
  for (const [text, [host, port]] of Object.entries(tcp)) {
    assert.deepEqual(parseBind(text), { kind: 'tcp', host, port, text });
  }
  assert.deepEqual(parseBind('unix:/run/b.sock'), { kind: 'unix', path: '/run/b.sock', text: 'unix:/run/b.sock' });
  assert.equal(parseBind(`unix:/${'x'.repeat(106)}`)?.kind, 'unix');
  assert.equal(parseBind(`unix:/${'x'.repeat(107)}`), undefined);
});

test('what is no bind', () => {
  const wrong = [
    '',
    '*',
    '443',
    '*:',
    '*:65536',
    '*:-1',
    '*:4 43',
    '*:443 ',
    '*:0x1bb',
    '::1:443',
    '[::1]',
    '[::1]443',
    '[10.0.0.1]:443',
  ];
  wrong.push(
    '[x]:443',
    '10.0.0.256:443',
    '10.1:443',
    '1:443',
    'a b:443',
    '-a:443',
    'a..b:443',
    `${'a'.repeat(64)}:443`,
    'unix:run/b',
    'unix:',
  );
  wrong.push('*.example.com:443', '**:443', 'http://a:443', 'a:443/x', 'a@b:443');
  for (const text of wrong) assert.equal(parseBind(text), undefined, JSON.stringify(text));
});

test('endpoints are as binds, without wildcard, socket and port 0', () => {
  assert.deepEqual(parseEndpoint('registry1:5000'), { host: 'registry1', port: 5000 });
  assert.deepEqual(parseEndpoint('10.0.0.1:1'), { host: '10.0.0.1', port: 1 });
  assert.deepEqual(parseEndpoint('[2001:db8::1]:65535'), { host: '2001:db8::1', port: 65_535 });
  const wrong = [
    '*:443',
    ':443',
    'a:0',
    'a:65536',
    'a',
    'unix:/a',
    '2001:db8::1:443',
    '[]:1',
    'srv:_a._tcp.b',
    '1.2.3:1',
  ];
  for (const text of wrong) assert.equal(parseEndpoint(text), undefined, JSON.stringify(text));
});

test('the address of a server is an endpoint, or a name that DNS has servers for', () => {
  const table: Record<string, object | undefined> = {
    'registry1:5000': { host: 'registry1', port: 5000 },
    'dns:registry.internal:5000': { discover: 'dns', name: 'registry.internal', port: 5000 },
    'dns:3com.test:5000': { discover: 'dns', name: '3com.test', port: 5000 },
    'srv:_registry._tcp.example.com': { discover: 'srv', name: '_registry._tcp.example.com' },
    'dns:5000': { host: 'dns', port: 5000 },
    'srv:5000': { host: 'srv', port: 5000 },
    'dns:10.0.0.1:5000': undefined,
    'dns:registry': undefined,
    'srv:': undefined,
    'srv:a b': undefined,
    'dns:a:0': undefined,
    'http:a:1': undefined,
  };
  for (const [text, address] of Object.entries(table)) assert.deepEqual(parseServerAddress(text), address, text);
});

test('what formatDiscovered prints is what the operator wrote', () => {
  for (const text of ['dns:registry.internal:5000', 'srv:_registry._tcp.example.com']) {
    const address = parseServerAddress(text);
    assert.ok(address && 'discover' in address);
    assert.equal(formatDiscovered(address), text);
  }
});

const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain());
const port = fc.integer({ min: 1, max: 65_535 });

test('what formatEndpoint prints parses back to the same', () => {
  fc.assert(
    fc.property(host, port, (name, number) => {
      const endpoint = { host: name, port: number };
      assert.deepEqual(parseEndpoint(formatEndpoint(endpoint)), endpoint);
    }),
  );
});

test('each address is one bind, in whatever spelling, and collides with itself', () => {
  fc.assert(
    fc.property(host, port, (name, number) => {
      const bind = parseBind(formatEndpoint({ host: name, port: number }))!;
      assert.ok(bind.kind === 'tcp');
      const again = parseBind(formatEndpoint({ host: bind.host, port: number }).toUpperCase())!;
      assert.deepEqual({ ...again, text: '' }, { ...bind, text: '' });
      assert.ok(bindsCollide(bind, again) && bindsCollide(again, parseBind(`*:${number}`)!));
      assert.ok(!bindsCollide(bind, parseBind(`*:${(number % 65_535) + 1}`)!));
    }),
  );
});

test('two binds collide in both directions or in none', () => {
  const spelled = fc.constantFrom('*', '0.0.0.0', '[::]', '10.0.0.1', '[::1]', '[::ffff:10.0.0.1]', 'localhost');
  const bind = fc.tuple(spelled, fc.constantFrom(0, 443, 444)).map(([name, number]) => parseBind(`${name}:${number}`)!);
  fc.assert(fc.property(bind, bind, (a, b) => bindsCollide(a, b) === bindsCollide(b, a)));
});

test('networks', () => {
  const right = [
    'fe80::1%eth0',
    'fe80::%eth0/64',
    '10.0.0.1',
    '10.0.0.0/8',
    '0.0.0.0/0',
    '10.0.0.1/32',
    '::/0',
    '2001:db8::/32',
    '::1/128',
    '::1',
  ];
  const wrong = [
    '',
    '/',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0/8',
    '::/129',
    '10.0.0.0/8 ',
    '10.0.0.0/a',
  ];
  wrong.push(
    'fe80::/64%eth0',
    '2001:db8::1%eth0',
    '2001:fe80::1%eth0',
    'fe80::1%',
    '*',
    'localhost',
    '10.0.0.0/1e1',
    '[::1]/128',
  );
  for (const text of right) assert.equal(isCidr(text), true, text);
  for (const text of wrong) assert.equal(isCidr(text), false, JSON.stringify(text));
});

test('what isCidr takes, a network is made of', () => {
  const text = fc.oneof(fc.ipV4Extended(), fc.ipV4(), fc.ipV6(), fc.string());
  fc.assert(
    fc.property(text, fc.option(fc.integer({ min: -1, max: 200 })), (address, prefix) => {
      if (!isCidr(prefix === null ? address : `${address}/${prefix}`)) return;
      assert.ok(contains(networks([prefix === null ? address : `${address}/${prefix}`]), normaliseAddress(address)));
    }),
  );
});

test('no text makes a parser throw', () => {
  const pieces = fc.constantFrom(
    '[',
    ']',
    ':',
    '*',
    '/',
    '%',
    '.',
    '443',
    '10.0.0.1',
    '::',
    'unix:',
    'a',
    '-',
    '\n',
    '\0',
  );
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(pieces).map((all) => all.join('')),
  );
  fc.assert(
    fc.property(text, (written) => {
      const bind = parseBind(written);
      if (bind)
        assert.ok(bind.text === written && bindsCollide(bind, bind) === !(bind.kind === 'tcp' && bind.port === 0));
      const endpoint = parseEndpoint(written);
      if (endpoint) assert.deepEqual(parseEndpoint(formatEndpoint(endpoint)), endpoint);
      assert.equal(typeof isCidr(written), 'boolean');
      const ms = parseDuration(written);
      assert.ok(ms === undefined || (Number.isSafeInteger(ms) && ms >= 0));
      const size = parseSize(written);
      assert.ok(size === undefined || (Number.isSafeInteger(size) && size >= 0));
    }),
    { numRuns: 2_000 },
  );
});

test('rates', () => {
  const table: Record<string, { count: number; windowMs: number } | undefined> = {
    '20/10s': { count: 20, windowMs: 10_000 },
    '0/1m': { count: 0, windowMs: 60_000 },
    '123456789/500ms': { count: 123_456_789, windowMs: 500 },
    '1234567890/1s': undefined,
    '20/0s': undefined,
    '20/10': undefined,
    '20/': undefined,
    '/10s': undefined,
    '20': undefined,
    '': undefined,
    '-20/10s': undefined,
    'x20/10s': undefined,
    '20/10s ': undefined,
    '20/10s/1s': undefined,
    '1.5/10s': undefined,
  };
  for (const [text, expected] of Object.entries(table)) assert.deepEqual(parseRate(text), expected, text);
});

test('all spellings of a bind have one key, and other binds another', () => {
  const key = (text: string): string => bindKey(parseBind(text)!);
  assert.deepEqual(
    ['*:443', ':443', '[::1]:443', '[0:0::1]:443', '[::ffff:10.0.0.1]:443', '10.0.0.1:443', 'LocalHost:80'].map(key),
    ['*:443', '*:443', '[::1]:443', '[::1]:443', '10.0.0.1:443', '10.0.0.1:443', 'localhost:80'],
  );
  assert.equal(key('unix:/run/berth.sock'), 'unix:/run/berth.sock');
  assert.deepEqual(parseBind(key('[fe80::1%eth0]:443')), {
    ...parseBind('[fe80::1%eth0]:443')!,
    text: key('[fe80::1%eth0]:443'),
  });
});

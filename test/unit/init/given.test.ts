/** The servers that `berth init` is given. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { parseServerAddress } from '../../../src/config/values.ts';
import { initFault, readServers } from '../../../src/init/given.ts';

function servers(...words: string[]): string[] {
  const given = readServers(words);
  if (given.kind === 'fault') throw new TypeError(given.fault);
  return given.servers.map(({ name, address }) => `${name}=${address}`);
}

test('an address alone is called by its place, or by the next number that is free', () => {
  assert.deepEqual(servers('10.0.0.1:5000', 'r-2.example.com:5000'), ['s1=10.0.0.1:5000', 's2=r-2.example.com:5000']);
  assert.deepEqual(servers('h:1', 's2=h:2', 'h:3'), ['s1=h:1', 's2=h:2', 's3=h:3']);
  assert.deepEqual(servers('s2=h:1', 'h:2', 'h:3'), ['s2=h:1', 's3=h:2', 's4=h:3']);
});

test('every address of balancer.yml is one here', () => {
  const all = ['a=[::1]:5000', 'b=dns:registry.internal:5000', 'c=srv:_registry._tcp.example.com'];
  assert.deepEqual(servers(...all), all);
});

test('what is wrong with the words is said with what would be right', () => {
  const table: [string[], string][] = [
    [[], 'init needs the servers: berth init s1=10.0.0.1:5000 s2=10.0.0.2:5000'],
    [['s1=10.0.0.1'], 's1: 10.0.0.1 has no port: s1=10.0.0.1:5000'],
    [['https://r.example.com'], 's1: an address has no https:// before it, and a port: s1=HOST:PORT'],
    [['s1=h:0'], 's1: "h:0" is no HOST:PORT, [IPv6]:PORT, dns:NAME:PORT or srv:NAME'],
    [['s1=10.0.0.256:1'], 's1: "10.0.0.256:1" is no HOST:PORT, [IPv6]:PORT, dns:NAME:PORT or srv:NAME'],
    [['=h:1'], '"" is no name: a name starts with a letter or digit and goes on with letters, digits and _ . : -'],
    [['a=h:1', 'a=h:2'], 'two servers are called a'],
    [['a=h:1', 'b=H:1'], 'b has the address of a, H:1'],
  ];
  for (const [words, fault] of table) assert.equal(initFault(words, undefined), fault);
  assert.equal(initFault(['h:1'], '443'), '--bind takes *:PORT, ADDRESS:PORT, [IPv6]:PORT or unix:/PATH, not 443');
  assert.equal(initFault(['h:1'], '*:443'), undefined);
});

test('no words make reading throw; what is read has names and addresses of its own, each as it was written', () => {
  const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.:-]{0,8}$/);
  const address = fc.oneof(
    fc.tuple(fc.oneof(fc.domain(), fc.ipV4()), fc.integer({ min: 1, max: 65_535 })).map(([h, port]) => `${h}:${port}`),
    fc.tuple(fc.ipV6(), fc.integer({ min: 1, max: 65_535 })).map(([host, port]) => `[${host}]:${port}`),
    fc.domain().map((host) => `srv:${host}`),
  );
  const good = fc.oneof(
    fc.tuple(name, address).map(([n, a]) => `${n}=${a}`),
    address,
  );
  const word = fc.oneof({ weight: 6, arbitrary: good }, fc.string({ unit: 'binary', maxLength: 20 }));
  let read = 0;
  fc.assert(
    fc.property(fc.array(word, { maxLength: 6 }), (words) => {
      const given = readServers(words);
      if (given.kind === 'fault') return assert.notEqual(given.fault, '');
      read++;
      assert.equal(given.servers.length, words.length);
      assert.equal(new Set(given.servers.map((server) => server.name)).size, words.length);
      for (const [i, server] of given.servers.entries()) {
        assert.ok([server.address, `${server.name}=${server.address}`].includes(words[i]!), words[i]);
        assert.ok(parseServerAddress(server.address), server.address);
      }
    }),
    { numRuns: 1_000 },
  );
  assert.ok(read > 100, `${read} were read`);
});

/** What a configuration and the answers of DNS make of servers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Found } from '../../../src/pool/discovery.ts';
import { questions, wanted } from '../../../src/pool/terms.ts';
import { backendConfig } from '../../support/backend.ts';

const found = (host: string, name = 'r.test'): Found => ({ host, port: 5000, name });

/** The answers to the questions of `config`, in their order. */
function answers(config: ReturnType<typeof backendConfig>, ...all: Found[][]) {
  return new Map(questions(config).map(({ key }, i) => [key, { found: all[i] ?? [] }]));
}

test('a server has its own options, and those of its backend where it has none of its own', () => {
  const config = backendConfig({
    sendProxy: 'v1',
    resolveInterval: '7s',
    healthCheck: { interval: '3s' },
    servers: {
      plain: '10.0.0.1:5000',
      own: { address: '10.0.0.2:5000', sendProxy: 'none', resolveInterval: '9s', weight: 3 },
    },
  });
  const servers = wanted(config, new Map());
  assert.deepEqual(
    [...servers].map(([name, terms]) => [name, terms.sendProxy, terms.resolveInterval, terms.weight]),
    [
      ['plain', 'v1', 7_000, 1],
      ['own', 'none', 9_000, 3],
    ],
  );
  for (const { healthCheck, foundAs } of servers.values())
    assert.deepEqual([healthCheck, foundAs], [config.healthCheck, undefined]);
});

test('a question is asked at the interval of its entry, or of its backend', () => {
  const config = backendConfig({
    resolveInterval: '7s',
    servers: {
      fixed: 'r.test:5000',
      a: 'dns:a.test:5000',
      b: { address: 'srv:_b._tcp.test', resolveInterval: '9s' },
    },
  });
  assert.deepEqual(
    questions(config).map(({ address, intervalMs }) => [address.name, intervalMs]),
    [
      ['a.test', 7_000],
      ['_b._tcp.test', 9_000],
    ],
  );
});

test('two entries ask two questions, also of one name', () => {
  const config = backendConfig({ servers: { a: 'dns:r.test:5000', b: 'dns:r.test:5000', c: 'dns:r.test:5001' } });
  assert.equal(new Set(questions(config).map(({ key }) => key)).size, 3);
  const servers = wanted(config, answers(config, [found('10.0.0.1')], [found('10.0.0.2')]));
  assert.deepEqual([...servers.keys()], ['a-10.0.0.1:5000', 'b-10.0.0.2:5000']);
});

test('what DNS finds stands in the order of its names, whatever the order of the answer', () => {
  const config = backendConfig({ servers: { r: { address: 'dns:r.test:5000', weight: 4 }, last: '10.0.0.9:5000' } });
  const hosts = ['10.0.0.3', '10.0.0.1', 'fd00::1', '10.0.0.2'];
  const servers = wanted(
    config,
    answers(
      config,
      hosts.map((host) => found(host, 'node.test')),
    ),
  );
  assert.deepEqual(
    [...servers.keys()],
    ['r-10.0.0.1:5000', 'r-10.0.0.2:5000', 'r-10.0.0.3:5000', 'r-[fd00::1]:5000', 'last'],
  );
  const { address, foundAs, weight } = servers.get('r-[fd00::1]:5000')!;
  assert.deepEqual([address, foundAs, weight], [{ host: 'fd00::1', port: 5000 }, 'node.test', 4]);
});

test('an entry keeps its name from what is found, whichever stands first', () => {
  const fixed = { 'r-10.0.0.1:5000': { address: '10.0.0.7:5000', weight: 9 } };
  const asked = { r: 'dns:r.test:5000' };
  for (const servers of [
    { ...fixed, ...asked },
    { ...asked, ...fixed },
  ]) {
    const config = backendConfig({ servers });
    const made = wanted(config, answers(config, [found('10.0.0.1'), found('10.0.0.2')]));
    assert.deepEqual(made.get('r-10.0.0.1:5000')?.address, { host: '10.0.0.7', port: 5000 });
    assert.deepEqual([...made.keys()].toSorted(), ['r-10.0.0.1:5000', 'r-10.0.0.2:5000']);
  }
});

test('before an answer there is no server', () => {
  assert.deepEqual([...wanted(backendConfig({ servers: { r: 'dns:r.test:5000' } }), new Map())], []);
});

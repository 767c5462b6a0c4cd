/** What keys take at their edges, and what becomes of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bindsCollide, parseBind, parseServerAddress } from '../../../src/config/values.ts';
import { NODE_SHARES_PORTS } from '../../support/able.ts';
import { ConfigFile } from '../../support/config-file.ts';

const file = new ConfigFile();

type Parts = { readonly bind?: unknown; readonly backend?: object; readonly rest?: object };

function text({ bind = '*:443', backend = {}, rest = {} }: Parts): string {
  return JSON.stringify({
    frontends: { f: { bind, backend: 'b' } },
    backends: { b: { servers: { s1: 'registry1:5000' }, ...backend } },
    ...rest,
  });
}
const configOf = (parts: Parts) => file.config(text(parts));
/** The problems, without their lines. */
const wrong = (parts: Parts): string[] =>
  file.problems(text(parts)).map((problem) => problem.replace(/^FILE:\d+:\d+: /, ''));

test('each word that a key takes is taken', () => {
  for (const balance of ['roundrobin', 'leastconn', 'random', 'source']) {
    assert.equal(configOf({ backend: { balance } }).backends['b']?.balance, balance);
  }
  for (const failback of ['stay', 'return']) {
    assert.deepEqual(wrong({ backend: { stickTable: { failback } } }), []);
  }
});

test('the least that a key takes is taken', () => {
  const { stickTable, resolveInterval } =
    configOf({ backend: { stickTable: { size: 1, expire: '1ms' }, resolveInterval: '100ms' } }).backends['b'] ?? {};
  assert.ok(stickTable !== undefined && stickTable !== false);
  assert.deepEqual([stickTable.size, stickTable.expire, resolveInterval], [1, 1, 100]);
  assert.equal(wrong({ backend: { stickTable: { size: 0 } } }).length, 1);
  assert.equal(wrong({ backend: { resolveInterval: '99ms' } }).length, 1);
});

test('a number and a range of statuses are ranges; neither none nor one that runs backwards is taken', () => {
  const check = (expect: unknown) => ({ backend: { healthCheck: { type: 'http', expect } } });
  const { healthCheck } = configOf(check([204, '200-299', '404'])).backends['b'] ?? {};
  assert.ok(healthCheck !== undefined && healthCheck !== false);
  assert.deepEqual(healthCheck.expect, [
    { from: 204, to: 204 },
    { from: 200, to: 299 },
    { from: 404, to: 404 },
  ]);
  for (const expect of [[], ['299-200'], [600]]) assert.equal(wrong(check(expect)).length, 1, JSON.stringify(expect));
});

test('a check over TLS verifies where it is told to, and nowhere else without an authority', () => {
  const tls = (given: unknown) => {
    const { healthCheck } = configOf({ backend: { healthCheck: { tls: given } } }).backends['b'] ?? {};
    return healthCheck === undefined || healthCheck === false ? undefined : healthCheck.tls;
  };
  assert.deepEqual(tls(true), { verify: false });
  assert.equal(tls(false), false);
  assert.deepEqual(tls({ verify: true }), { verify: true });
  assert.deepEqual(tls({ serverName: 'registry.test' }), { serverName: 'registry.test', verify: false });
});

test('a key that belongs to another type of check is named with the type', () => {
  const check = (keys: object) => wrong({ backend: { healthCheck: { type: 'tcp', ...keys } } }).join();
  assert.match(check({ storage: { repository: 'a/b' } }), /healthCheck\.storage: belongs to "type: registry"/);
  assert.match(check({ expect: [200] }), /healthCheck\.expect: belongs to "type: http"/);
  assert.match(check({ path: '/' }), /healthCheck\.path: belongs to "type: http"/);
});

test('a file without a backend says so, and so does one without a frontend', () => {
  const empty = (key: string) =>
    file.problems(JSON.stringify({ ...(JSON.parse(text({})) as object), [key]: {} })).join('\n');
  assert.match(empty('backends'), /backends: expected at least one backend/);
  assert.match(empty('frontends'), /frontends: expected at least one frontend/);
});

test('the options of a bind are those of its address', () => {
  const bind = (given: object) => configOf({ bind: given }).frontends['f']?.bind;
  const tcp = { kind: 'tcp', text: '*:443', host: '*', port: 443 };
  assert.deepEqual([bind({ address: '*:443' })].flat(), [{ ...tcp, reusePort: false }]);
  const unix = { kind: 'unix', text: 'unix:/run/b.sock', path: '/run/b.sock' };
  const given = { address: 'unix:/run/b.sock', mode: '0600', group: 'docker' };
  assert.deepEqual([bind(given)].flat(), [{ ...unix, mode: 0o600, group: 'docker' }]);
});

test('a bind may share its port where Node can do so; where it cannot, the file is wrong at that key', () => {
  const shared = { bind: [{ address: '*:443', reusePort: true }] };
  if (NODE_SHARES_PORTS) {
    const tcp = { kind: 'tcp', text: '*:443', host: '*', port: 443, reusePort: true };
    assert.deepEqual(configOf(shared).frontends['f']?.bind, [tcp]);
    return;
  }
  const because = `needs Node 22.12 or later, and this is Node ${process.versions.node}`;
  assert.deepEqual(wrong(shared), [`frontends.f.bind.0.reusePort: ${because}`]);
  assert.deepEqual(wrong({ bind: { address: '*:443', reusePort: true } }), [`frontends.f.bind.reusePort: ${because}`]);
});

test('metrics that stand at the address of a frontend are the finding where the file has them', () => {
  const given = wrong({ bind: '*:9180', rest: { metrics: { bind: '*:9180' } } }).join();
  assert.match(given, /^metrics\.bind: /);
  assert.match(given, /frontend f/);
  assert.match(wrong({ bind: '*:9180' }).join(), /^frontends\.f\.bind: .*metrics, by default/);
});

test('unix sockets collide with themselves alone', () => {
  const [a, b, tcp] = ['unix:/run/a', 'unix:/run/b', '*:443'].map((bind) => parseBind(bind));
  assert.ok(a && b && tcp);
  assert.deepEqual(
    [bindsCollide(a, a), bindsCollide(a, b), bindsCollide(a, tcp), bindsCollide(tcp, a), bindsCollide(tcp, tcp)],
    [true, false, false, false, true],
  );
});

test('the address of a server is whole: nothing before it, nothing behind it', () => {
  const label = 'a'.repeat(62);
  const long = `${label}.${label}.${label}.${label}.`;
  assert.deepEqual(parseServerAddress(`${long}a:1`), { host: `${long}a`, port: 1 });
  for (const other of [`${long}aa:1`, 'xdns:a:1', 'dns:a:1\n', 'dns:a:1x', 'unix:/run/a', 'a:1:2']) {
    assert.equal(parseServerAddress(other), undefined, other);
  }
  for (const bind of ['xunix:/run/a', 'unix:run/a']) assert.equal(parseBind(bind), undefined, bind);
});

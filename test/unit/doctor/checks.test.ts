import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { authSchemeOf, judgeApi, judgeAuthSchemes, type ApiSeen } from '../../../src/doctor/api.ts';
import type { Heard, Reply, Silence } from '../../../src/doctor/ask.ts';
import { CATALOG } from '../../../src/doctor/catalog.ts';
import { judgeCertificate, mayTellSecrets, type CertificateSeen } from '../../../src/doctor/certificate.ts';
import { judgeClock } from '../../../src/doctor/clock.ts';
import { judgeDebug, redisOf } from '../../../src/doctor/debug.ts';
import { disagreement, finding, listed, sorted, type Finding } from '../../../src/doctor/findings.ts';
import { judgeLogin } from '../../../src/doctor/login.ts';
import { basic, quoted, type Audience } from '../../../src/doctor/node.ts';
import { publicName } from '../../../src/doctor/options.ts';
import { inWords } from '../../../src/doctor/report.ts';
import { judgeBlobs } from '../../../src/doctor/shared-blobs.ts';
import { judgeStorage } from '../../../src/doctor/storage.ts';
import { judgeLocation } from '../../../src/doctor/upload.ts';

const NOW = Date.parse('2026-01-15T12:00:00Z');
const DAY = 86_400_000;
const audience: Audience = {
  name: 'registry.test',
  authority: 'registry.test:5000',
  authorities: '',
  credentials: { user: 'u', password: 'pässword "1"' },
};
const node = (label: string) => ({ label, endpoint: { host: '127.0.0.1', port: 1 }, audience });
const answer = (status: number, headers: Reply['headers'] = {}, body = ''): Reply => {
  return { kind: 'reply', status, headers, body: Buffer.from(body), tookMs: 1, atMs: NOW };
};
const silence = (timedOut: boolean): Silence => ({ kind: 'silence', step: 'http', reason: 'why', timedOut });
const codes = (findings: readonly Finding[]): string[] => findings.map(({ level, code }) => `${level} ${code}`);

suite('certificates', () => {
  const good: CertificateSeen = {
    fingerprint: 'AB',
    validFromMs: NOW - DAY,
    validToMs: NOW + 300 * DAY,
    subjectAltName: 'DNS:registry.test',
    forName: true,
    fault: undefined,
    trusted: true,
  };
  const found = (seen: Partial<CertificateSeen>): string[] =>
    codes(judgeCertificate('s1', audience, { ...good, ...seen }, NOW));

  test('one that is good is no finding, and each fault is one of its own', () => {
    const expired = { validToMs: NOW - 1, fault: 'CERT_HAS_EXPIRED' };
    const unknown = { fault: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', trusted: false };
    const table: [Partial<CertificateSeen>, string[]][] = [
      [{}, []],
      [{ validToMs: NOW + 14.5 * DAY }, ['WARN CERT_EXPIRES_SOON']],
      [{ validToMs: NOW + 15 * DAY }, []],
      [{ validToMs: NOW }, ['FAIL CERT_EXPIRED']],
      [expired, ['FAIL CERT_EXPIRED']],
      [{ ...expired, trusted: false }, ['FAIL CERT_EXPIRED', 'FAIL CERT_UNTRUSTED']],
      [{ fault: 'CERT_HAS_EXPIRED' }, ['FAIL CERT_EXPIRED']],
      [{ fault: 'CERT_NOT_YET_VALID' }, ['FAIL CERT_NOT_YET_VALID']],
      [{ validFromMs: NOW + 1 }, ['FAIL CERT_NOT_YET_VALID']],
      [unknown, ['FAIL CERT_UNTRUSTED']],
      [{ fault: 'CERT_SIGNATURE_FAILURE', trusted: false }, ['FAIL CERT_UNTRUSTED']],
      [{ forName: false }, ['FAIL CERT_WRONG_NAME']],
      [{ subjectAltName: undefined, forName: false }, ['FAIL CERT_NO_SAN']],
      [
        { ...expired, ...unknown, subjectAltName: undefined },
        ['FAIL CERT_EXPIRED', 'FAIL CERT_UNTRUSTED', 'FAIL CERT_NO_SAN'],
      ],
    ];
    for (const [seen, expected] of table) assert.deepEqual(found(seen), expected, JSON.stringify(seen));
  });

  test('the password goes to nodes that are trusted and have the name, whatever the date', () => {
    assert.equal(mayTellSecrets(good), true);
    assert.equal(mayTellSecrets({ ...good, fault: 'CERT_HAS_EXPIRED' }), true);
    assert.equal(mayTellSecrets({ ...good, trusted: false }), false);
    assert.equal(mayTellSecrets({ ...good, forName: false }), false);
    assert.equal(mayTellSecrets(undefined), false);
  });
});

suite('what strangers are told', () => {
  const headers = { 'docker-distribution-api-version': 'registry/2.0' };
  const asked = (challenge: string): Reply => answer(401, { ...headers, 'www-authenticate': challenge });
  const api = (v2: Heard, root: Heard = answer(200)): ApiSeen => ({ root, v2 });

  test('401 that says how to log in is good; 503 says all there is to say', () => {
    assert.deepEqual(judgeApi('s1', audience, api(asked('Basic realm="x"'))), []);
    assert.deepEqual(codes(judgeApi('s1', audience, api(answer(503), answer(503)))), ['FAIL UNHEALTHY_503']);
    assert.deepEqual(codes(judgeApi('s1', audience, api(silence(true), silence(true)))), ['FAIL V2_STATUS']);
    assert.deepEqual(codes(judgeApi('s1', audience, api(answer(404, headers)))), ['FAIL V2_STATUS']);
    assert.deepEqual(codes(judgeApi('s1', audience, api(answer(200)))), ['WARN API_HEADER', 'FAIL NO_AUTH']);
    const anyone = { ...audience, credentials: undefined };
    assert.deepEqual(codes(judgeApi('s1', anyone, api(answer(200, headers)))), ['WARN NO_AUTH']);
  });

  test('a node asks for nothing, for a password or for a token, or for what no client can give', () => {
    assert.equal(authSchemeOf(api(asked('bAsIc realm="x"'))), 'basic');
    assert.equal(authSchemeOf(api(asked('Bearer realm="x"'))), 'token');
    assert.equal(authSchemeOf(api(asked('Negotiate'))), 'unusable');
    assert.equal(authSchemeOf(api(answer(200))), 'none');
    assert.equal(authSchemeOf(api(answer(200), answer(503))), 'unusable');
  });

  test('nodes are compared with those alone that have answered', () => {
    const seen = (one: ApiSeen) => ({ api: one, audience });
    const [a, b] = [api(asked('Basic realm="a"')), api(asked('Basic realm="b"'))];
    const of = (...all: ApiSeen[]) => all.map((one, i) => ({ label: `s${i + 1}`, seen: seen(one) }));
    assert.deepEqual(codes(judgeAuthSchemes(of(a, b))), ['FAIL REALM_DIFFERS']);
    assert.deepEqual(codes(judgeAuthSchemes(of(a, a, api(answer(500))))), []);
    assert.deepEqual(codes(judgeAuthSchemes(of(a, api(answer(200))))), ['FAIL AUTH_DIFFERS']);
  });
});

test('a login: each answer has its finding, and the cost its hint', () => {
  const login = (told: Heard, userMs = 2): Finding[] =>
    judgeLogin('s1', audience, { heard: told, cost: { userMs, strangerMs: 0.5 } });
  assert.deepEqual(login(answer(200)), []);
  assert.deepEqual(codes(login(answer(200), 100.4)), []);
  assert.deepEqual(codes(login(answer(200), 100.6)), ['WARN BCRYPT_SLOW']);
  assert.deepEqual(codes(login(answer(400))), ['FAIL HTPASSWD_BROKEN']);
  assert.deepEqual(codes(login(answer(400, {}, '{}'))), ['FAIL V2_STATUS']);
  assert.deepEqual(codes(login(silence(true))), ['FAIL V2_STATUS']);
  assert.match(login(answer(401), 1.2)[0]!.seen, /no such user, or no bcrypt hash/);
  assert.match(login(answer(401), 1.4)[0]!.seen, /the password is another one/);
  const [blind] = judgeLogin('s1', audience, { heard: answer(401), cost: undefined });
  assert.equal(blind?.seen, 'the login of u got 401');
});

test('a storage that has not heard of the repository is well', () => {
  const storage = (told: Heard, loginMs = 0): string[] =>
    codes(judgeStorage('s1', audience, { path: '/v2/r/tags/list', heard: told }, loginMs));
  assert.deepEqual(storage(answer(200)), []);
  assert.deepEqual(storage(answer(404, {}, '{"errors":[{"code":"NAME_UNKNOWN"}]}')), []);
  assert.deepEqual(storage(answer(404, {}, '<html>')), ['FAIL STORAGE_ERROR']);
  assert.deepEqual(storage(answer(500, {}, '{"errors":[null,{}]}')), ['FAIL STORAGE_ERROR']);
  assert.deepEqual(storage(silence(true)), ['FAIL STORAGE_HANG']);
  assert.deepEqual(storage(silence(false)), ['FAIL STORAGE_ERROR']);
  const slow = { ...answer(200), tookMs: 1_500 };
  assert.deepEqual(storage(slow), ['WARN STORAGE_SLOW']);
  assert.deepEqual(storage(slow, 600), [], 'what the login costs is not the storage’s');
});

test('a clock may be five seconds off', () => {
  const at = (ms: number): string[] => codes(judgeClock('s1', answer(200, { date: new Date(NOW + ms).toUTCString() })));
  for (const ms of [0, 4_000, -4_000, 5_000, -5_000]) assert.deepEqual(at(ms), [], `${ms}`);
  for (const ms of [7_000, -7_000, 90 * DAY]) assert.deepEqual(at(ms), ['WARN CLOCK'], `${ms}`);
  assert.deepEqual(judgeClock('s1', answer(200)), []);
  assert.deepEqual(judgeClock('s1', answer(200, { date: 'soon' })), []);
});

test('a Location may be relative, or lead to the public name', () => {
  const at = (location: string): string[] => codes(judgeLocation('s1', audience, location));
  assert.deepEqual(at('/v2/r/blobs/uploads/1'), []);
  assert.deepEqual(at('https://registry.test:5000/v2/'), []);
  for (const wrong of ['http://registry.test:5000/v2/', 'https://registry.test/v2/', '//s1:5000/v2/'])
    assert.deepEqual(at(wrong), ['FAIL LOCATION_HOST'], wrong);
});

test('blobs: what HEAD says decides whether a cache lies', () => {
  const pair = (read: 'missing' | 'broken' | 'later' | 'whole', head?: number, afterDelete?: 'gone' | 'there') =>
    codes(
      judgeBlobs({
        from: node('s1'),
        pairs: [{ to: node('s2'), read, head, ...(afterDelete ? { afterDelete } : {}) }],
        deleted: { status: 202 },
      }),
    );
  assert.deepEqual(pair('whole', undefined, 'gone'), []);
  assert.deepEqual(pair('missing', 404), ['FAIL BLOB_NOT_SHARED']);
  assert.deepEqual(pair('missing', 200), ['FAIL CACHE_LIES']);
  assert.deepEqual(pair('broken', 200), ['FAIL CACHE_LIES']);
  assert.deepEqual(pair('broken', 500), ['FAIL BLOB_NOT_SHARED']);
  assert.deepEqual(pair('later', undefined, 'there'), ['FAIL STORAGE_LAG', 'FAIL CACHE_NOT_SHARED']);
});

test('Redis: one loopback address is another Redis on every machine', () => {
  const page = (config: object) => redisOf(Buffer.from(JSON.stringify({ registry: { redis: { Config: config } } })));
  const config = { Addr: '127.0.0.1:6379', DB: 0, ReadTimeout: 1e8, Password: '' };
  const seen = (host: string) => {
    return { endpoint: { host, port: 5001 }, health: answer(200), redis: page(config) };
  };
  assert.deepEqual(codes(judgeDebug(audience, [seen('10.0.0.1'), seen('10.0.0.2')])), ['FAIL REDIS_DIFFERS']);
  assert.deepEqual(codes(judgeDebug(audience, [seen('10.0.0.1'), seen('10.0.0.1')])), []);
  assert.equal(redisOf(Buffer.from('not JSON')), undefined);
  assert.equal(redisOf(Buffer.from('{"registry":null}')), undefined);
  assert.equal(redisOf(Buffer.from('{"registry":{}}'))?.address, '');
});

test('the public name is a host, with a port where clients need one', () => {
  assert.deepEqual(publicName('Registry.Test:5000'), { host: 'registry.test', authority: 'Registry.Test:5000' });
  assert.deepEqual(publicName('10.0.0.1'), { host: '10.0.0.1', authority: '10.0.0.1' });
  assert.deepEqual(publicName('::1'), { host: '::1', authority: '[::1]' });
  assert.deepEqual(publicName('[::1]:5000'), { host: '::1', authority: '[::1]:5000' });
  for (const wrong of ['', 'a b', 'https://a', 'a/b', 'a:0', 'a:b', '10.0.0.256'])
    assert.throws(() => publicName(wrong), { code: 'DOCTOR_CALL' }, wrong);
});

test('what a node says is shown in one line and without the password, however it is spelled', () => {
  const { credentials } = audience;
  const said = `a\n${credentials!.password} ${encodeURIComponent(credentials!.password)} ${basic(credentials!)} \u001b[31m`;
  assert.equal(quoted({ audience }, said), 'a\\n*** *** *** \\u001b[31m');
});

test('every code says what users see and how to mend it, in one line', () => {
  for (const [code, { users, mend }] of Object.entries(CATALOG)) {
    for (const text of [users, mend]) assert.match(text, /^[^\n]{5,}$/, code);
  }
});

test('the report has the worst first, a remedy once for all findings of a code, and a last line that counts', () => {
  const findings = sorted([
    finding('CLOCK', 's1', 'late'),
    finding('SECRET_DIFFERS', { from: 's1', to: 's2' }, 'x'),
    finding('TCP', 's3', 'refused'),
    finding('SECRET_DIFFERS', { from: 's2', to: 's1' }, 'y'),
    finding('TCP', 's3', 'said twice'),
  ]);
  const text = inWords(findings, ['s1', 's2', 's3'].map(node));
  assert.deepEqual(
    text.split('\n').map((line) => line.replace(/^( {2}\w+:) .*/, '$1')),
    [
      'FAIL TCP s3: refused',
      '  users:',
      '  mend:',
      'FAIL SECRET_DIFFERS s1 → s2: x',
      'FAIL SECRET_DIFFERS s2 → s1: y',
      '  users:',
      '  mend:',
      'WARN CLOCK s1: late',
      '  users:',
      '  mend:',
      '3 FAIL, 1 WARN, 0 INFO on 3 nodes',
      '',
    ],
  );
});

test('nodes that disagree are grouped by what they said', () => {
  assert.equal(listed(['a', 'b', 'c']), 'a, b and c');
  const say = (...said: string[]) => said.map((one, i) => ({ node: `s${i + 1}`, said: one }));
  assert.equal(disagreement(say('x', 'x')), undefined);
  assert.equal(disagreement(say('x', 'y', 'x')), 's1 and s3: x; s2: y');
});

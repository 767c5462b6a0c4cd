/** The balancer.yml that `berth init` writes: by what was seen, and right whatever was seen. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { loadText } from '../../../src/config/load.ts';
import { addressText } from '../../../src/config/warnings.ts';
import type { Config } from '../../../src/config/schema.ts';
import { choose } from '../../../src/init/choose.ts';
import type { GivenServer } from '../../../src/init/given.ts';
import type { CertificateSeen, Login, Seen, Spoken } from '../../../src/init/seen.ts';
import { write } from '../../../src/init/write.ts';

const ON = new Date('2026-11-27T12:00:00Z');
const CERTIFICATE: CertificateSeen = {
  names: ['registry.example.com'],
  untilMs: Date.parse('2027-03-01T00:00:00Z'),
  fingerprint: 'AA:BB',
  fault: undefined,
};

type Tls = CertificateSeen | 'refused' | undefined;
const heard = (tls: Tls, spoken: Spoken): Seen => ({ kind: 'heard', tls, spoken });
const registry = (login: Login, tls: Tls = CERTIFICATE): Seen =>
  heard(tls, { kind: 'registry', login, storage: undefined });
/** A registry without TLS. */
const plain = (kind: 'none' | 'basic', storage?: string): Seen =>
  heard(undefined, { kind: 'registry', login: { kind }, storage });
const page = (v2: number, root = 200): Seen => heard(undefined, { kind: 'http', v2, root });
const away: Seen = { kind: 'away', reason: 'connection refused' };

function text(seen: readonly Seen[], servers = addresses(seen.length), bind?: string): string {
  const looked = seen.map((one, i) => ({ label: servers[i]?.name ?? '', seen: one }));
  return write({ servers, looked, choice: choose(looked), bind, on: ON });
}

function addresses(count: number, portOf: (i: number) => number = () => 5000): GivenServer[] {
  return Array.from({ length: count }, (_, i) => ({ name: `s${i + 1}`, address: `10.0.0.${i + 1}:${portOf(i)}` }));
}

function loaded(written: string): Config {
  const result = loadText(written, 'balancer.yml', 'balancer.yml', {});
  assert.deepEqual(result.kind === 'config' ? [] : result.problems, [], written);
  return (result as { config: Config }).config;
}

/** The check of the first backend, in short. */
function checkOf(...seen: Seen[]): string {
  const { healthCheck } = Object.values(loaded(text(seen)).backends)[0]!;
  if (healthCheck === false) return 'none';
  const { type, tls, storage } = healthCheck;
  return [type, ...(tls === false ? [] : ['tls']), ...(storage === false ? [] : [storage.repository])].join(' ');
}

test('the file says what was seen, and no more than is needed', () => {
  const servers = addresses(2);
  assert.equal(
    text([registry({ kind: 'basic' }), away], servers),
    `# Made by berth init, by what the servers answered on 2026-11-27.
# s1: registry, TLS for registry.example.com until 2027-03-01 (trusted here), asks for a password (Basic)
# s2: connection refused
frontends:
  https_frontend:
    bind: '*:443'
    backend: docker_registry
    waitForClient: true # a client that says nothing costs the servers nothing
backends:
  docker_registry:
    # The check asks GET /v2/ over TLS: 200 and 401 are up.
    # It does not verify certificates; it does with tls: { serverName: registry.example.com, verify: true }
    # It sees a storage that hangs with storage: { repository: berth/probe, user: USER, passwordFile: FILE }
    healthCheck: { type: registry, tls: true }
    servers:
      s1: 10.0.0.1:5000
      s2: 10.0.0.2:5000
`,
  );
});

test('the check is the strictest that every server passes which is well', () => {
  const basic = registry({ kind: 'basic' });
  const open = plain('none', 'answers');
  assert.equal(checkOf(basic, basic), 'registry tls');
  assert.equal(checkOf(basic, away, { kind: 'silent' }), 'registry tls');
  assert.equal(checkOf(open, open), 'registry berth/probe');
  assert.equal(checkOf(open, plain('none', 'GET … answered 500')), 'registry berth/probe');
  assert.equal(checkOf(open, plain('basic')), 'registry');
  assert.equal(checkOf(open, page(503, 503)), 'registry berth/probe');
  assert.equal(checkOf(open, page(404)), 'tcp');
  assert.equal(checkOf(page(404), page(404)), 'http');
  assert.equal(checkOf(page(404, 500)), 'tcp');
  assert.equal(checkOf(basic, plain('basic')), 'tcp');
  assert.equal(checkOf(heard(CERTIFICATE, { kind: 'unknown', why: 'the answer is not HTTP' })), 'tcp tls');
  assert.equal(checkOf(heard(CERTIFICATE, { kind: 'wants-certificate' })), 'tcp');
  assert.equal(checkOf(heard('refused', { kind: 'unknown', why: 'no common cipher' })), 'tcp');
  assert.equal(checkOf(away, away), 'tcp');
});

test('in what the servers differ is said', () => {
  const token = registry({ kind: 'token', realm: 'https://auth.example.com/token' });
  const other = registry({ kind: 'basic' }, { ...CERTIFICATE, names: ['s2.internal'], fault: 'CERT_HAS_EXPIRED' });
  const said = text([token, other]);
  assert.match(said, /^# s1: .*asks for a token \(Bearer, https:\/\/auth\.example\.com\/token\)$/m);
  assert.match(said, /^# s2: .*\(not trusted here: the certificate, or one that signs it, has expired\)/m);
  assert.match(said, /^# The servers differ: s1: a certificate for registry\.example\.com; s2: .* s2\.internal$/m);
  assert.match(said, /^# The servers differ: s1: tokens of https:\/\/auth\.example\.com\/token; s2: a password$/m);
  assert.match(said, /it does with tls: \{ ca: FILE \}$/m);
  assert.match(text([other, plain('basic')]), /^# The servers differ: s1: TLS; s2: no TLS$/m);
});

test('clients arrive at 443 with TLS, else at the port of the servers, where that is free here', () => {
  const binds = (seen: Seen, servers: GivenServer[]): string =>
    /bind: (.*)/.exec(text([seen, seen], servers))?.[1] ?? '';
  const here = (port: number): GivenServer[] => [1, 2].map((n) => ({ name: `s${n}`, address: `127.0.0.${n}:${port}` }));
  const [tls, clear] = [registry({ kind: 'basic' }), plain('basic')];
  assert.equal(binds(tls, addresses(2)), "'*:443'");
  assert.equal(binds(away, addresses(2)), "'*:443'");
  assert.equal(binds(tls, here(443)), "'*:8443'");
  assert.equal(binds(clear, addresses(2)), "'*:5000'");
  assert.equal(
    binds(
      clear,
      addresses(2, () => 80),
    ),
    "'*:80'",
  );
  assert.equal(
    binds(
      clear,
      addresses(2, (i) => 80 + i),
    ),
    "'*:5000'",
  );
  assert.equal(
    binds(
      clear,
      addresses(2, () => 9180),
    ),
    "'*:5000'",
  );
  assert.equal(binds(clear, here(5000)), "'*:8000'");
});

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom(
    '\n  bind: "*:1"',
    '# x',
    '${HOME}',
    '\u2028frontends: {}',
    '\u0085a: b',
    '\r\nx: y',
    '\ud800',
    '\ufeff',
  ),
);
const anyCertificate = fc.record({
  names: fc.array(anyText, { maxLength: 6 }),
  untilMs: fc.constantFrom(0, NaN, 1e12),
  fingerprint: anyText,
  fault: fc.option(fc.oneof(anyText, fc.constant('CERT_HAS_EXPIRED')), { nil: undefined }),
});
const anySpoken: fc.Arbitrary<Spoken> = fc.oneof(
  fc.record({
    kind: fc.constant('registry' as const),
    login: fc.oneof(
      fc.constantFrom<Login>({ kind: 'none' }, { kind: 'basic' }, { kind: 'unknown' }),
      anyText.map((realm): Login => ({ kind: 'token', realm })),
    ),
    storage: fc.option(fc.oneof(fc.constant('answers'), anyText), { nil: undefined }),
  }),
  fc.record({
    kind: fc.constant('http' as const),
    v2: fc.integer({ min: 100, max: 599 }),
    root: fc.option(fc.integer({ min: 100, max: 599 }), { nil: undefined }),
  }),
  fc.constant({ kind: 'wants-certificate' as const }),
  fc.record({ kind: fc.constant('unknown' as const), why: anyText }),
);
const anySeen: fc.Arbitrary<Seen> = fc.oneof(
  anyText.map((reason): Seen => ({ kind: 'away', reason })),
  fc.constant<Seen>({ kind: 'silent' }),
  fc
    .tuple(fc.option(fc.oneof(anyCertificate, fc.constant('refused' as const)), { nil: undefined }), anySpoken)
    .map(([tls, spoken]): Seen => heard(tls, spoken)),
);
/** Names that YAML would take for something else, and any other. */
const anyName = fc.oneof(
  fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.:-]{0,20}$/),
  fc.constantFrom(
    '1',
    '007',
    '0x1f',
    '1e3',
    '1.5',
    'true',
    'No',
    'null',
    '1:30',
    '2026-11-27',
    'x-1',
    'a:',
    'constructor',
  ),
);
const anyAddress = fc.oneof(
  fc.tuple(fc.domain(), fc.integer({ min: 1, max: 65_535 })).map(([host, port]) => `${host}:${port}`),
  fc.constantFrom(
    '[::1]:5000',
    '[2001:db8::1]:443',
    '1e3:1',
    '0x10:80',
    'dns:null:5000',
    'srv:_registry._tcp.a.example',
  ),
);
const anyServers = fc
  .array(fc.record({ name: anyName, address: anyAddress }), { minLength: 1, maxLength: 5 })
  .map((all) => [...new Map(all.map((server) => [server.name, server])).values()]);
const anyBind = fc.constantFrom(
  undefined,
  '*:443',
  '[::]:443',
  ':80',
  "unix:/run/a 'b' #c${X}: d",
  'unix:/run/berth.sock',
);

test('whatever servers are called and say, berth check takes the file, and it has these servers alone', () => {
  fc.assert(
    fc.property(anyServers, fc.array(anySeen, { maxLength: 5 }), anyBind, (servers, seen, bind) => {
      const written = text(seen, servers, bind);
      const { frontends, backends } = loaded(written);
      assert.deepEqual([Object.keys(frontends).length, Object.keys(backends).length], [1, 1], written);
      const [frontend, backend] = [Object.values(frontends)[0]!, Object.values(backends)[0]!];
      if (bind !== undefined) assert.equal(frontend.bind[0]?.text, bind);
      const has = Object.entries(backend.servers).map(([name, { address }]) => `${name}=${addressText(address)}`);
      const wanted = servers.map(({ name, address }) => `${name}=${address.toLowerCase()}`);
      assert.deepEqual(has.toSorted(), wanted.toSorted(), written);
    }),
    { numRuns: 700 },
  );
});

/** What nodes send to the doctor is a stranger's: whatever it is, it makes no check throw and spoils no report. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { authSchemeOf, judgeApi, judgeAuthSchemes, judgeUnopened } from '../../../src/doctor/api.ts';
import { errorCodes, type Heard, type Reply } from '../../../src/doctor/ask.ts';
import { splitPem } from '../../../src/doctor/certificate.ts';
import { judgeClock } from '../../../src/doctor/clock.ts';
import { judgeDebug, redisOf } from '../../../src/doctor/debug.ts';
import { sorted, type Finding } from '../../../src/doctor/findings.ts';
import { judgeLogin, judgeLogins } from '../../../src/doctor/login.ts';
import { basic, quoted, type Audience, type Node } from '../../../src/doctor/node.ts';
import { inJson, inWords } from '../../../src/doctor/report.ts';
import { judgeStorage } from '../../../src/doctor/storage.ts';
import { judgeLocation, judgeStart, sessionAt } from '../../../src/doctor/upload.ts';

const credentials = { user: 'pusher', password: 'pa"ss wörd\\1' };
const audience: Audience = { name: 'registry.test', authority: 'registry.test:5000', authorities: '', credentials };
const node: Node = { label: 's1', endpoint: { host: '127.0.0.1', port: 5_000 }, audience };

/** Each way in which a node may send the password back. */
const SECRETS = [
  credentials.password,
  basic(credentials),
  encodeURIComponent(credentials.password),
  JSON.stringify(credentials.password).slice(1, -1),
];

/** Text of a hostile node: control characters, escapes of a terminal, and what the doctor has told the node. */
const text = fc
  .array(
    fc.oneof(fc.string({ unit: 'binary', maxLength: 8 }), fc.constantFrom('\r\n', '\u001b[2J', '\u2028', ...SECRETS)),
    {
      maxLength: 6,
    },
  )
  .map((parts) => parts.join(''));

const code = fc.oneof(
  text,
  fc.constantFrom('NAME_UNKNOWN', 'BLOB_UPLOAD_UNKNOWN', 'BLOB_UPLOAD_INVALID'),
  fc.jsonValue(),
);
const errorBody = fc.array(fc.oneof(fc.record({ code }), fc.jsonValue()), { maxLength: 4 });
const bytes = fc.uint8Array({ maxLength: 100 }).map((array) => Buffer.from(array));
const json = (value: fc.Arbitrary<unknown>): fc.Arbitrary<Buffer> =>
  value.map((whole) => Buffer.from(JSON.stringify(whole) ?? ''));
const body = fc.oneof(
  bytes,
  text.map((all) => Buffer.from(all)),
  json(fc.jsonValue()),
  json(fc.record({ errors: errorBody })),
);

const headers = fc.record(
  {
    'www-authenticate': fc.tuple(fc.constantFrom('', 'Basic realm=', 'Bearer realm='), text).map((all) => all.join('')),
    location: fc.oneof(text, fc.constantFrom('/v2/', 'https://elsewhere.test/v2/', '//x')),
    date: fc.oneof(
      text,
      fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
    ),
    'docker-distribution-api-version': fc.oneof(text, fc.constant('registry/2.0')),
  },
  { requiredKeys: [] },
);
const reply: fc.Arbitrary<Reply> = fc.record({
  kind: fc.constant('reply' as const),
  status: fc.oneof(
    fc.constant(401),
    fc.constantFrom(200, 202, 301, 400, 401, 404, 500, 503),
    fc.integer({ min: 100, max: 999 }),
  ),
  headers,
  body,
  tookMs: fc.nat(5_000),
  atMs: fc.constant(Date.parse('2026-01-15T12:00:00Z')),
});
const heard: fc.Arbitrary<Heard> = fc.oneof(
  { arbitrary: reply, weight: 4 },
  {
    arbitrary: fc.record({
      kind: fc.constant('silence' as const),
      step: fc.constantFrom('tcp' as const, 'tls' as const, 'http' as const),
      reason: text,
      timedOut: fc.boolean(),
    }),
    weight: 1,
  },
);

/** The report is whole: a line is a line, and no secret is in any. */
function judgeReport(findings: readonly Finding[]): void {
  for (const { seen, where } of findings) {
    for (const shown of [seen, where]) {
      assert.match(shown, /^[^\p{Cc}\p{Zl}\p{Zp}]*$/u);
      for (const secret of SECRETS) assert.equal(shown.includes(secret), false, shown);
    }
  }
  const all = sorted(findings);
  assert.ok(inWords(all, [node]).endsWith('\n'));
  assert.equal((JSON.parse(inJson(all, [node])) as { findings: unknown[] }).findings.length, all.length);
}

suite('what a node sends makes no check throw, and is shown in one line without the password', () => {
  test('to a client without a login', () => {
    fc.assert(
      fc.property(heard, heard, heard, (root, v2, other) => {
        const seen = [
          { root, v2 },
          { root, v2: other },
        ].map((api) => ({ label: 's1', seen: { api, audience } }));
        assert.match(authSchemeOf({ root, v2 }), /^(?:none|basic|token|unusable)$/);
        judgeReport([
          ...judgeApi('s1', audience, { root, v2 }),
          ...judgeAuthSchemes(seen),
          ...judgeUnopened(seen),
          ...(v2.kind === 'reply' ? judgeClock('s1', v2) : []),
        ]);
      }),
      { numRuns: 2_000 },
    );
  });

  test('to a login, and to a question about its storage', () => {
    const cost = fc.option(fc.record({ userMs: fc.nat(500), strangerMs: fc.nat(500) }), { nil: undefined });
    fc.assert(
      fc.property(heard, heard, cost, (told, storage, took) => {
        const login = { heard: told, cost: took };
        judgeReport([
          ...judgeLogin('s1', audience, login),
          ...judgeLogins([{ label: 's1', seen: login }]),
          ...judgeStorage('s1', audience, { path: '/v2/r/tags/list', heard: storage }),
        ]);
      }),
      { numRuns: 2_000 },
    );
  });

  test('at its debug address', () => {
    const config = fc.record({ Addr: fc.oneof(text, fc.jsonValue()), DB: fc.jsonValue(), Password: fc.jsonValue() });
    const vars = fc.oneof(body, json(fc.record({ registry: fc.record({ redis: fc.record({ Config: config }) }) })));
    fc.assert(
      fc.property(heard, fc.array(vars, { maxLength: 3 }), (health, pages) => {
        const nodes = pages.map((page, i) => {
          return { endpoint: { host: '127.0.0.1', port: 5_001 + i }, health, redis: redisOf(page) };
        });
        judgeReport(judgeDebug(audience, nodes));
      }),
      { numRuns: 1_000 },
    );
  });

  test('as the way to an upload', () => {
    const started = fc.oneof(
      text.map((reason) => ({ kind: 'not-started' as const, reason })),
      text.map((location) => ({ kind: 'started' as const, session: { repository: 'r', path: '/v2/r/' }, location })),
    );
    fc.assert(
      fc.property(started, text, (start, location) => {
        judgeReport([...judgeStart('s1', audience, 'r', start), ...judgeLocation('s1', audience, location)]);
      }),
      { numRuns: 1_000 },
    );
  });

  test('in any text', () => {
    fc.assert(
      fc.property(text, (said) => {
        const shown = quoted(node, said);
        assert.match(shown, /^[^\p{Cc}\p{Zl}\p{Zp}]*$/u);
        for (const secret of SECRETS) assert.equal(shown.includes(secret), false, shown);
      }),
      { numRuns: 2_000 },
    );
  });
});

test('a Location leads to an upload in its repository, on the node that is audited, or nowhere', () => {
  const odd = ['..', '/', '%2e%2e', '%2f', '\\', '?_state=x', '#x', '@', ':', '//', ' ', '\t', '\n', 'ü'];
  const piece = fc.constantFrom(
    ...odd,
    '/v2/r/blobs/uploads/',
    '/v2/',
    'blobs/uploads/',
    'uuid',
    'r',
    'https://',
    'a.test',
  );
  const location = fc.oneof(
    fc.array(piece, { maxLength: 8 }).map((parts) => parts.join('')),
    fc.webUrl(),
    text,
  );
  fc.assert(
    fc.property(location, (where) => {
      const session = sessionAt(node, 'r', where);
      if (!session) return;
      assert.equal(session.repository, 'r');
      assert.match(session.path, /^\/v2\/r\/blobs\/uploads\/[\x21-\x7e]*$/);
      // Dots in a query lead nowhere.
      assert.doesNotMatch(session.path, /^[^?]*\/\.\.(?:[/?]|$)/);
    }),
    { numRuns: 3_000, examples: [['/v2/r/blobs/uploads/?_state=x/v2/r/blobs/uploads/..']] },
  );
  const path = '/v2/r/blobs/uploads/1?_state=a%3D';
  assert.deepEqual(sessionAt(node, 'r', `https://other.test${path}`), { repository: 'r', path });
  assert.deepEqual(sessionAt(node, 'r', path), { repository: 'r', path });
});

test('the codes of an error body are read in their order, and of another body there are none', () => {
  const answered = (content: Buffer): Reply => {
    return { kind: 'reply', status: 404, headers: {}, body: content, tookMs: 1, atMs: 0 };
  };
  fc.assert(
    fc.property(fc.array(fc.string(), { maxLength: 5 }), (codes) => {
      const errors = codes.map((one) => ({ code: one, message: 'x' }));
      assert.deepEqual(errorCodes(answered(Buffer.from(JSON.stringify({ errors })))), codes);
    }),
  );
  fc.assert(
    fc.property(body, (content) => {
      for (const one of errorCodes(answered(content))) assert.equal(typeof one, 'string');
    }),
    { numRuns: 2_000 },
  );
});

test('the Redis of a registry is read from /debug/vars, and of another page there is none', () => {
  const config = fc.record({ Addr: fc.string(), DB: fc.nat(15), ReadTimeout: fc.nat(), Password: fc.string() });
  fc.assert(
    fc.property(config, (Config) => {
      assert.deepEqual(redisOf(Buffer.from(JSON.stringify({ registry: { redis: { Config } } }))), {
        address: Config.Addr,
        db: Config.DB,
        readTimeout: Config.ReadTimeout > 0,
        showsPassword: Config.Password !== '',
      });
    }),
  );
  for (const page of ['', '[]', '5', 'null', '{}', '{"registry":0}'])
    assert.equal(redisOf(Buffer.from(page)), undefined);
});

test('a file of authorities is read as far as it can be', () => {
  const pem = fc.array(
    fc.oneof(text, fc.constantFrom('-----BEGIN CERTIFICATE-----\n', '-----END CERTIFICATE-----\n', 'MIIB\n')),
    { maxLength: 10 },
  );
  fc.assert(
    fc.property(pem, (parts) => assert.deepEqual(splitPem(parts.join('')), [])),
    { numRuns: 500 },
  );
});

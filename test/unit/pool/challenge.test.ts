/** WWW-Authenticate is a stranger's text: what is in it is read by the grammar, and nothing in it does harm. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { bearerChallenge, type BearerChallenge } from '../../../src/pool/probe/challenge.ts';

const bearer = (realm: string, service?: string, error?: string): BearerChallenge => ({ realm, service, error });

test('challenges as registries and proxies send them', () => {
  const harbor = 'Bearer realm="https://harbor.test/service/token",service="harbor-registry"';
  assert.deepEqual(bearerChallenge(harbor), bearer('https://harbor.test/service/token', 'harbor-registry'));
  for (const [header, expected] of [
    ['Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"', bearer('https://a/t', 's')],
    ['bearer REALM=https://a , Service = "s" ,error="invalid_token"', undefined],
    ['bearer REALM="https://a" , Service = "s" ,error="invalid_token"', bearer('https://a', 's', 'invalid_token')],
    ['Basic realm="r", Bearer realm="https://a"', bearer('https://a')],
    ['Negotiate, Bearer realm="https://a"', bearer('https://a')],
    ['Negotiate YWJjZA==, Bearer realm="https://a"', bearer('https://a')],
    ['NTLM YWJjZA==,Basic realm="r",,Bearer realm="https://a"', bearer('https://a')],
    ['Bearer service="no realm", Bearer realm="https://a"', bearer('https://a')],
    ['Bearer realm="https://a/?q=\\"x\\"\\\\", realm="https://second"', bearer('https://a/?q="x"\\')],
    ['Bearer realm="not closed', undefined],
    ['Bearer', undefined],
    ['Basic realm="Bearer realm=x"', undefined],
    ['', undefined],
    [undefined, undefined],
  ] as const) {
    assert.deepEqual(bearerChallenge(header), expected, header);
  }
});

const token = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}$/);
const other = token.filter((one) => !['bearer'].includes(one.toLowerCase()));
const value = fc.string({ unit: 'binary', maxLength: 20 });
const spaces = fc.constantFrom('', ' ', '\t ', '  ');
const parameter = fc.tuple(other, spaces, spaces, value).map(([name, before, after, text]) => {
  return { name: name.toLowerCase(), written: `${name}${before}=${after}${quoted(text)}`, text };
});

function quoted(text: string): string {
  return `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}

test('what a challenge was made of is read again, whatever stands before it', () => {
  const before = fc.oneof(
    fc.tuple(other, parameter).map(([scheme, one]) => `${scheme} ${one.written}`),
    fc.tuple(other, fc.stringMatching(/^[A-Za-z0-9._~+/-]{1,20}={0,2}$/)).map((parts) => parts.join(' ')),
  );
  fc.assert(
    fc.property(
      fc.array(before, { maxLength: 3 }),
      value,
      fc.array(parameter, { maxLength: 4 }),
      (first, realm, more) => {
        const mine = more.filter(({ name }) => name !== 'realm');
        const header = [...first, `Bearer realm=${quoted(realm)}`, ...mine.map(({ written }) => written)].join(', ');
        const find = (wanted: string): string | undefined => mine.find(({ name }) => name === wanted)?.text;
        assert.deepEqual(bearerChallenge(header), bearer(realm, find('service'), find('error')), header);
      },
    ),
    { numRuns: 1_000 },
  );
});

test('no header makes the parser throw, or take longer than its length allows', () => {
  const piece = fc.oneof(fc.constantFrom('Bearer ', 'realm=', '"', '\\', ',', '=', ' ', 'https://a'), value);
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const found = bearerChallenge(pieces.join(''));
      assert.ok(found === undefined || typeof found.realm === 'string');
    }),
    { numRuns: 1_000 },
  );
  for (const part of ['Bearer ', 'a=', '"', '\\"', ', ', ' \t', 'a ', '=', 'a="b",', 'Bearer realm="']) {
    const startedMs = performance.now();
    bearerChallenge(part.repeat((16 << 10) / part.length));
    // A parser whose time grows with the square of the length takes seconds.
    assert.ok(performance.now() - startedMs < 1_000, JSON.stringify(part));
  }
});

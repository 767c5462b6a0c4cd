/** What `berth init` makes of strangers' bytes. */
import assert from 'node:assert/strict';
import { createSecureContext } from 'node:tls';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { look, type Target } from '../../../src/init/look.ts';
import { inWords, type Seen } from '../../../src/init/seen.ts';
import { listenRaw } from '../../support/listening.ts';

const TRUST = createSecureContext();
const at = (port: number): Target => ({ endpoint: { host: '127.0.0.1', port }, name: '127.0.0.1' });

test('no answer makes a look reject, or last; every one can be told in a line', async (t) => {
  let answer: Uint8Array = Buffer.alloc(0);
  const port = await listenRaw(t, (socket) => void socket.once('data', () => socket.end(answer)));
  const header = fc.oneof(
    fc.constantFrom('WWW-Authenticate: Basic', 'WWW-Authenticate: Bearer realm="x', 'Content-Length: 9', 'Location: /'),
    fc.constantFrom('Docker-Distribution-Api-Version: registry/2.0', 'Transfer-Encoding: chunked', 'Upgrade: x'),
    fc.string({ unit: 'binary', maxLength: 20 }).map((value) => `WWW-Authenticate: Bearer realm="${value}"`),
  );
  const http = fc
    .record({
      status: fc.oneof(fc.constantFrom(200, 400, 401, 404, 503), fc.integer({ min: 0, max: 1_000 })),
      headers: fc.array(header, { maxLength: 4 }),
      body: fc.oneof(fc.json(), fc.string({ unit: 'binary' }), fc.constant('{"errors":[{"code":"NAME_UNKNOWN"}]}')),
    })
    .map(({ status, headers, body }) =>
      Buffer.from([`HTTP/1.1 ${status} X`, ...headers, 'Connection: close', '', body].join('\r\n')),
    );
  // Such as the beginning of an alert, or of a ServerHello.
  const tls = fc
    .tuple(fc.integer({ min: 20, max: 24 }), fc.uint8Array({ maxLength: 30 }))
    .map(([type, rest]) => Buffer.from([type, 3, 3, 0, rest.length, ...rest]));
  await fc.assert(
    fc.asyncProperty(fc.oneof(http, tls, fc.uint8Array({ maxLength: 60 })), async (bytes) => {
      answer = bytes;
      const seen = await look(at(port), TRUST);
      assert.notEqual(seen.kind, 'away');
      assert.notEqual(inWords(seen), '');
    }),
    { numRuns: 150 },
  );
});

test('a registry is known by its header, or by the JSON of its answer, and not by a status alone', async (t) => {
  let answer = '';
  const port = await listenRaw(t, (socket) => {
    socket.once('data', (first: Buffer) => socket.end(first.toString('latin1').startsWith('GET') ? answer : 'no TLS'));
  });
  const kindOf = async (status: number, headers: readonly string[], body: string): Promise<string> => {
    answer = [`HTTP/1.1 ${status} X`, ...headers, `Content-Length: ${body.length}`, 'Connection: close', '', body].join(
      '\r\n',
    );
    const seen: Seen = await look(at(port), TRUST);
    return seen.kind === 'heard' ? seen.spoken.kind : seen.kind;
  };
  const named = ['Docker-Distribution-Api-Version: registry/2.0'];
  assert.equal(await kindOf(200, named, ''), 'registry');
  assert.equal(await kindOf(401, named, ''), 'registry');
  assert.equal(await kindOf(200, [], '{}'), 'registry');
  assert.equal(await kindOf(401, [], '{"errors":[]}'), 'registry');
  for (const [status, body] of [
    [200, '<html>'],
    [200, '[]'],
    [200, 'null'],
    [401, '{}'],
    [404, '{}'],
  ] as const) {
    assert.equal(await kindOf(status, [], body), 'http', `${status} ${body}`);
  }
  assert.equal(await kindOf(404, named, ''), 'http');
});

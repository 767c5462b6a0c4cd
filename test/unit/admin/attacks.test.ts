/** What strangers and pages of other sites try at the admin address. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { Client } from '../../support/clients.ts';
import { openFilesOf } from '../../support/files.ts';
import { Inside } from '../../support/inside.ts';
import { api, serverStatus, status } from '../../support/operator.ts';
import { settings } from '../../support/settings.ts';
import { eventually, within } from '../../support/waiting.ts';

const file = settings([{ name: 's1', address: '127.0.0.1:1' }], { healthCheck: false });
const MAINT = JSON.stringify({ state: 'maint' });
const TOKEN = 'correct-horse-battery';

async function attacked(t: TestContext, admin: object = {}): Promise<{ berth: Inside; port: number }> {
  const berth = await Inside.start(t, { ...file, admin: { bind: '127.0.0.1:0', ...admin } });
  const { address } = await berth.line(({ msg }) => msg === 'admin listening');
  return { berth, port: Number(/(\d+)$/.exec(String(address))?.[1]) };
}

/** Sends these bytes, and resolves to all that is answered. */
async function send(port: number, bytes: string | Uint8Array, finish = true): Promise<string> {
  const client = new Client({ port });
  client.socket.write(bytes);
  if (finish) client.socket.end();
  await within(client.ended, 'an end');
  client.socket.destroy();
  return client.received.toString('latin1');
}

const codeOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
const unchanged = async (berth: Inside): Promise<void> =>
  assert.equal((await serverStatus(berth, 's1'))?.state, 'ready');

test('a page whose name was rebound to this address says that name as Host, and is refused', async (t) => {
  const { berth, port } = await attacked(t);
  for (const host of ['evil.example', `evil.example:${port}`, '127.0.0.1.evil.example', 'localhost.evil.example']) {
    for (const [method, path] of [
      ['GET', '/api/v1/status'],
      ['GET', '/'],
      ['PUT', '/api/v1/servers/b/s1'],
    ] as const) {
      const answer = await api(berth, method, path, { headers: { host }, body: method === 'PUT' ? MAINT : '' });
      // Where the dashboard is not built, there is no page to be refused.
      assert.equal(answer.status, 403, `${host} ${method} ${path}`);
    }
  }
  await unchanged(berth);
});

test('a page of another site cannot post: by its Origin, by null, by what its browser says, as a form or as text', async (t) => {
  const { berth, port } = await attacked(t);
  const foreign = [
    { origin: 'http://evil.example' },
    { origin: 'null' },
    { origin: '' },
    { origin: `http://127.0.0.1:${port + 1}` },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ];
  const types = [
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/json',
  ];
  const mutations = [
    ['POST', '/api/v1/reload'],
    ['POST', '/api/v1/plan'],
    ['PUT', '/api/v1/servers/b/s1'],
    ['PUT', '/api/v1/log'],
    ['DELETE', '/api/v1/table?backend=b&all=true'],
  ] as const;
  for (const headers of foreign) {
    for (const type of types) {
      for (const [method, path] of mutations) {
        const question = { headers: { ...headers, 'content-type': type }, body: method === 'DELETE' ? '' : MAINT };
        assert.equal((await api(berth, method, path, question)).status, 403, JSON.stringify({ headers, method, path }));
      }
    }
  }
  // What every browser lets a page send without asking, should it forget the Origin: it is no draft.
  for (const type of types.slice(0, 3)) {
    const draft = await api(berth, 'POST', '/api/v1/plan', { headers: { 'content-type': type }, body: 'a: b' });
    assert.equal(draft.status, 415, type);
  }
  assert.ok(!berth.lines.some(({ event }) => event === 'reloaded' || event === 'operator'));
  await unchanged(berth);
  const own = await api(berth, 'GET', '/api/v1/status', { headers: { 'sec-fetch-site': 'same-origin' } });
  assert.equal(own.status, 200);
});

test('a token is compared whole, whatever its length, and the answer is the same for each wrong one', async (t) => {
  const { berth } = await attacked(t, { token: TOKEN });
  const wrong = ['', 'x', TOKEN.slice(0, -1), `${TOKEN}x`, `${TOKEN}\u0001`, TOKEN.toUpperCase(), 'y'.repeat(12_000)];
  const answers = await Promise.all(
    wrong.map((token) => {
      const headers = { authorization: `Bearer ${token.replaceAll('\u0001', '%01')}` };
      return api(berth, 'GET', '/api/v1/status', { headers }).then((answer) => [answer.status, answer.body]);
    }),
  );
  for (const answer of answers) assert.deepEqual(answer, [401, { error: 'the token is missing or wrong' }]);
  const twice = `Bearer ${TOKEN}, Bearer ${TOKEN}`;
  assert.equal((await api(berth, 'GET', '/api/v1/status', { headers: { authorization: twice } })).status, 401);
});

test('headers that come a letter at a time, and a body without an end, are ended; others are answered meanwhile', async (t) => {
  const { berth, port } = await attacked(t);
  const drip = new Client({ port });
  drip.socket.write('GET /api/v1/status HTTP/1.1\r\nhost: localhost\r\nx: ');
  const endless = new Client({ port });
  endless.socket.write('PUT /api/v1/servers/b/s1 HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n');
  const timer = setInterval(() => {
    for (const [client, bytes] of [
      [drip, 'x'],
      [endless, `2000\r\n${'x'.repeat(8_192)}\r\n`],
    ] as const)
      if (client.socket.writable) client.socket.write(bytes, () => {});
  }, 50);
  t.after(() => clearInterval(timer));
  assert.equal((await status(berth)).stage, 'running');
  await within(Promise.all([drip.ended, endless.ended]), 'both to be ended');
  await unchanged(berth);
});

test('a thousand streams leave places to who asks, and nothing behind', async (t) => {
  const { berth, port } = await attacked(t);
  await status(berth);
  const before = openFilesOf(process.pid);
  const clients: Client[] = [];
  for (let i = 0; i < 1_000; i++) {
    const client = new Client({ port });
    client.socket.write('GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n');
    clients.push(client);
    if (i % 100 === 99)
      await eventually('who asks to be answered', () =>
        status(berth).then(
          () => true,
          () => false,
        ),
      );
  }
  await eventually('all but eight to be sent away', () => {
    return clients.filter(({ socket }) => !socket.readableEnded && !socket.destroyed).length <= 8;
  });
  assert.equal((await status(berth)).stage, 'running');
  for (const { socket } of clients) socket.destroy();
  await eventually('as many files as before', () => openFilesOf(process.pid) <= before);
});

test('no path leads elsewhere: neither twice slashed, dotted, encoded, with NUL, nor very long', async (t) => {
  const { berth, port } = await attacked(t);
  const paths = [
    ['//api/v1/status', '/api//v1/status', '/api/v1//status', '/api/v1/status/', '/API/V1/STATUS', '/api/v1/./status'],
    ['/api/v1/x/../status', '/api/v1/%2e%2e/v1/status', '/%2e%2e/%2e%2e/etc/passwd', '/dashboard/../../package.json'],
    [
      '/dashboard/%2e%2e/http.js',
      '/dashboard/..%2fhttp.js',
      '/dashboard/..\\http.js',
      '/dashboard//etc/passwd',
      '/dashboard/',
    ],
    [
      '/api/v1/status%00',
      '/api/v1/status%2f',
      '/api%2fv1%2fstatus',
      '/api/v1/status;x',
      `/${'x'.repeat(8_000)}`,
      '*',
      'status',
    ],
    ['http://127.0.0.1/api/v1/status', '/api/v1/__proto__', '/api/v1/constructor', '/dashboard/__proto__'],
  ].flat();
  for (const path of paths) {
    const answer = await send(port, `GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
    assert.ok([400, 404].includes(codeOf(answer)), `${path.slice(0, 60)}: ${answer.slice(0, 200)}`);
    assert.ok(answer.length < 1_000, 'what a stranger writes is not all said back');
  }
  for (const name of [
    'b%2fs1',
    'b/%00',
    'b/..',
    'b/%2e%2e',
    'b/s1%2f',
    'b/S1',
    `b/${'x'.repeat(4_000)}`,
    '__proto__/toString',
  ]) {
    const { status: code } = await api(berth, 'PUT', `/api/v1/servers/${name}`, { body: MAINT });
    assert.equal(code, 404, name.slice(0, 40));
  }
  await unchanged(berth);
});

test('HEAD, OPTIONS, TRACE and methods that nobody knows change nothing and say which there are', async (t) => {
  const { berth, port } = await attacked(t);
  for (const method of ['HEAD', 'OPTIONS', 'TRACE', 'PATCH', 'PROPFIND']) {
    const answer = await send(
      port,
      `${method} /api/v1/servers/b/s1 HTTP/1.1\r\nhost: localhost\r\ncookie: s=x\r\n\r\n`,
    );
    assert.equal(codeOf(answer), 405, answer);
    assert.match(answer, /\r\nallow: PUT\r\n/i);
    assert.doesNotMatch(answer, /access-control|s=x/i);
  }
  const connect = await send(port, 'CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: localhost\r\n\r\n');
  assert.doesNotMatch(connect, /^HTTP\/1\.1 2/);
  const upgrade = 'GET /api/v1/status HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';
  assert.doesNotMatch(await send(port, upgrade), /^HTTP\/1\.1 101/);
  await unchanged(berth);
});

test('a flood of headers is refused; the next is answered', async (t) => {
  const { berth, port } = await attacked(t);
  const many = Array.from({ length: 5_000 }, (_, i) => `x-${i}: ${i}\r\n`).join('');
  for (const flood of [many, `x: ${'y'.repeat(1 << 20)}\r\n`, `${'z'.repeat(1 << 17)}: x\r\n`]) {
    const answer = await send(port, `GET /api/v1/status HTTP/1.1\r\nhost: localhost\r\n${flood}\r\n`).catch(() => '');
    assert.ok(answer === '' || codeOf(answer) === 431, answer.slice(0, 100));
  }
  assert.equal((await status(berth)).stage, 'running');
});

test('a request that another hides is not looked at: two lengths, length and chunks, a second request behind', async (t) => {
  const { berth, port } = await attacked(t);
  const hidden = `PUT /api/v1/servers/b/s1 HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${MAINT.length}\r\n\r\n${MAINT}`;
  const get = 'GET /api/v1/status HTTP/1.1\r\nhost: localhost\r\n';
  const tries = [
    `${get}\r\n${hidden}`,
    `${get}content-length: 0\r\ncontent-length: ${hidden.length}\r\n\r\n${hidden}`,
    `${get}content-length: ${hidden.length}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
    `${get}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n${hidden}`,
    `${get}transfer-encoding : chunked\r\n\r\n0\r\n\r\n${hidden}`,
    `${get}x: y\n\r\n${hidden}`,
    `${get}x: y\r\n \tz\r\n\r\n${hidden}`,
  ];
  for (const bytes of tries) {
    const answer = await send(port, bytes);
    assert.ok(answer.split('HTTP/1.1 ').length <= 2, `one answer at most: ${answer.slice(0, 300)}`);
    await unchanged(berth);
  }
});

test('keys of JSON that are names of prototypes are unknown keys, and change no object', async (t) => {
  const { berth } = await attacked(t);
  const bodies = [
    '{"__proto__":{"state":"maint"}}',
    '{"constructor":{"prototype":{"state":"maint"}}}',
    '{"prototype":{}}',
  ];
  for (const body of bodies)
    assert.equal((await api(berth, 'PUT', '/api/v1/servers/b/s1', { body })).status, 400, body);
  for (const query of ['__proto__=x', 'constructor=x', '__proto__[x]=y', 'ip=127.0.0.1&ip=::1']) {
    assert.equal((await api(berth, 'GET', `/api/v1/explain?${query}`)).status, 400, query);
  }
  assert.equal(({} as { state?: string }).state, undefined);
  await unchanged(berth);
});

test('whatever bytes come, the connection ends and the balancer goes on', { timeout: 120_000 }, async (t) => {
  const { berth, port } = await attacked(t);
  const word = fc.constantFrom(
    'GET',
    'PUT',
    ' ',
    '/api/v1/',
    'events',
    'status',
    '?',
    'HTTP/1.1',
    '\r\n',
    ':',
    'host',
    'localhost',
    '%',
    '\0',
    '{',
    '"',
  );
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 2_000 }),
    fc.array(word, { maxLength: 60 }).map((words) => Buffer.from(words.join(''), 'latin1')),
    fc.tuple(fc.string({ maxLength: 200 }), fc.uint8Array({ maxLength: 500 })).map(([path, body]) => {
      const head = `PUT /api/v1/${encodeURI(path.replace(/[\uD800-\uDFFF]/g, ''))} HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n`;
      return Buffer.concat([Buffer.from(head, 'latin1'), body]);
    }),
  );
  await fc.assert(
    fc.asyncProperty(bytes, async (all) => {
      const client = new Client({ port });
      client.socket.end(all);
      await within(client.ended, 'an end');
      client.socket.destroy();
    }),
    { numRuns: 300 },
  );
  assert.equal((await status(berth)).stage, 'running');
  await unchanged(berth);
});

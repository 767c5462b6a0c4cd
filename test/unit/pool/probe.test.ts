import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import { test, type TestContext } from 'node:test';
import { buildProxyHeader } from '../../../src/pool/proxy-protocol.ts';
import { newProbe, type ProbeResult } from '../../../src/pool/probe/probe.ts';
import { closedPort, listen, listenRaw } from '../../support/listening.ts';
import { checkConfig } from '../../support/pool.ts';

const probe = newProbe();

/** Probes 127.0.0.1 as the node `registry1`. */
const check = (port: number, options: object = {}, host = '127.0.0.1'): Promise<ProbeResult> =>
  probe({ host, port }, 'registry1', checkConfig(options));
const OK: ProbeResult = { ok: true };
const failed = (reason: string): ProbeResult => ({ ok: false, reason });

const answer = (t: TestContext, listener: RequestListener): Promise<number> => listen(t, createServer(listener));
const status = (t: TestContext, code: number, headers: Record<string, string> = {}): Promise<number> =>
  answer(t, (_, response) => void response.writeHead(code, headers).end('body'));

test('tcp: a server that listens is up, whatever it does then', async (t) => {
  const ends = await Promise.all([
    listenRaw(t, () => {}),
    listenRaw(t, (socket) => socket.end()),
    listenRaw(t, (socket) => socket.end('garbage')),
  ]);
  for (const port of ends) assert.deepEqual(await check(port), OK);
});

test('tcp: a port where nobody listens refuses', async () => {
  assert.deepEqual(await check(await closedPort()), failed('connection refused'));
});

test('tcp: the check closes its connection', async (t) => {
  const { promise, resolve } = withResolvers();
  const port = await listenRaw(t, (socket) => socket.resume().on('end', resolve).on('close', resolve));
  await check(port);
  await promise;
});

test('tcp: an address that is this machine and no server, and one that cannot be reached', async () => {
  const { ok } = await check(1, { timeout: '500ms' }, '255.255.255.255');
  assert.equal(ok, false);
});

const ITS_LOG = "the node's log says why";
const FIT = 'set path and expect to fit what a working node answers';
const NAME = 'if it knows its public name alone, set healthCheck.host';
const NO_REDIRECT = 'Berth follows no redirect: set what it leads to';
const NO_STORAGE = '200 and 404 with NAME_UNKNOWN are right: name another repository, or look what listens there';
const NO_REGISTRY = '200 and 401 are right: look whether a registry listens there';

test('http: a status in the range is up', async (t) => {
  for (const [code, options, up] of [
    [200, {}, true],
    [204, {}, true],
    [399, {}, true],
    [400, {}, false],
    [503, {}, false],
    [404, { expect: [404] }, true],
    [404, { expect: ['200-299', '404-405'] }, true],
    [406, { expect: ['200-299', '404-405'] }, false],
    [199, { expect: ['200-299'] }, false],
  ] as const) {
    const result = await check(await status(t, code), { type: 'http', timeout: '1s', ...options });
    if (code === 199) assert.equal(result.ok, false);
    else assert.deepEqual(result, up ? OK : failed(`GET / answered ${code}; ${code === 503 ? ITS_LOG : FIT}`));
  }
});

test('http: the request is a small one that proxies and virtual hosts understand', async (t) => {
  const seen: [string | undefined, string | undefined, object][] = [];
  const port = await answer(t, ({ method, url, headers }, response) => {
    seen.push([method, url, headers]);
    response.end();
  });
  const path = '/healthz?deep=%20yes';
  assert.deepEqual(await check(port, { type: 'http', path }), OK);
  assert.deepEqual(seen, [['GET', path, { host: `registry1:${port}`, 'user-agent': 'berth', connection: 'close' }]]);
});

for (const version of ['v1', 'v2'] as const) {
  test(`a check of a server that expects PROXY headers (${version}) begins with one that names nobody`, async (t) => {
    const header = buildProxyHeader(version, undefined, undefined);
    const { promise, resolve } = withResolvers();
    let heard = '';
    const port = await listenRaw(t, (socket) => {
      socket.on('data', (chunk) => {
        heard += chunk.toString('latin1');
        if (heard.endsWith('\r\n\r\n') && heard.includes('GET'))
          socket.end('HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n');
      });
      socket.on('close', resolve);
    });
    const config = checkConfig({ type: 'registry' });
    assert.deepEqual(await probe({ host: '127.0.0.1', port }, 'registry1', config, version), OK);
    await promise;
    assert.ok(heard.startsWith(`${header.toString('latin1')}GET /v2/ `), heard);
  });
}

test('a check is over, and closes its connection, as soon as its status has come', async (t) => {
  const { promise, resolve } = withResolvers();
  const port = await listenRaw(t, (socket) => {
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nthe rest never comes'));
    socket.on('end', resolve).on('close', resolve);
  });
  assert.deepEqual(await check(port, { type: 'registry', timeout: '1h' }), OK);
  await promise;
});

test('registry: 200 and 401 of /v2/ are up, nothing else is', async (t) => {
  for (const [code, remedy, ofNamed = remedy] of [
    [200],
    [401],
    [204, NO_REGISTRY],
    [302, NO_REDIRECT],
    [404, NAME, NO_REGISTRY],
    [500, ITS_LOG],
    [503, ITS_LOG],
  ] as const) {
    const port = await answer(t, ({ url }, response) => {
      assert.equal(url, '/v2/');
      response.writeHead(code, { location: '/elsewhere' }).end();
    });
    const reason = (why: string): string => `GET /v2/ answered ${code}; ${why}`;
    assert.deepEqual(await check(port, { type: 'registry' }), remedy ? failed(reason(remedy)) : OK);
    const named = await check(port, { type: 'registry', host: 'registry.test' });
    assert.deepEqual(named, ofNamed ? failed(reason(ofNamed)) : OK);
  }
});

/** A registry whose tag list answers so. */
function registry(t: TestContext, tags: RequestListener): Promise<number> {
  return answer(t, (incoming, response) => {
    if (incoming.url === '/v2/') response.writeHead(401).end();
    else tags(incoming, response);
  });
}
const STORAGE = { type: 'registry', storage: { repository: 'berth/probe' }, timeout: '1s' };
const TAGS = '/v2/berth/probe/tags/list';
const unknown = JSON.stringify({ errors: [{ code: 'NAME_UNKNOWN', message: 'repository name not known' }] });

const KNOWN: ProbeResult = { ok: true, storage: { known: true } };

test('storage: a tag list, or word that there is none, is up', async (t) => {
  assert.deepEqual(await check(await registry(t, (_, response) => response.end('{"tags":["a"]}')), STORAGE), KNOWN);
  assert.deepEqual(
    await check(await registry(t, (_, response) => response.writeHead(404).end(unknown)), STORAGE),
    KNOWN,
  );
});

test('storage: every other answer is down', async (t) => {
  for (const [code, body, remedy] of [
    [404, 'page not found', NO_STORAGE],
    [500, unknown, ITS_LOG],
    [503, '', ITS_LOG],
    [302, '', NO_STORAGE],
  ] as const) {
    const port = await registry(t, (_, response) => response.writeHead(code, { location: '/' }).end(body));
    assert.deepEqual(await check(port, STORAGE), failed(`GET ${TAGS} answered ${code}; ${remedy}`));
  }
});

test('storage: a node that lets the check not in is judged by /v2/, and what the check lacks is said', async (t) => {
  for (const [code, why] of [
    [401, 'user or passwordFile is missing or wrong'],
    [403, 'the user may not pull from this repository; give user the right to, or name another repository'],
    [429, 'the node lets nobody ask as often as that; set a longer interval'],
  ] as const) {
    const port = await registry(t, (_, response) => response.writeHead(code).end(unknown));
    const reason = `GET ${TAGS} answered ${code}: ${why}`;
    assert.deepEqual(await check(port, STORAGE), { ok: true, storage: { known: false, reason } });
  }
});

test('storage: one that hangs is down, and the reason says what hung', async (t) => {
  const silent = await registry(t, () => {});
  const half = await registry(t, (_, response) => void response.writeHead(404).write('{"errors":'));
  const late = failed(`GET ${TAGS}: no answer within 1s`);
  assert.deepEqual(await Promise.all([check(silent, STORAGE), check(half, STORAGE)]), [late, late]);
});

test('storage: user and password go with the tag list alone', async (t) => {
  const seen: (string | undefined)[] = [];
  const port = await answer(t, ({ url, headers }, response) => {
    seen.push(`${url} ${headers.authorization ?? '-'}`);
    response.end();
  });
  const config = checkConfig({ type: 'registry', storage: { repository: 'a', user: 'berth', passwordFile: 'p' } });
  assert.ok(config.storage !== false && config.storage.passwordFile);
  config.storage.passwordFile.content = 'geheim:ä';
  assert.deepEqual(await probe({ host: '127.0.0.1', port }, 'registry1', config), KNOWN);
  const basic = Buffer.from('berth:geheim:ä').toString('base64');
  assert.deepEqual(seen, ['/v2/ -', `/v2/a/tags/list Basic ${basic}`]);
});

/** Why a server is down whose whole answer does not come. */
const LATE = 'no answer within 300ms';
const HOSTILE: Record<string, [(t: TestContext) => Promise<number>, string]> = {
  'closes at once': [
    (t) => listenRaw(t, (socket) => socket.end()),
    'GET /v2/: closed before the whole answer was there; look at its log',
  ],
  'resets at once': [
    (t) => listenRaw(t, (socket) => socket.once('data', () => socket.resetAndDestroy())),
    'GET /v2/: closed before the whole answer was there; look at its log',
  ],
  'never answers': [(t) => listenRaw(t, () => {}), LATE],
  'says garbage': [
    (t) => listenRaw(t, (socket) => socket.end('\0\x01SSH-2.0-no\n\n')),
    'GET /v2/: the answer is not HTTP; look at what listens on that port',
  ],
  'stops in the status line': [(t) => listenRaw(t, (socket) => void socket.write('HTTP/1.1 2')), LATE],
  'closes in the headers': [
    (t) => listenRaw(t, (socket) => socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nA: b\r\n'))),
    'GET /v2/: closed before the whole answer was there; look at its log',
  ],
  'sends headers without end': [
    (t) => listenRaw(t, (socket) => flood(socket, 'HTTP/1.1 200 OK\r\n', 'X-Header: value\r\n')),
    'GET /v2/: its headers are longer than 16 KiB; look at its log',
  ],
  'drips headers': [
    (t) =>
      listenRaw(t, (socket) => {
        socket.write('HTTP/1.1 200 OK\r\n');
        const timer = setInterval(() => socket.write('A: b\r\n'), 50);
        socket.on('close', () => clearInterval(timer)).on('end', () => socket.destroy());
      }),
    LATE,
  ],
  'says 100 Continue without end': [
    (t) =>
      listenRaw(t, (socket) => {
        const timer = setInterval(() => socket.write('HTTP/1.1 100 Continue\r\n\r\n'), 20);
        socket.on('close', () => clearInterval(timer)).on('end', () => socket.destroy());
      }),
    LATE,
  ],
  'switches protocols': [
    (t) =>
      listenRaw(t, (socket) =>
        socket.once('data', () => socket.write('HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n')),
      ),
    `GET /v2/ answered 101; ${NO_REGISTRY}`,
  ],
  'sends a body without end': [
    (t) => listenRaw(t, (socket) => flood(socket, 'HTTP/1.1 404 Not Found\r\n\r\n', 'x'.repeat(1_000))),
    `GET /v2/ answered 404; ${NAME}`,
  ],
};

type Flooded = Parameters<Parameters<typeof listenRaw>[1]>[0];

/** Writes without end, as fast as the other side reads. */
function flood(socket: Flooded, first: string, again: string): void {
  const block = again.repeat(64);
  const go = (): void => {
    while (!socket.destroyed && socket.writable && socket.write(block));
  };
  socket
    .on('drain', go)
    .on('end', () => socket.destroy())
    .resume();
  socket.write(first);
  go();
}

for (const [title, [start, reason]] of Object.entries(HOSTILE)) {
  test(`hostile: a server that ${title} is down in time, and no socket is left`, async (t) => {
    const port = await start(t);
    const startedMs = performance.now();
    const timeout = reason === LATE ? '300ms' : '1s';
    assert.deepEqual(await check(port, { type: 'registry', timeout }), failed(reason));
    assert.ok(performance.now() - startedMs < 10_000);
    await noSocketTo(port);
  });
}

test('hostile: a storage answer without end is cut off', async (t) => {
  const port = await listenRaw(t, (socket) => {
    socket.once('data', (data) => {
      if (data.toString().startsWith('GET /v2/ ')) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
      else flood(socket, 'HTTP/1.1 404 Not Found\r\n\r\n', 'x'.repeat(1_000));
    });
  });
  assert.deepEqual(await check(port, STORAGE), failed(`GET ${TAGS} answered 404; ${NO_STORAGE}`));
  await noSocketTo(port);
});

test('an error that comes after the answer harms nobody', async (t) => {
  const port = await listenRaw(t, (socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n');
      socket.resetAndDestroy();
    });
  });
  const results = await Promise.all(
    Array.from({ length: 50 }, () => check(port, { type: 'registry', timeout: '100ms' })),
  );
  for (const result of results) assert.ok(result.ok || result.reason !== '', JSON.stringify(result));
  // Past the deadline of the checks: an abort that nobody waits for any more must not be an exception.
  await new Promise((resolve) => setTimeout(resolve, 200));
});

/** Waits until this process has no client socket to `port`: the servers of a test have only accepted ones. */
async function noSocketTo(port: number): Promise<void> {
  const { _getActiveHandles: handles } = process as unknown as {
    _getActiveHandles(this: void): { remotePort?: number }[];
  };
  const open = (): boolean => handles().some(({ remotePort }) => remotePort === port);
  while (open()) await new Promise((resolve) => setTimeout(resolve, 5));
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}

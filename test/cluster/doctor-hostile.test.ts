import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { doctor } from '../support/doctor.ts';
import { hostileServer, proxyBefore } from '../support/tls-proxy.ts';

const HEAD = 'HTTP/1.1 200 OK\r\nDocker-Distribution-Api-Version: registry/2.0\r\n';

/** Writes for as long as the other side reads. */
function forever(socket: TLSSocket, first: string, piece: string): void {
  socket.write(first);
  const go = (): void => {
    while (!socket.destroyed && socket.write(piece));
  };
  socket.on('drain', go);
  go();
}

const HOSTILE: [string, (socket: TLSSocket, raw?: Socket) => void, RegExp][] = [
  ['endless headers', (socket) => forever(socket, HEAD, `X-More: ${'x'.repeat(1_000)}\r\n`), /headers are longer than/],
  ['an endless body', (socket) => forever(socket, `${HEAD}\r\n`, 'x'.repeat(10_000)), /answer is longer than/],
  [
    'endless early answers',
    (socket) => forever(socket, '', 'HTTP/1.1 100 Continue\r\n\r\n'),
    /no whole answer within 5 s/,
  ],
  ['a body shorter than announced', (socket) => socket.end(`${HEAD}Content-Length: 100\r\n\r\nx`), /closed before/],
  ['a content length that is no number', (socket) => socket.end(`${HEAD}Content-Length: x\r\n\r\n`), /is not HTTP/],
  ['silence', () => {}, /no whole answer within 5 s/],
  ['a close', (socket) => socket.end(), /closed before/],
  ['a reset', (_, raw) => raw?.resetAndDestroy(), /closed before/],
  ['another protocol', (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'), /is not HTTP/],
  [
    'a switch of protocols',
    (socket) => socket.write('HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'),
    /101|no whole answer/,
  ],
  [
    'a redirect to itself',
    (socket) => socket.end('HTTP/1.1 301 Moved\r\nLocation: https://registry.test/v2/\r\nContent-Length: 0\r\n\r\n'),
    /answered 301, to https:\/\/registry\.test\/v2\/; 200 or 401 is right/,
  ],
  [
    '401 and no way in',
    (socket) => socket.end('HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n'),
    /401 and not.* how to log in/,
  ],
  ['500', (socket) => socket.end('HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n'), /GET \/v2\/ answered 500/],
];

suite('berth doctor and nodes that are not what they should be', { timeout: 300_000 }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster({ names: ['registry.test'], redis: false });
  });
  after(() => cluster.close());

  test('each costs a finding, none a hang or a crash, and good nodes beside them are audited', async () => {
    const ports = await Promise.all(
      HOSTILE.map(([, speak]) =>
        hostileServer(cluster, (socket, raw) => void socket.once('data', () => speak(socket, raw))),
      ),
    );
    const { code, findings, seconds } = await doctor(cluster, {
      servers: [...ports, ...cluster.nodes.map((n) => n.port)],
    });
    assert.equal(code, 1);
    assert.ok(seconds < 40, `${seconds} s`);
    for (const [i, [what, , seen]] of HOSTILE.entries()) {
      const own = findings.filter(({ where, code: found }) => where === `s${i + 1}` && found === 'V2_STATUS');
      assert.equal(own.length, 1, `${what}: ${JSON.stringify(findings.filter(({ where }) => where === `s${i + 1}`))}`);
      assert.match(own[0]!.seen, seen, what);
    }
    const good = [HOSTILE.length + 1, HOSTILE.length + 2].map((i) => `s${i}`);
    assert.deepEqual(
      findings.filter(({ where }) => good.includes(where)),
      [],
    );
  });

  test('a node that says the password back does not get it printed', async () => {
    const port = await proxyBefore(cluster, cluster.nodes[0]!.port, async ({ path, headers }, behind) => {
      const { authorization } = headers;
      if (authorization === undefined) return behind();
      const said = Buffer.from(authorization.slice(6), 'base64').toString();
      if (path === '/v2/') return behind();
      return {
        status: 500,
        headers: {},
        body: Buffer.from(JSON.stringify({ errors: [{ code: `${said} ${authorization}` }] })),
      };
    });
    const { lines, findings } = await doctor(cluster, { servers: [port] });
    assert.deepEqual(lines, ['FAIL STORAGE_ERROR s1']);
    assert.match(findings[0]?.seen ?? '', /500 \(demo:\*\*\* Basic \*\*\*\)/);
  });

  test('a Location that leads out of the repository is not followed', async () => {
    const asked: string[] = [];
    const port = await proxyBefore(cluster, cluster.nodes[0]!.port, async ({ method, path }, behind) => {
      asked.push(`${method} ${path}`);
      const told = await behind();
      if (method === 'POST') told.headers.location = '/v2/berth-doctor/probe/../../library/nginx/manifests/latest';
      return told;
    });
    const { lines } = await doctor(cluster, { servers: [port] });
    assert.deepEqual(lines, ['FAIL UPLOAD_START s1']);
    assert.deepEqual(
      asked.filter((one) => /nginx|DELETE/.test(one)),
      [],
    );
  });

  test('a clock that is off is a warning', async () => {
    for (const [seconds, expected] of [
      [-3, []],
      [3, []],
      [8, ['WARN CLOCK s1']],
      [-60, ['WARN CLOCK s1']],
    ] as const) {
      const port = await proxyBefore(cluster, cluster.nodes[0]!.port, async (_, behind) => {
        const told = await behind();
        return { ...told, headers: { ...told.headers, date: new Date(Date.now() + seconds * 1_000).toUTCString() } };
      });
      const { code, lines } = await doctor(cluster, { servers: [port] });
      assert.deepEqual([code, lines], [0, expected], `${seconds} s`);
    }
  });

  test('a missing API header and a storage that is slow are warnings', async () => {
    const port = await proxyBefore(cluster, cluster.nodes[0]!.port, async ({ path }, behind) => {
      const told = await behind();
      if (path.endsWith('/tags/list')) await sleep(1_300);
      if (path === '/v2/') delete told.headers['docker-distribution-api-version'];
      return told;
    });
    const { code, lines } = await doctor(cluster, { servers: [port] });
    assert.deepEqual([code, lines], [0, ['WARN API_HEADER s1', 'WARN STORAGE_SLOW s1']]);
  });
});

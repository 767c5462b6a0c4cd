/** Checks of servers that await a PROXY header: a real HAProxy is one. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { newProbe } from '../../src/pool/probe/probe.ts';
import { parseProxyHeader } from '../../src/pool/proxy-protocol.ts';
import { Authority } from '../support/authority.ts';
import { start } from '../support/berth.ts';
import { NO_HAPROXY, startHaproxy } from '../support/haproxy.ts';
import { listenRaw } from '../support/listening.ts';
import { serversOf } from '../support/operator.ts';
import { checkConfig } from '../support/pool.ts';
import { QUICK_CHECKS, settings } from '../support/settings.ts';
import { within } from '../support/waiting.ts';

const probe = newProbe();

const authority = Authority.ofFile();

/** Closes connections without a PROXY header, and answers requests on the others. */
function awaiting(tls: boolean): string {
  const { key, cert } = authority.sign('DNS:registry1');
  const file = join(authority.folder, 'both.pem');
  writeFileSync(file, `${cert}${key}`);
  const bind = `bind 127.0.0.1:PORT accept-proxy${tls ? ` ssl crt ${file}` : ''}`;
  return `frontend f${tls ? 1 : 0}\n  mode http\n  ${bind}\n  http-request return status 200`;
}

test(
  'checks of a server that awaits a PROXY header begin with one, before TLS and the request',
  { skip: NO_HAPROXY },
  async (t) => {
    const [plain = 0, secure = 0] = await startHaproxy(t, [awaiting(false), awaiting(true)]);
    for (const [port, tls] of [
      [plain, false],
      [secure, true],
    ] as const) {
      for (const type of ['http', 'registry']) {
        const config = checkConfig({ type, tls });
        for (const version of ['v1', 'v2'] as const) {
          const { ok } = await probe({ host: '127.0.0.1', port }, 'registry1', config, version);
          assert.equal(ok, true, `${type} ${version} tls: ${tls}`);
        }
        assert.equal((await probe({ host: '127.0.0.1', port }, 'registry1', config)).ok, false, 'without a header');
      }
    }
    const tcp = checkConfig({ tls: true });
    assert.equal((await probe({ host: '127.0.0.1', port: secure }, 'registry1', tcp, 'v2')).ok, true);
  },
);

for (const version of ['v1', 'v2'] as const) {
  test(`a tcp check sends the header that names nobody (${version})`, async (t) => {
    const { promise, resolve } = withResolvers();
    const port = await listenRaw(t, (socket) => {
      const seen: Buffer[] = [];
      socket.on('data', (chunk) => void seen.push(chunk)).on('end', () => resolve(Buffer.concat(seen)));
    });
    assert.deepEqual(await probe({ host: '127.0.0.1', port }, 'registry1', checkConfig({}), version), { ok: true });
    const bytes = await within(promise, 'the end of the check');
    const header = { kind: 'header', length: bytes.length, source: undefined, destination: undefined };
    assert.deepEqual(parseProxyHeader(bytes), header);
  });
}

test(
  "a server is checked as it is connected to: with its own sendProxy or the backend's, but for a port of the check's own",
  { skip: NO_HAPROXY },
  async (t) => {
    const plain = 'frontend p\n  mode http\n  bind 127.0.0.1:PORT\n  http-request return status 200';
    const [strict = 0, open = 0] = await startHaproxy(t, [awaiting(false), plain]);
    const check = { type: 'http', ...QUICK_CHECKS.healthCheck };
    const list = [strict, { address: `127.0.0.1:${strict}`, sendProxy: 'none' }];
    const berth = await start(t, settings(list, { sendProxy: 'v2', healthCheck: check }));
    // Only with the header can the strict server be up, and every server's first check counts.
    await berth.change('server down', 's2');
    await berth.metricIs('berth_server_checks_total{backend="b",server="s1",result="passed"}', (count) => count >= 2);
    assert.deepEqual(
      (await serversOf(berth)).map(({ name, up }) => [name, up]),
      [
        ['s1', true],
        ['s2', false],
      ],
    );
    const other = await start(t, settings([strict], { sendProxy: 'v2', healthCheck: { ...check, port: open } }));
    await other.metricIs('berth_server_checks_total{backend="b",server="s1",result="passed"}', (count) => count >= 2);
    assert.ok(!other.lines.some(({ msg }) => msg === 'server down'));
  },
);

function withResolvers(): { promise: Promise<Buffer>; resolve: (value: Buffer) => void } {
  let resolve: (value: Buffer) => void = () => {};
  const promise = new Promise<Buffer>((done) => (resolve = done));
  return { promise, resolve };
}

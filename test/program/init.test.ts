/** `berth init`: what it sees of real servers, and that the file it writes runs. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer as createHttp, type RequestListener } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createServer as createTls, type TlsOptions } from 'node:tls';
import { Authority } from '../support/authority.ts';
import { BERTH, start } from '../support/berth.ts';
import { folderOf } from '../support/files.ts';
import { closedPort, listen, listenRaw } from '../support/listening.ts';

const folder = folderOf();
const authority = Authority.ofFile();

type Said = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** It runs beside the servers of this process. */
function init(...args: string[]): Promise<Said> {
  return new Promise((resolve) => {
    const [program, ...rest] = [...BERTH, 'init', ...args];
    execFile(program, rest, { cwd: folder }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}

/** What init says of the servers; and the file that it writes finds those up that answered, and has them checked. */
async function runs(t: TestContext, up: readonly string[], ...args: string[]): Promise<Said> {
  const said = await init('--bind', '127.0.0.1:0', ...args);
  assert.equal(said.code, 0, said.stderr);
  const own = `metrics: { bind: '127.0.0.1:0' }\nadmin: { bind: 'unix:${join(folderOf(t), 'admin.sock')}' }\n`;
  const berth = await start(t, said.stdout + own);
  const sample = (name: string, server: string): string =>
    `berth_${name}{backend="${/^backends:\n  (\w+):$/m.exec(said.stdout)?.[1]}",server="${server}"`;
  for (const server of up) {
    await berth.metricIs(`${sample('server_checks_total', server)},result="passed"}`, (checks) => checks > 0);
    await berth.metricIs(`${sample('server_up', server)}}`, 1);
  }
  return said;
}

const web: RequestListener = ({ url }, response) => {
  response.writeHead(url === '/' ? 200 : 404).end('<html>');
};
/** As registries without the header of Docker's own answer, too. */
const openRegistry: RequestListener = ({ url = '' }, response) => {
  if (url === '/v2/') response.end('{}');
  else response.writeHead(404).end('{"errors":[{"code":"NAME_UNKNOWN"}]}');
};

async function tlsServer(t: TestContext, listener: RequestListener, options: TlsOptions = {}): Promise<string> {
  const server = createHttps({ ...authority.sign('DNS:registry.test'), ...options }, listener);
  return `127.0.0.1:${await listen(t, server)}`;
}

test('a web server is asked for its page', async (t) => {
  const address = `127.0.0.1:${await listen(t, createHttp(web))}`;
  const { stdout, stderr } = await runs(t, ['s1'], address);
  const seen = 's1: HTTP, and not as a registry does: GET /v2/ answered 404 and GET / 200, no TLS';
  assert.ok(stdout.includes(`# ${seen}\n`) && stderr.startsWith(`${seen}\n`), stdout);
  assert.match(stdout, /^ {4}healthCheck: \{ type: http \}$/m);
});

test('a registry without TLS and without users is asked for its storage, too', async (t) => {
  const address = `127.0.0.1:${await listen(t, createHttp(openRegistry))}`;
  const { stdout } = await runs(t, ['a'], `a=${address}`);
  assert.match(stdout, /^# a: registry, no TLS, lets anybody in, its storage answers$/m);
  assert.match(stdout, /^ {4}healthCheck: \{ type: registry, storage: \{ repository: berth\/probe \} \}$/m);
});

test('a server of TLS is known by its certificate, whoever signed it', async (t) => {
  const self = authority.selfSigned('DNS:self.test');
  const { stdout } = await runs(
    t,
    ['a', 'b'],
    `a=${await tlsServer(t, openRegistry)}`,
    `b=${await tlsServer(t, openRegistry, self)}`,
  );
  assert.match(stdout, /^# a: registry, TLS for registry\.test until 2040-01-01 \(not trusted here: .* unknown auth/m);
  assert.match(
    stdout,
    /^# b: registry, TLS for self\.test until .*\(not trusted here: the certificate is self-signed\)/m,
  );
  assert.match(stdout, /^# The servers differ: a: a certificate for registry\.test; b: a certificate for self\.test$/m);
  assert.match(stdout, /healthCheck: \{ type: registry, tls: true, storage: /);
});

test('a node that asks clients for a certificate is checked without TLS', async (t) => {
  const mutual = { requestCert: true, ca: authority.ca };
  const { stdout } = await runs(t, ['s1'], await tlsServer(t, openRegistry, mutual));
  assert.match(stdout, /^# s1: TLS for registry\.test .*, asks clients for a certificate$/m);
  assert.match(stdout, /\{ type: registry, tls: \{ cert: FILE, key: FILE \} \}$/m);
  assert.doesNotMatch(stdout, /^ *healthCheck:/m);
  // In TLS 1.2 OpenSSL says no more than that.
  const old = await runs(t, ['s1'], await tlsServer(t, openRegistry, { ...mutual, maxVersion: 'TLSv1.2' }));
  assert.match(old.stdout, /^# s1: no registry \(.* or it asks for a client certificate\), TLS$/m);
  assert.doesNotMatch(old.stdout, /^ *healthCheck:/m);
});

test('a server that speaks TLS below something else than HTTP is checked by its handshake', async (t) => {
  const server = createTls(authority.sign('DNS:mail.test'), (socket) => {
    socket.on('error', () => {});
    socket.end('* OK IMAP\r\n');
  });
  const { stdout } = await runs(t, ['s1'], `127.0.0.1:${await listen(t, server)}`);
  assert.match(stdout, /^# s1: no registry \(.*\), TLS for mail\.test /m);
  assert.match(stdout, /^ {4}healthCheck: \{ tls: true \}$/m);
});

test('a server that refuses the handshake is known for TLS all the same', async (t) => {
  const old = await tlsServer(t, openRegistry, {
    maxVersion: 'TLSv1.1',
    minVersion: 'TLSv1',
    ciphers: 'ALL@SECLEVEL=0',
  });
  const { stdout } = await init(old);
  assert.match(stdout, /^# s1: no registry \(no common version of TLS.*\), TLS$/m);
  assert.match(stdout, /^ {4}bind: '\*:443'$/m);
});

test('a dead port, a silent one, bytes and a name that leads nowhere are said, and end within seconds', async (t) => {
  const silent = await listenRaw(t, (socket) => void socket.resume());
  const garbage = await listenRaw(t, (socket) => socket.end(Buffer.from([1, 0, 255, 10, 13, 27])));
  const began = performance.now();
  const { stdout } = await runs(
    t,
    ['garbage'],
    `dead=127.0.0.1:${await closedPort()}`,
    `silent=127.0.0.1:${silent}`,
    `garbage=127.0.0.1:${garbage}`,
    'nowhere=nowhere.invalid:5000',
  );
  // Two questions of 3 s to the silent one; the rest is for a busy machine.
  assert.ok(performance.now() - began < 60_000);
  assert.match(stdout, /^# dead: connection refused$/m);
  assert.match(stdout, /^# silent: it accepts connections, and says nothing to TLS or to HTTP$/m);
  assert.match(stdout, /^# garbage: no registry \(the answer is not HTTP\), no TLS$/m);
  assert.match(stdout, /^# nowhere: nowhere\.invalid does not resolve: /m);
  assert.doesNotMatch(stdout, /^ *healthCheck:/m);
});

test('a file for servers that are all away is right, and says so', async () => {
  const file = join(folder, 'away.yml');
  const { code, stdout, stderr } = await init('-o', file, `127.0.0.1:${await closedPort()}`);
  assert.deepEqual([code, stdout], [0, '']);
  assert.match(stderr, /^No server has answered, so the check connects/m);
  assert.match(stderr, /away\.yml is written; next: berth check .*away\.yml\n$/);
  assert.match(readFileSync(file, 'utf8'), /^ {4}# No server has answered/m);
  const { status } = spawnSync(BERTH[0], [...BERTH.slice(1), 'check', file]);
  assert.equal(status, 0);
});

test('a file that is there is not changed, and no call that is wrong writes or asks', async () => {
  const [there, absent] = [join(folder, 'there.yml'), join(folder, 'absent.yml')];
  writeFileSync(there, 'mine\n');
  const table: [string[], RegExp][] = [
    [['-o', there, '127.0.0.1:1'], /there\.yml is there already, and berth init changes no file$/],
    [['-o', absent], /init needs the servers: /],
    [['-o', absent, 'h:1', 'h'], /h has no port: s2=h:5000\. See berth init --help$/],
    [['-o', absent, '--bind', '443', 'h:1'], /--bind takes \*:PORT/],
    [['-o', absent, '--bind', '*:9180', '127.0.0.1:1'], /\*:9180 collides with \*:9180 of metrics/],
    [['-o', join(folder, 'no/folder.yml'), '127.0.0.1:1'], /cannot write .*folder\.yml: ENOENT/],
    [['-c', there, 'h:1'], /init takes no --config; it takes --output, --bind$/],
  ];
  for (const [args, wanted] of table) {
    const { code, stdout, stderr } = await init(...args);
    assert.deepEqual([code, stdout], [2, ''], args.join(' '));
    assert.match(stderr.trimEnd().split('\n').at(-1) ?? '', wanted);
  }
  assert.equal(readFileSync(there, 'utf8'), 'mine\n');
  assert.equal(existsSync(absent), false);
});

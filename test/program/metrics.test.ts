import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { start, type Berth } from '../support/berth.ts';
import { Client, visit } from '../support/clients.ts';
import { folderOf } from '../support/files.ts';
import { askAt, setState } from '../support/operator.ts';
import { mirrors, refusing, serve } from '../support/servers.ts';
import { settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

/** Name, type and labels, as a dashboard relies on them. */
const METRICS = `
  frontend_connections gauge frontend
  frontend_connections_total counter frontend
  frontend_refused_total counter frontend,reason
  server_up gauge backend,server
  server_admin_state gauge backend,server,state
  server_connections gauge backend,server
  server_connections_total counter backend,server
  server_bytes_in_total counter backend,server
  server_bytes_out_total counter backend,server
  server_connect_errors_total counter backend,server,reason
  server_connect_seconds histogram backend,server
  server_checks_total counter backend,server,result
  server_check_seconds gauge backend,server
  server_queue gauge backend,server
  server_weight gauge backend,server
  server_stick_entries gauge backend,server
  server_takes_new gauge backend,server
  server_busiest_client_connections gauge backend,server
  backend_servers gauge backend
  backend_servers_taking_new gauge backend
  backend_queue gauge backend
  backend_connections_ended_total counter backend,end
  backend_connection_seconds histogram backend
  backend_redispatches_total counter backend
  backend_retries_total counter backend
  stick_table_size gauge backend
  stick_table_entries gauge backend
  stick_table_crowd_connections gauge backend
  stick_table_hits_total counter backend
  stick_table_misses_total counter backend
  stick_table_evictions_total counter backend
  stick_table_expirations_total counter backend
  stick_table_moves_total counter backend
  log_lines_dropped_total counter
  doctor_findings gauge
  doctor_last_run_timestamp_seconds gauge
  event_loop_active_seconds_total counter
  config_last_reload_successful gauge
  config_last_reload_success_timestamp_seconds gauge
  build_info gauge version,node`;

/** A scrape of a balancer that has done a bit of everything: `name` to the labels of its first sample. */
async function busy(t: TestContext): Promise<{ berth: Berth; text: string }> {
  const servers = await serve(t, ['s1']);
  const berth = await start(t, settings([...servers, await refusing()], { healthCheck: { interval: '1h' } }));
  await berth.metricIs('berth_server_checks_total{backend="b",server="s1",result="passed"}', 1);
  await berth.metricIs('berth_server_checks_total{backend="b",server="s2",result="failed"}', 1);
  await visit(berth, { port: await berth.port() });
  await servers[0]?.close();
  const client = new Client({ port: await berth.port() });
  await berth.metricIs('berth_server_connect_errors_total{backend="b",server="s1",reason="refused"}', (n) => n > 0);
  client.socket.destroy();
  return { berth, text: (await berth.get('/metrics')).text };
}

test('every metric is there, with its type, its labels and a help text', async (t) => {
  const { text } = await busy(t);
  for (const line of METRICS.trim().split('\n')) {
    const [short = '', type = '', labels = ''] = line.trim().split(' ');
    const name = `berth_${short}`;
    assert.match(text, new RegExp(`^# HELP ${name} [A-Z].+$`, 'm'));
    assert.match(text, new RegExp(`^# TYPE ${name} ${type}$`, 'm'));
    // Its samples come with its rounds; there is a test of them.
    if (short.startsWith('doctor_')) continue;
    const sample = new RegExp(`^${name}${type === 'histogram' ? '_count' : ''}(?:\\{(.*)\\})? \\S+$`, 'm').exec(text);
    assert.ok(sample, `${name} has a sample`);
    const found = [...(sample[1] ?? '').matchAll(/(\w+)="/g)].map(([, label]) => label ?? '');
    assert.deepEqual(found.toSorted(), labels.split(',').filter(Boolean).toSorted(), name);
  }
  assert.match(text, /^process_open_fds \d+$/m, 'the metrics of the process are there too');
});

const NO_PROMTOOL = spawnSync('promtool', ['--version']).error
  ? 'promtool (Debian package prometheus) is not installed'
  : false;

test('promtool finds nothing to complain about', { skip: NO_PROMTOOL }, async (t) => {
  const { text } = await busy(t);
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
  assert.deepEqual([stdout, stderr, status], ['', '', 0]);
});

test('the metrics address only answers GET, and only for what it has', async (t) => {
  const berth = await start(t, settings(await serve(t, ['s1'])));
  const { address } = await berth.line(({ msg }) => msg === 'metrics listening');
  const call = async (method: string, path: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const one = request(`http://${String(address)}${path}`, { method, agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      one.on('error', reject).end();
    });
  for (const path of ['/metrics', '/healthz', '/readyz']) {
    assert.equal(await call('GET', path), 200, path);
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])
      assert.equal(await call(method, path), 405, method);
  }
  for (const path of ['/', '/metric', '/metrics/', '/../etc/passwd', '/admin'])
    assert.equal(await call('GET', path), 404, path);
  assert.equal(await call('GET', '/metrics?name[]=berth_server_up'), 200);
});

test('the servers that take new clients are counted, and the connections of the busiest client of each', async (t) => {
  const [one, two] = await serve(t, ['s1', 's2']);
  const servers = { s1: one!.address, s2: { address: two!.address, backup: true } };
  const berth = await start(t, settings([], { servers, healthCheck: { interval: '50ms', fastInterval: '20ms' } }));
  const taking = 'berth_backend_servers_taking_new{backend="b"}';
  const takes = (server: string): Promise<number | undefined> =>
    berth.metric(`berth_server_takes_new{backend="b",server="${server}"}`);
  assert.equal(await berth.metric('berth_backend_servers{backend="b"}'), 2);
  assert.equal(await berth.metric(taking), 1);
  assert.deepEqual([await takes('s1'), await takes('s2')], [1, 0], 's2 is a backup');
  const busiest = 'berth_server_busiest_client_connections{backend="b",server="s1"}';
  assert.equal(await berth.metric(busiest), 0);
  const clients: Client[] = [];
  for (const from of ['127.0.53.1', '127.0.53.2', '127.0.53.2', '127.0.53.2']) {
    clients.push(new Client({ port: await berth.port(), from }));
    await clients.at(-1)?.line();
  }
  assert.equal(await berth.metric(busiest), 3);
  await Promise.all(clients.map((client) => client.finish()));
  await berth.metricIs(busiest, 0);
  await setState(berth, 's1', 'drain');
  assert.deepEqual([await takes('s1'), await takes('s2')], [0, 1]);
  await setState(berth, 's2', 'drain');
  assert.equal(await berth.metric(taking), 0);
  await setState(berth, 's1', 'ready');
  assert.equal(await berth.metric(taking), 1);
  await one!.close();
  await berth.metricIs(taking, 0);
});

test('/readyz is 503 while no server takes new clients: all drain or have no weight', async (t) => {
  const [one, two] = await serve(t, ['s1', 's2']);
  const servers = { s1: one!.address, s2: { address: two!.address, weight: 0 } };
  const berth = await start(t, settings([], { servers }));
  assert.equal((await berth.get('/readyz')).status, 200);
  await setState(berth, 's1', 'drain');
  assert.deepEqual(await berth.get('/readyz'), { status: 503, text: 'not ready: no server takes new clients\n' });
  await setState(berth, 's1', 'ready');
  assert.equal((await berth.get('/readyz')).status, 200);
});

test('/readyz follows the servers, /healthz does not', async (t) => {
  const servers = await serve(t, ['s1']);
  const berth = await start(t, settings(servers, { healthCheck: { interval: '50ms', fastInterval: '20ms' } }));
  assert.deepEqual(await berth.get('/readyz'), { status: 200, text: 'ready\n' });
  await servers[0]?.close();
  await berth.line(({ msg }) => msg === 'server down');
  assert.deepEqual(await berth.get('/readyz'), { status: 503, text: 'not ready: no server takes new clients\n' });
  assert.deepEqual(await berth.get('/healthz'), { status: 200, text: 'ok\n' });
  await servers[0]?.open();
  await berth.line(({ msg }) => msg === 'server up');
  assert.equal((await berth.get('/readyz')).status, 200);
});

test('a check over TLS tells when the certificate of the server expires', async (t) => {
  const folder = folderOf(t);
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const subject = ['-subj', '/CN=node', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  execFileSync(
    'openssl',
    ['req', '-x509', '-nodes', '-days', '30', ...curve, ...subject, '-keyout', key, '-out', cert],
    {
      stdio: 'ignore',
    },
  );
  const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (socket) => {
    socket.on('error', () => {}).resume();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  const berth = await start(t, settings([port], { healthCheck: { tls: { ca: cert }, interval: '50ms' } }));
  await berth.metricIs('berth_server_checks_total{backend="b",server="s1",result="passed"}', (count) => count > 0);
  const expiry = await berth.metric('berth_server_tls_certificate_expiry_timestamp_seconds{backend="b",server="s1"}');
  const text = execFileSync('openssl', ['x509', '-enddate', '-noout', '-in', cert]).toString().trim();
  assert.equal(expiry, Date.parse(text.replace('notAfter=', '')) / 1_000);
});

test('without TLS checks there is no certificate to tell of', async (t) => {
  const { text } = await busy(t);
  assert.doesNotMatch(text, /^berth_server_tls_certificate_expiry_timestamp_seconds\{/m);
});

test('the bytes of a connection are counted while it is open', async (t) => {
  const servers = await serve(t, ['s1'], mirrors);
  const berth = await start(t, settings(servers));
  const client = new Client({ port: await berth.port() });
  for (const total of [1_000, 2_000, 500_000]) {
    client.socket.write(Buffer.alloc(total - client.received.length));
    await client.bytes(total);
    assert.equal(await berth.metric('berth_server_bytes_in_total{backend="b",server="s1"}'), total);
    assert.equal(await berth.metric('berth_server_bytes_out_total{backend="b",server="s1"}'), total);
  }
  await client.finish();
});

test('after known traffic every counter is exact', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings(servers));
  const port = await berth.port();
  const [clients, visits, bytes] = [6, 5, 1_234];
  for (let i = 0; i < visits; i++) {
    const talks = Array.from({ length: clients }, async (_, n) => {
      const client = new Client({ port, from: `127.0.50.${n + 1}` });
      client.socket.end(Buffer.alloc(bytes));
      assert.equal(await client.ended, 'end');
      assert.equal(client.received.length, bytes + 's1\n'.length);
    });
    await Promise.all(talks);
  }
  await berth.connections(clients * visits);
  const expected: Record<string, number> = {
    'frontend_connections{frontend="f"}': 0,
    'frontend_connections_total{frontend="f"}': 30,
    'backend_connections_ended_total{backend="b",end="--"}': 30,
    'backend_connections_ended_total{backend="b",end="SC"}': 0,
    'backend_connection_seconds_count{backend="b"}': 30,
    'stick_table_entries{backend="b"}': 6,
    'stick_table_misses_total{backend="b"}': 6,
    'stick_table_hits_total{backend="b"}': 24,
    'stick_table_size{backend="b"}': 200_000,
    'backend_retries_total{backend="b"}': 0,
  };
  for (const server of ['s1', 's2']) {
    const labels = `{backend="b",server="${server}"}`;
    Object.assign(expected, {
      [`server_connections${labels}`]: 0,
      [`server_connections_total${labels}`]: 15,
      [`server_connect_seconds_count${labels}`]: 15,
      [`server_bytes_in_total${labels}`]: 15 * bytes,
      [`server_bytes_out_total${labels}`]: 15 * (bytes + 3),
      [`server_stick_entries${labels}`]: 3,
    });
  }
  for (const [sample, value] of Object.entries(expected))
    assert.equal(await berth.metric(`berth_${sample}`), value, sample);
});

test('the line of a connection has the fields it should have, and no other', async (t) => {
  const servers = await serve(t, ['s1']);
  const berth = await start(t, settings(servers));
  const client = new Client({ port: await berth.port(), from: '127.0.51.1' });
  await client.line();
  const { localPort } = client.socket;
  client.socket.write('in: 17 bytes long');
  await client.bytes(20);
  await client.finish();
  const [line] = await berth.connections(1);
  const { time, from, connectMs, durationMs, ...rest } = line ?? { msg: '', level: '' };
  assert.deepEqual(rest, {
    level: 'info',
    event: 'connection',
    msg: 'connection',
    frontend: 'f',
    backend: 'b',
    server: 's1',
    client: `127.0.51.1:${localPort}`,
    via: 'balanced',
    retries: 0,
    in: 17,
    out: 20,
    queueMs: 0,
    end: '--',
  });
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.match(String(from), /^127\.0\.0\.1:\d+$/);
  assert.ok(Number(connectMs) > 0 && Number(connectMs) <= Number(durationMs));
});

test('scrapers that never finish their request do not keep others from scraping for long', async (t) => {
  const berth = await start(t, settings(await serve(t, ['s1'])));
  const { address } = await berth.line(({ msg }) => msg === 'metrics listening');
  const port = Number(String(address).split(':')[1]);
  const slow = Array.from({ length: 40 }, () => createConnection(port, '127.0.0.1'));
  for (const socket of slow) {
    socket.on('error', () => {}).write('GET /metrics HTTP/1.1\r\n');
    t.after(() => socket.destroy());
  }
  await eventually('a scrape to get through', async () =>
    berth.get('/healthz').then(
      ({ status }) => status === 200,
      () => undefined,
    ),
  );
});

test('clients that ask again and again and never read an answer do not silence the address', async (t) => {
  const berth = await start(t, settings([1], { healthCheck: false }));
  const { address } = await berth.line(({ msg }) => msg === 'metrics listening');
  const port = Number(/\d+$/.exec(String(address))?.[0]);
  const question = 'GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n';
  const deaf = Array.from({ length: 16 }, () => createConnection({ port, host: '127.0.0.1' }));
  t.after(() => deaf.forEach((socket) => socket.destroy()));
  for (const socket of deaf) {
    socket.on('error', () => {}).pause();
    await once(socket, 'connect');
    socket.write(question.repeat(400));
  }
  const healthy = await eventually('an answer', () => berth.get('/healthz').catch(() => undefined));
  assert.deepEqual(healthy, { status: 200, text: 'ok\n' });
});

test('silent connections of one client take neither the metrics nor the admin address away from anybody', async (t) => {
  const berth = await start(t, settings([], { healthCheck: false, servers: { s1: '127.0.0.1:1' } }));
  for (const what of ['metrics', 'admin']) {
    const { address } = await berth.line(({ msg }) => msg === `${what} listening`);
    const port = Number(String(address).replace(/^.*:/, ''));
    for (let round = 0; round < 5; round++) {
      // As many as had all places before, and again as soon as they are closed.
      const silent = Array.from({ length: 16 }, () =>
        createConnection({ port, host: '127.0.0.1', localAddress: '127.0.0.9' }),
      );
      t.after(() => silent.forEach((socket) => socket.destroy()));
      await Promise.all(
        silent.map((socket) =>
          once(
            socket.on('error', () => {}),
            'connect',
          ),
        ),
      );
      const path = what === 'metrics' ? '/healthz' : '/api/v1/status';
      assert.equal((await askAt(String(address), 'GET', path)).status, 200);
    }
  }
});

test('a start says that everybody can read the metrics, where that is so', async (t) => {
  const said = async (bind: string): Promise<boolean> => {
    const berth = await start(t, settings(['127.0.0.1:1'], { healthCheck: false }, { metrics: { bind } }));
    return berth.lines.some(({ msg }) => msg.startsWith('everybody who reaches this address can read the metrics'));
  };
  assert.deepEqual([await said('*:0'), await said('127.0.0.1:0')], [true, false]);
});

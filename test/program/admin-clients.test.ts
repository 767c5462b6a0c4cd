/** What the admin API says of clients, and does with them: bindings, connections, sessions, who was who. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { start, type Berth } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { api, command, reload, setState } from '../support/operator.ts';
import { whoServes } from '../support/people.ts';
import { refusing, serve } from '../support/servers.ts';
import { QUICK_CHECKS, settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

type Row = Readonly<Record<string, unknown>>;
type List = { readonly items: Row[]; readonly page: number; readonly total: number; readonly pages: number };

async function ask<T>(berth: Berth, path: string, method = 'GET', status = 200): Promise<T> {
  const answer = await api(berth, method, `/api/v1${path}`);
  assert.equal(answer.status, status, JSON.stringify(answer.body));
  return answer.body as T;
}
const list = (berth: Berth, path: string): Promise<List> => ask(berth, path);
const column = ({ items }: List, name: string): unknown[] => items.map((row) => row[name]);
const clientsIn = (all: List): string[] => column(all, 'client').map(String).toSorted();
/** The error of a request that is refused. */
const refusal = async (berth: Berth, path: string, method: string, status: number): Promise<string> =>
  (await ask<{ error: string }>(berth, path, method, status)).error;

/** Two servers, and clients 127.1.0.1, 127.1.0.2, … that have been there once, in turn. */
async function visited(t: TestContext, clients: number, more: object = {}): Promise<{ berth: Berth; port: number }> {
  const servers = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings(servers, { ...QUICK_CHECKS, ...more }));
  const port = await berth.port();
  for (let i = 1; i <= clients; i++) assert.equal(await whoServes(port, `127.1.0.${i}`), i % 2 === 1 ? 's1' : 's2');
  await berth.connections(clients);
  return { berth, port };
}

test('the table is told in pages, of all or of one backend, server or client', async (t) => {
  const { berth, port } = await visited(t, 5);
  const all = await list(berth, '/table');
  assert.deepEqual(
    clientsIn(all),
    [1, 2, 3, 4, 5].map((i) => `127.1.0.${i}`),
  );
  assert.deepEqual([all.page, all.total, all.pages], [1, 5, 1]);
  const pages = await Promise.all([1, 2, 3, 4].map((page) => list(berth, `/table?perPage=2&page=${page}`)));
  assert.deepEqual(
    pages.map(({ items }) => items.length),
    [2, 2, 1, 0],
  );
  assert.deepEqual(
    pages.flatMap((page) => column(page, 'client')),
    column(all, 'client'),
    'in one order',
  );
  assert.equal(pages[0]!.pages, 3);
  const ofServer = await list(berth, '/table?server=b/s2');
  assert.deepEqual([clientsIn(ofServer), ofServer.total], [['127.1.0.2', '127.1.0.4'], 2]);
  assert.deepEqual(clientsIn(await list(berth, '/table?backend=b&server=s2')), clientsIn(ofServer));
  const client = new Client({ port, from: '127.1.0.3' });
  await client.line();
  const [row] = (await list(berth, '/table?ip=127.1.0.3')).items;
  assert.deepEqual(row, {
    backend: 'b',
    client: '127.1.0.3',
    server: 's1',
    home: null,
    connections: 1,
    expiresMs: null,
    usable: true,
    by: null,
  });
  await client.finish();
  const away = await list(berth, '/table?ip=127.1.0.1/32&backend=b');
  assert.ok(Number(away.items[0]!['expiresMs']) > 1_000_000, JSON.stringify(away));
  assert.deepEqual((await list(berth, '/table?ip=127.9.9.9')).items, []);
});

test('a list refuses what it does not understand, with a hint', async (t) => {
  const { berth } = await visited(t, 0);
  for (const path of ['/table', '/connections', '/sessions']) {
    assert.match(await refusal(berth, `${path}?bakend=b`, 'GET', 400), /mean "backend"/);
    assert.match(await refusal(berth, `${path}?perPage=1001`, 'GET', 400), /perPage: .* from 1 to 1000/);
    assert.match(await refusal(berth, `${path}?backend=xyz`, 'GET', 404), /no backend xyz; there are b/);
    assert.match(
      await refusal(berth, `${path}?server=b/s9`, 'GET', 404),
      /no server s9 in b. Did you mean "s1"\? There are s1, s2/,
    );
    assert.match(await refusal(berth, `${path}?server=s1`, 'GET', 400), /server=BACKEND\/SERVER/);
    assert.match(await refusal(berth, `${path}?server=b/s1&backend=c`, 'GET', 400), /two backends/);
  }
  assert.match(await refusal(berth, '/table?sort=client', 'GET', 400), /^sort: expected connections, got "client"$/);
  assert.match(await refusal(berth, '/sessions?sort=', 'GET', 400), /^sort: expected moves, connections, /);
  for (const path of ['/connections?client=me', '/sessions?client=1.2.3', '/table?ip=me']) {
    assert.match(await refusal(berth, path, 'GET', 400), /expected an address/);
  }
});

test('a binding is taken away: its connections stay, and its next one is balanced afresh', async (t) => {
  const { berth, port } = await visited(t, 2);
  const client = new Client({ port, from: '127.1.0.1' });
  assert.equal(await client.line(), 's1');
  await setState(berth, 's1', 'drain');
  assert.deepEqual(await ask(berth, '/table?ip=127.1.0.1', 'DELETE'), { unbound: 1 });
  assert.deepEqual(await ask(berth, '/table?ip=127.1.0.1', 'DELETE'), { unbound: 0 });
  assert.deepEqual(column(await list(berth, '/table'), 'client'), ['127.1.0.2']);
  client.socket.write('still here');
  await client.bytes('s1\nstill here'.length);
  assert.equal(await whoServes(port, '127.1.0.1'), 's2');
  assert.deepEqual((await list(berth, '/table?ip=127.1.0.1')).items[0]!['connections'], 1);
  const line = await berth.line(({ event, path }) => event === 'operator' && String(path).includes('/table'));
  assert.deepEqual([line['method'], line['path']], ['DELETE', '/api/v1/table?ip=127.1.0.1']);
});

test('the bindings of a server, and all of a backend, are taken away; a call that names nothing is refused', async (t) => {
  const { berth } = await visited(t, 6);
  for (const path of ['/table', '/table?backend=b', '/table?all=true', '/table?ip=127.1.0.1&all=true&backend=b']) {
    assert.match(await refusal(berth, path, 'DELETE', 400), /expected ip=ADDRESS, server=BACKEND\/SERVER, or/, path);
  }
  assert.equal((await list(berth, '/table')).total, 6);
  assert.deepEqual(await ask(berth, '/table?server=b/s2', 'DELETE'), { unbound: 3 });
  assert.deepEqual(new Set(column(await list(berth, '/table'), 'server')), new Set(['s1']));
  assert.deepEqual(await ask(berth, '/table?backend=b&all=true', 'DELETE'), { unbound: 3 });
  const { items, total, pages } = await list(berth, '/table');
  assert.deepEqual([items, total, pages], [[], 0, 0]);
});

test('connections are listed as they stand, and one of them is ended by its number', async (t) => {
  const { berth, port } = await visited(t, 0);
  const [first, second] = [1, 2].map((i) => new Client({ port, from: `127.1.0.${i}` }));
  for (const client of [first!, second!]) await client.line();
  first!.socket.write('12345');
  await first!.bytes(8);
  const all = await list(berth, '/connections');
  assert.deepEqual([all.total, column(all, 'server')], [2, ['s1', 's2']]);
  const { id, from, ageMs, idleMs, bytesInPerSecond, bytesOutPerSecond, ...rest } = all.items[0]!;
  assert.deepEqual(rest, {
    frontend: 'f',
    backend: 'b',
    server: 's1',
    client: `127.1.0.1:${first!.socket.localPort}`,
    sni: null,
    phase: 'data',
    bytesIn: 5,
    bytesOut: 8,
  });
  assert.match(String(from), /^127\.0\.0\.1:\d+$/);
  for (const number of [ageMs, idleMs, bytesInPerSecond, bytesOutPerSecond]) assert.ok(Number(number) >= 0);
  for (const filter of ['client=127.1.0.2', `client=127.1.0.2:${second!.socket.localPort}`, 'server=b/s2']) {
    assert.deepEqual(column(await list(berth, `/connections?${filter}`), 'server'), ['s2'], filter);
  }
  assert.deepEqual(column(await list(berth, '/connections?backend=b&perPage=1&page=2'), 'server'), ['s2']);
  assert.deepEqual(await ask(berth, `/connections/${String(id)}`, 'DELETE'), { ended: 1 });
  await first!.ended;
  const [line] = await berth.connections(1);
  assert.deepEqual([line!['client'], line!['end']], [rest['client'], 'KD']);
  for (const gone of [String(id), '0', 'x', `0${String(Number(id) + 1)}`]) {
    assert.match(await refusal(berth, `/connections/${gone}`, 'DELETE', 404), /no such connection/);
  }
  assert.equal((await list(berth, '/connections')).total, 1);
  assert.equal(await berth.metric('berth_backend_connections_ended_total{backend="b",end="KD"}'), 1);
});

test('the connections of a server, and those of a client, are ended', async (t) => {
  const { berth, port } = await visited(t, 0);
  const clients = [1, 2, 1, 2, 3].map((i) => new Client({ port, from: `127.1.0.${i}` }));
  for (const client of clients) await client.line();
  for (const path of ['/connections', '/connections?backend=b']) {
    assert.match(await refusal(berth, path, 'DELETE', 400), /expected server=BACKEND\/SERVER or client=ADDRESS/);
  }
  assert.deepEqual(await ask(berth, '/connections?server=b/s2', 'DELETE'), { ended: 2 });
  await Promise.all([clients[1]!.ended, clients[3]!.ended]);
  assert.deepEqual(await ask(berth, '/connections?client=127.1.0.1&backend=b', 'DELETE'), { ended: 2 });
  await Promise.all([clients[0]!.ended, clients[2]!.ended]);
  assert.deepEqual(
    (await berth.connections(4)).map(({ end }) => end),
    ['KD', 'KD', 'KD', 'KD'],
  );
  clients[4]!.socket.write('!');
  await clients[4]!.bytes(4);
});

test('a connection says where it is: in its first bytes, in a queue, at a server that does not answer', async (t) => {
  const servers = await serve(t, ['s1']);
  const limited = { s1: { address: servers[0]!.address, maxConnections: 1 } };
  const berth = await start(
    t,
    settings([], { ...QUICK_CHECKS, servers: limited }, { timeouts: { queue: '1m' } }, { waitForClient: true }),
  );
  const port = await berth.port();
  const [served, waiting, silent] = [1, 2, 3].map((i) => new Client({ port, from: `127.1.0.${i}` }));
  served!.socket.write('a');
  await served!.line();
  waiting!.socket.write('bc');
  const phases = (): Promise<unknown[]> => list(berth, '/connections').then((all) => column(all, 'phase'));
  await eventually('one waits', async () => (await phases()).includes('queue'));
  const rows = (await list(berth, '/connections')).items;
  assert.deepEqual(
    rows.map(({ phase, server, backend, bytesIn, from }) => [phase, server, backend, bytesIn, from === null]),
    [
      ['data', 's1', 'b', 1, false],
      ['queue', null, 'b', 2, true],
      ['preface', null, null, 0, true],
    ],
  );
  assert.deepEqual((await ask<{ backends: Row[] }>(berth, '/explain?ip=127.1.0.2')).backends[0]!['waiting'], 1);
  assert.deepEqual(await ask(berth, '/connections?client=127.1.0.2', 'DELETE'), { ended: 1 });
  await waiting!.ended;
  assert.equal((await berth.connections(1))[0]!['end'], 'KQ');
  silent!.socket.destroy();
});

test('a client has one session over all its connections, in the list and in the log', async (t) => {
  const { berth, port } = await visited(t, 0);
  const push = [1, 2, 3].map(() => new Client({ port, from: '127.1.0.1' }));
  for (const client of push) {
    await client.line();
    client.socket.write(Buffer.alloc(100_000));
    await client.bytes(100_003);
  }
  assert.equal(await whoServes(port, '127.1.0.2'), 's2');
  const [busy] = await eventually('what the connections have moved is counted', async () => {
    const { items } = await list(berth, '/sessions');
    return items[0]!['bytesIn'] === 300_000 && items;
  });
  const { since, quietMs, bytesInPerSecond, bytesOutPerSecond, ...rest } = busy!;
  assert.deepEqual(rest, {
    client: '127.1.0.1',
    backend: 'b',
    server: 's1',
    moves: 0,
    direction: 'pull',
    connections: 3,
    connectionsTotal: 3,
    bytesIn: 300_000,
    bytesOut: 300_009,
  });
  assert.ok(Number(bytesInPerSecond) > 0 && Number(bytesOutPerSecond) > 0 && Number(quietMs) < 60_000);
  assert.ok(Date.now() - Date.parse(String(since)) < 600_000);
  assert.deepEqual(column(await list(berth, '/sessions?client=127.1.0.2'), 'direction'), ['pull']);
  assert.equal((await list(berth, '/sessions?server=b/s2')).total, 1);
  for (const client of push) await client.finish();
  await berth.connections(4);
  berth.signal('SIGTERM');
  await berth.exited;
  const ended = berth.lines.filter(({ event }) => event === 'session');
  assert.deepEqual(
    ended.map(({ client, server, direction, connections, in: bytesIn, out }) =>
      [client, server, direction, connections, bytesIn, out].join(' '),
    ),
    ['127.1.0.2 s2 pull 1 4 7', '127.1.0.1 s1 pull 3 300000 300009'],
  );
});

test('log.connections says what has a line: connections and sessions, sessions alone, or neither', async (t) => {
  const servers = await serve(t, ['s1']);
  const file = (connections: unknown): ReturnType<typeof settings> =>
    settings(servers, QUICK_CHECKS, { log: { connections } });
  for (const [connections, expected] of [
    [true, ['connection', 'connection', 'session']],
    ['sessions', ['session']],
    [false, []],
  ] as const) {
    const berth = await start(t, file(connections));
    const port = await berth.port();
    await whoServes(port);
    await whoServes(port);
    await eventually('the connections have ended', async () => (await list(berth, '/connections')).total === 0);
    berth.signal('SIGTERM');
    await berth.exited;
    const told = berth.lines.filter(({ event }) => event === 'connection' || event === 'session');
    assert.deepEqual(
      told.map(({ event }) => event),
      expected,
    );
  }
  const berth = await start(t, file(true));
  await reload(berth, file('sessions'));
  await whoServes(await berth.port());
  await eventually('the connection has ended', async () => (await list(berth, '/connections')).total === 0);
  berth.signal('SIGTERM');
  await berth.exited;
  assert.equal(
    berth.lines.some(({ event }) => event === 'connection'),
    false,
    'from the reload on',
  );
  const { code, err, out } = await command('check', '-c', berth.file);
  assert.notEqual(code, 0, `${err}${out}`);
});

test('who was it? is answered for the address that a server saw, while it stands and afterwards', async (t) => {
  const { berth, port } = await visited(t, 0);
  const client = new Client({ port, from: '127.1.0.7' });
  await client.line();
  const from = String((await list(berth, '/connections')).items[0]!['from']);
  const who = `127.1.0.7:${client.socket.localPort}`;
  const { since, ...open } = await ask<Row>(berth, `/whois?from=${from}`);
  const where = { client: who, frontend: 'f', backend: 'b', server: 's1' };
  assert.deepEqual(open, { from, found: true, open: true, ...where, endedAt: null, end: null, others: [] });
  await client.finish();
  await berth.connections(1);
  const { endedAt, since: sinceThen, ...ended } = await ask<Row>(berth, `/whois?from=${from}&server=b/s1`);
  assert.deepEqual(ended, { from, found: true, open: false, ...where, end: '--', others: [] });
  assert.ok(Math.abs(Date.parse(String(since)) - Date.parse(String(sinceThen))) <= 2_000);
  assert.ok(Date.parse(String(endedAt)) >= Date.parse(String(sinceThen)));
  assert.match(await refusal(berth, `/whois?from=${from}&server=b/s2`, 'GET', 404), /none of the open connections/);
  assert.match(await refusal(berth, '/whois?from=127.0.0.1:1', 'GET', 404), /none of the last 10000/);
  for (const wrong of ['', '127.0.0.1', 'localhost:1', '127.0.0.1:x']) {
    assert.match(await refusal(berth, `/whois?from=${wrong}`, 'GET', 400), /expected IP:PORT/);
  }
});

test('explain tells of the last moves, with their reasons, and where a client would go', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings(servers, { ...QUICK_CHECKS, stickTable: { failback: 'return' } }));
  const port = await berth.port();
  const of = async (ip: string): Promise<Row> =>
    (await ask<{ backends: Row[] }>(berth, `/explain?ip=${ip}`)).backends[0]!;
  const next = (await of('127.1.0.1'))['wouldGo'];
  assert.equal(await whoServes(port, '127.1.0.1'), next);
  assert.equal(next, 's1');
  await setState(berth, 's1', 'maint');
  assert.equal((await of('127.1.0.1'))['wouldGo'], 's2');
  assert.equal(await whoServes(port, '127.1.0.1'), 's2');
  const away = await of('127.1.0.1');
  assert.deepEqual([away['home'], away['server']], ['s1', 's2']);
  await setState(berth, 's1', 'ready');
  assert.equal(await whoServes(port, '127.1.0.1'), 's1');
  const { moves, home, wouldGo } = await of('127.1.0.1');
  assert.deepEqual(
    (moves as Row[]).map(({ from, to, reason }) => [from, to, reason]),
    [
      ['s2', 's1', 'it goes back to its first server'],
      ['s1', 's2', 's1 is in maint'],
    ],
  );
  assert.ok((moves as Row[]).every(({ at }) => Date.now() - Date.parse(String(at)) < 600_000));
  assert.deepEqual([home, wouldGo], [null, 's1']);
});

test('explain tells why a client was moved from a server that refused it', async (t) => {
  const [s1] = await serve(t, ['s1']);
  const dead = await refusing();
  const named = { a1: dead, s1: s1!.address };
  const berth = await start(t, settings([], { healthCheck: false, servers: named }));
  assert.equal(await whoServes(await berth.port(), '127.1.0.1'), 's1');
  const { backends } = await ask<{ backends: Row[] }>(berth, '/explain?ip=127.1.0.1');
  const [move] = backends[0]!['moves'] as Row[];
  assert.deepEqual([move?.['from'], move?.['to']], ['a1', 's1']);
  assert.match(String(move?.['reason']), /^a connection to a1 failed/);
});

test('explain tells whether each frontend would let the client in, and why not', async (t) => {
  const servers = await serve(t, ['s1']);
  const base = settings(servers, QUICK_CHECKS);
  const frontend = (more: object): object => ({ bind: '127.0.0.1:0', backend: 'b', ...more });
  const frontends = {
    f: frontend({}),
    denied: frontend({ deny: ['127.1.0.0/24'] }),
    listed: frontend({ allow: ['127.2.0.0/16'] }),
    few: frontend({ perSource: { connections: 1 } }),
    slow: frontend({ perSource: { rate: '1/1h' } }),
    full: frontend({ maxConnections: 1 }),
    proxied: frontend({ acceptProxy: ['127.1.0.1'] }),
  };
  const berth = await start(t, { ...base, frontends });
  const held = await Promise.all(
    ['few', 'slow', 'full'].map(async (name) => new Client({ port: await berth.port(name), from: '127.1.0.1' })),
  );
  for (const client of held) await client.line();
  const says = async (ip: string): Promise<Record<string, [unknown, string]>> => {
    const { frontends: all } = await ask<{ frontends: Row[] }>(berth, `/explain?ip=${ip}`);
    return Object.fromEntries(all.map(({ name, admitted, why }) => [String(name), [admitted, String(why)]]));
  };
  const first = await says('127.1.0.1');
  assert.deepEqual(
    Object.entries(first).flatMap(([name, [admitted]]) => (admitted === true ? [name] : [])),
    ['f', 'proxied'],
  );
  assert.match(first['denied']![1], /deny/);
  assert.match(first['listed']![1], /allow/);
  assert.match(first['few']![1], /perSource\.connections/);
  assert.match(first['slow']![1], /perSource\.rate/);
  assert.match(first['full']![1], /maxConnections/);
  assert.match(first['proxied']![1], /acceptProxy/);
  assert.deepEqual(await says('127.1.0.1'), first, 'to ask counts nothing');
  const other = await says('127.2.0.1');
  assert.deepEqual(
    Object.entries(other).flatMap(([name, [admitted]]) => (admitted === true ? [] : [name])),
    ['full'],
  );
});

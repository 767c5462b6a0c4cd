/** What comes while a start is under way: connections to sockets that are open already, and signals. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Berth } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { NO_DNS, resolver } from '../support/dns.ts';
import { folderOf } from '../support/files.ts';
import { status } from '../support/operator.ts';
import { preload } from '../support/preload.ts';
import { serve } from '../support/servers.ts';
import { settings, type Settings, yaml } from '../support/settings.ts';
import { eventually, within } from '../support/waiting.ts';

/** Gives its descriptors to the program as systemd does (sd_listen_fds(3)); the program has the same pid. */
const ACTIVATES = 'LISTEN_PID=$$ exec "$@"';
/** The same, but the first run, when it ends, is followed by another with the file `$NEXT` and the same sockets. */
const ACTIVATES_TWICE = `sh -c '${ACTIVATES}' sh "$@"; cp "$NEXT" "$FILE"; ${ACTIVATES}`;

/** A listening socket, closed here as soon as somebody else has it. */
async function socketToGive(): Promise<{ listener: Server; port: number; descriptor: number }> {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { _handle } = listener as unknown as { _handle: { fd: number } };
  return { listener, port: (listener.address() as AddressInfo).port, descriptor: _handle.fd };
}

type Activated = { readonly berth: Berth; readonly port: number };

/** A balancer whose frontend `f` is given a socket; nobody waits for it to start. */
async function activated(
  t: TestContext,
  file: Settings,
  through: readonly string[],
  next?: Settings,
): Promise<Activated> {
  const { listener, port, descriptor } = await socketToGive();
  const [path, nextPath] = [join(folderOf(t), 'balancer.yml'), join(folderOf(t), 'next.yml')];
  if (next) writeFileSync(nextPath, yaml(next));
  const berth = new Berth(file, {
    through: [...through, 'sh', '-c', next ? ACTIVATES_TWICE : ACTIVATES, 'sh'],
    descriptors: [descriptor],
    env: { LISTEN_FDS: '1', NEXT: nextPath, FILE: path },
    file: path,
  });
  t.after(() => berth.stop());
  listener.close();
  return { berth, port };
}

/** Clients whose connections the kernel has established. */
async function arrive(t: TestContext, port: number, count: number): Promise<Client[]> {
  const clients = Array.from({ length: count }, () => new Client({ port }));
  t.after(() => clients.forEach(({ socket }) => socket.destroy()));
  await Promise.all(clients.map(({ socket }) => once(socket, 'connect')));
  return clients;
}

/** Who serves each client, or how its connection has ended. */
function outcomes(clients: readonly Client[]): Promise<string[]> {
  const outcome = (client: Client): Promise<string> =>
    Promise.race([client.line().catch(() => client.ended), client.ended.then((how) => how)]);
  return within(Promise.all(clients.map(outcome)), 'every client to be served or closed');
}

/** `settings` with a frontend `g` besides, whose bind is a name: a start waits for its address. */
const withSlowBind = (plain: Settings): Settings => ({
  ...plain,
  frontends: { ...plain.frontends, g: { bind: 'slow.test:0', backend: 'b' } },
});

test(
  'clients that come to an inherited socket before the start or during it are served after it',
  { skip: NO_DNS },
  async (t) => {
    const { dns, through } = await resolver(t);
    dns.addresses('slow.test', '127.0.0.1');
    dns.hold('A slow.test');
    const { berth, port } = await activated(t, withSlowBind(settings(await serve(t, ['s1']))), through);
    const early = await arrive(t, port, 10);
    await dns.waits('A slow.test');
    const late = await arrive(t, port, 10);
    assert.ok(!berth.lines.some(({ msg }) => msg === 'started'), 'the start waits for the name');
    dns.release('A slow.test');
    await berth.line(({ msg }) => msg === 'started');
    const all = [...early, ...late];
    assert.deepEqual(
      await outcomes(all),
      all.map(() => 's1'),
    );
    assert.deepEqual(await berth.metric('berth_frontend_connections_total{frontend="f"}'), all.length);
    assert.deepEqual(await berth.metric('berth_frontend_connections{frontend="f"}'), all.length);
    for (const client of all) {
      client.socket.write('hello');
      assert.equal((await client.bytes('s1\nhello'.length)).toString(), 's1\nhello');
      assert.equal(await client.finish(), 'end');
    }
  },
);

test(
  'clients that come to an inherited socket are not left hanging by a start that fails',
  { skip: NO_DNS },
  async (t) => {
    const { dns, through } = await resolver(t);
    dns.hold('A slow.test');
    const { berth, port } = await activated(t, withSlowBind(settings(await serve(t, ['s1']))), through);
    const early = await arrive(t, port, 10);
    await dns.waits('A slow.test');
    const late = await arrive(t, port, 10);
    dns.release('A slow.test');
    assert.equal(await berth.exitCode(), 1);
    assert.match(
      berth.stderr,
      /cannot listen on slow\.test:0 \(frontend g\): that name does not resolve: the name does not exist/,
    );
    const all = [...early, ...late];
    assert.deepEqual(
      (await outcomes(all)).filter((how) => how !== 'end' && how !== 'reset'),
      [],
    );
  },
);

test(
  'where the socket of a start that fails is kept, the next start serves who has not been closed',
  { skip: NO_DNS },
  async (t) => {
    const { dns, through } = await resolver(t);
    dns.hold('A slow.test');
    const plain = settings(await serve(t, ['s1']));
    const { berth, port } = await activated(t, withSlowBind(plain), through, plain);
    const early = await arrive(t, port, 10);
    await dns.waits('A slow.test');
    const late = await arrive(t, port, 10);
    dns.release('A slow.test');
    await berth.line(({ level }) => level === 'fatal');
    await berth.line(({ msg }) => msg === 'started');
    const all = await outcomes([...early, ...late]);
    assert.deepEqual(
      all.filter((how) => !['s1', 'end', 'reset'].includes(how)),
      [],
    );
    t.diagnostic(`${all.filter((how) => how === 's1').length} of ${all.length} were served by the next start`);
    const [last] = await arrive(t, port, 1);
    assert.equal(await last!.line(), 's1');
  },
);

/** Sends the program SIGHUP as soon as it listens to SIGHUP: at any moment before, SIGHUP ends the process. */
const EARLY_SIGHUP = `
  process.on('newListener', (name) => {
    if (name === 'SIGHUP') setImmediate(() => process.kill(process.pid, 'SIGHUP'));
  });`;

test('SIGHUP that comes as soon as the program can hear it is answered after the start', async (t) => {
  const berth = new Berth(settings(await serve(t, ['s1'])), {
    env: preload(EARLY_SIGHUP),
  });
  t.after(() => berth.stop());
  await answered(berth);
});

test(
  'SIGHUP that comes while a start waits is answered after it, by the file as it is then',
  { skip: NO_DNS },
  async (t) => {
    const { dns, through } = await resolver(t);
    dns.addresses('slow.test', '127.0.0.1');
    dns.hold('A slow.test');
    const servers = await serve(t, ['s1']);
    const berth = new Berth(withSlowBind(settings(servers)), { through });
    t.after(() => berth.stop());
    await dns.waits('A slow.test');
    writeFileSync(
      berth.file,
      yaml({ ...settings(servers), frontends: { other: { bind: '127.0.0.1:0', backend: 'b' } } }),
    );
    berth.signal('SIGHUP');
    dns.release('A slow.test');
    await answered(berth);
    assert.equal(berth.lines.findLast(({ msg }) => msg.startsWith('reload'))?.msg, 'reloaded');
    // A frontend that has left stands there until its listener has taken its backlog.
    const frontends = async () => (await status(berth)).frontends.map(({ name }) => name).join();
    await eventually('the new file alone to count', async () => (await frontends()) === 'other');
  },
);

/** The start is over, and after it the log says what has become of a reload. */
async function answered(berth: Berth): Promise<void> {
  await berth.line(({ msg }) => msg === 'started');
  const started = berth.lines.findIndex(({ msg }) => msg === 'started');
  await berth.line(({ msg }) => msg === 'reloaded' || msg.startsWith('reload failed'), started);
}

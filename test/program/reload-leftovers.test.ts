/** What a reload must not leave behind: connections that nobody owns, series of what is not there, dead listeners. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { type Berth, start } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { NO_DNS, resolver } from '../support/dns.ts';
import { openFilesOf } from '../support/files.ts';
import { arrive, freeBind, insightOf, noSeriesOf, seriesOf, WITH_INSIGHT } from '../support/leftovers.ts';
import { explain, reload, standing, status } from '../support/operator.ts';
import { whoServes } from '../support/people.ts';
import { type Frozen, frozen, serve } from '../support/servers.ts';
import { settings, type Settings, yaml } from '../support/settings.ts';
import { eventually, within } from '../support/waiting.ts';

const FAILED = 'reload failed; the old configuration stays in force';
const portOf = (address = ''): number => Number(address.split(':').at(-1));
const hostOf = (address = ''): string => address.replace(/:\d+$/, '');

test(
  'clients that come to a bind that a failing reload has opened are closed, and nothing of them is left',
  { skip: NO_DNS },
  async (t) => {
    const { dns, through } = await resolver(t);
    dns.hold('A slow.test');
    const [s1] = await serve(t, ['s1']);
    const plain = settings([s1!], { healthCheck: false });
    const berth = await start(t, plain, { through });
    const inside = new Client({ port: await berth.port() });
    await inside.line();
    const [before, files] = [await standing(berth), openFilesOf(berth.pid)];

    const added = await freeBind('127.0.9.1');
    const frontends = {
      ...plain.frontends,
      f: { bind: ['127.0.0.1:0', '127.0.0.2:0'], backend: 'b' },
      g: { bind: added, backend: 'b' },
      h: { bind: 'slow.test:0', backend: 'b' },
    };
    writeFileSync(berth.file, yaml({ ...plain, frontends }));
    const seen = berth.lines.length;
    berth.signal('SIGHUP');
    await dns.waits('A slow.test');
    const guests = await Promise.all(Array.from({ length: 10 }, () => arrive(t, added)));
    for (const guest of guests) guest.socket.write('is anybody there?');
    // The name does not exist, so the reload fails.
    dns.release('A slow.test');
    assert.equal((await berth.line(({ msg }) => msg.startsWith('reload'), seen)).msg, FAILED);

    await within(Promise.all(guests.map(({ ended }) => ended)), 'the guests to be closed');
    assert.deepEqual(
      guests.map(({ received }) => received.toString()),
      guests.map(() => ''),
      'nobody has served them',
    );
    assert.equal(s1!.accepted, 1, 'the server has seen nobody but the client inside');
    await eventually('the descriptors of before', () => openFilesOf(berth.pid) <= files);
    assert.deepEqual(await standing(berth), before);
    assert.equal(await berth.metric('berth_frontend_connections{frontend="f"}'), 1);
    assert.deepEqual([...(await seriesOf(berth, 'g')), ...(await seriesOf(berth, 'h'))], []);
    inside.socket.write('still here');
    await inside.bytes('s1\nstill here'.length);
    assert.equal(await new Client({ port: portOf(added), host: hostOf(added) }).ended, 'refused');
  },
);

test('a failed reload leaves no series of what it named', { skip: NO_DNS }, async (t) => {
  const { dns, through } = await resolver(t);
  dns.hold('A slow.test');
  const [s1, s2, s3] = await serve(t, ['s1', 's2', 's3']);
  const plain = settings([s1!], { servers: { s1: s1!.address, leaves: s2!.address } });
  const berth = await start(t, plain, { through });
  for (const server of ['s1', 'leaves']) {
    await berth.metricIs(`berth_server_checks_total{backend="b",server="${server}",result="passed"}`, (n) => n > 0);
  }
  const namesOf = async (): Promise<string[]> =>
    (await berth.get('/metrics')).text.match(/^berth_\w+(\{.*\})?/gm) ?? [];
  const before = await namesOf();
  const more = {
    ...plain,
    frontends: { ...plain.frontends, fresh: { bind: ['127.0.0.1:0', 'slow.test:0'], backend: 'new' } },
    backends: {
      b: { servers: { s1: s1!.address, comes: s2!.address } },
      new: { servers: { first: s2!.address, second: s3!.address }, healthCheck: { interval: '20ms' } },
    },
  };
  writeFileSync(berth.file, yaml(more));
  const seen = berth.lines.length;
  berth.signal('SIGHUP');
  await dns.waits('A slow.test');
  dns.release('A slow.test');
  assert.equal((await berth.line(({ msg }) => msg.startsWith('reload'), seen)).msg, FAILED);
  const after = await namesOf();
  assert.deepEqual(
    after.filter((name) => !before.includes(name)),
    [],
  );
  assert.deepEqual(
    before.filter((name) => !after.includes(name)),
    [],
  );
  await noSeriesOf(berth, 'fresh', 'new', 'first', 'second', 'comes');
});

test('a good reload leaves no series of what it removed, though connections stand and end after it', async (t) => {
  const [s1, s2, s3, s4] = await serve(t, ['s1', 's2', 's3', 's4']);
  const plain = settings([s1!]);
  const more: Settings = {
    ...plain,
    frontends: {
      ...plain.frontends,
      leaving: { bind: '127.0.0.2:0', backend: 'gone' },
      deserted: { bind: '127.0.0.3:0', backend: 'unused' },
    },
    backends: {
      b: { servers: { leaver: s2!.address, s1: s1!.address } },
      gone: { servers: { third: s3!.address } },
      unused: { servers: { fourth: s4!.address } },
    },
  };
  const berth = await start(t, more);
  const port = await berth.port();
  const place = async (frontend: string): Promise<Client> => {
    const [address] = await berth.addresses(frontend);
    const client = new Client({ port: portOf(address), host: hostOf(address), from: '127.0.7.1' });
    await client.line();
    return client;
  };
  const visitors = [await place('f'), await place('leaving'), await place('leaving')];
  assert.equal(visitors[0]!.received.toString(), 's2\n');
  assert.equal((await reload(berth, plain)).msg, 'reloaded');
  assert.deepEqual(
    (await Promise.all(['deserted', 'unused', 'fourth'].map((name) => seriesOf(berth, name)))).flat(),
    [],
    'where no connection stands, at once',
  );

  visitors[1]!.socket.resetAndDestroy();
  for (const client of [visitors[0]!, visitors[2]!]) {
    client.socket.write('still here');
    await client.bytes('s2\nstill here'.length);
    assert.equal(await client.finish(), 'end');
  }
  await berth.connections(3);
  await noSeriesOf(berth, 'leaving', 'deserted', 'gone', 'unused', 'leaver', 'third', 'fourth');
  assert.equal(await whoServes(port, '127.0.7.1'), 's1');
  await berth.connections(4);
  await noSeriesOf(berth, 'leaving', 'deserted', 'gone', 'unused', 'leaver', 'third', 'fourth');
});

for (const [what, happens] of [
  ['is answered', ({ thaw }: Frozen) => thaw()],
  ['is refused', ({ end }: Frozen) => end()],
] as const) {
  test(`a connect to a removed server that ${what} after the reload brings back no series`, async (t) => {
    const [s1] = await serve(t, ['s1']);
    const slow = await frozen(t);
    const quiet = { healthCheck: false };
    const rest = { timeouts: { connect: '1h' } };
    const plain = settings([s1!], quiet, rest);
    const berth = await start(t, settings([{ name: 'slow', address: slow.address }, s1!], quiet, rest));
    const client = new Client({ port: await berth.port(), from: '127.0.7.1' });
    client.socket.write('hello');
    await eventually(
      'the client to wait for the frozen server',
      async () => (await explain(berth, '127.0.7.1')).server === 'slow',
    );
    assert.equal((await reload(berth, plain)).msg, 'reloaded');
    happens(slow);
    const name = await client.line();
    assert.ok(['frozen', 's1'].includes(name), name);
    assert.equal((await client.bytes(`${name}\nhello`.length)).toString(), `${name}\nhello`);
    await noSeriesOf(berth, 'slow');
    await client.finish();
    await berth.connections(1);
    await noSeriesOf(berth, 'slow');
  });
}

/** Puts `bind` into force as the only bind of `f`, and lets clients be served there. */
async function moveTo(berth: Berth, plain: Settings, bind: string): Promise<void> {
  const frontends = { f: { bind: ['127.0.0.1:0', bind], backend: 'b' } };
  assert.equal((await reload(berth, { ...plain, frontends })).msg, 'reloaded');
  const [stays, moved] = (await status(berth)).frontends[0]!.addresses;
  for (const address of [moved, stays]) {
    for (let i = 0; i < 3; i++) assert.equal(await whoServes(portOf(address), '127.0.0.1', hostOf(address)), 's1');
  }
}

test('20 reloads that move a bind leave no dead listener on the heap', async (t) => {
  const plain = settings(await serve(t, ['s1']), { healthCheck: false }, { log: { connections: false } });
  const berth = await start(t, plain, { env: WITH_INSIGHT });
  for (const bind of ['127.0.0.2:0', '127.0.0.3:0']) await moveTo(berth, plain, bind);
  const alive = async (): Promise<number> => (await insightOf(berth)).listeners;
  // What the last reload has replaced may still be on its way out.
  const [before, files] = [await alive(), openFilesOf(berth.pid)];
  for (let i = 0; i < 20; i++) await moveTo(berth, plain, `127.0.0.${2 + (i % 2)}:0`);
  let seen = NaN;
  await eventually(
    () => `as few listeners on the heap as before: ${seen}, not ${before}`,
    async () => (seen = await alive()) <= before,
  );
  await eventually('the descriptors of before', () => openFilesOf(berth.pid) <= files);
});

test('what has left and is remembered keeps no listener of the reload by which it left', async (t) => {
  const plain = settings(await serve(t, ['s1']), { healthCheck: false });
  const berth = await start(t, plain, { env: WITH_INSIGHT });
  const alive = async (): Promise<number> => (await insightOf(berth)).listeners;
  const before = await alive();
  // A server by its address, by its name, and as an answer of DNS; localhost is known without a nameserver.
  for (const address of ['127.0.9.1:5000', 'localhost:5000', 'dns:localhost:5000']) {
    const name = address.replace(/\W/g, '-');
    const frontends = { ...plain.frontends, [name]: { bind: '127.0.9.2:0', backend: name } };
    const backends = { ...plain.backends, [name]: { servers: { s: address }, healthCheck: false } };
    for (const next of [{ ...plain, frontends, backends }, plain]) {
      assert.equal((await reload(berth, next)).msg, 'reloaded');
    }
    let seen = NaN;
    await eventually(
      () => `as few listeners on the heap as before ${address} left: ${seen}, not ${before}`,
      async () => (seen = await alive()) <= before,
    );
  }
});

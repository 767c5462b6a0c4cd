/** Every listening socket of the process: what a plan opens, what a commit gives and leaves, what a rollback leaves. */
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { parseBind, type Bind } from '../../../src/config/values.ts';
import { StartError } from '../../../src/errors.ts';
import { bindFault } from '../../../src/listeners/bind.ts';
import { Listeners } from '../../../src/listeners/listeners.ts';
import type { Owner, Parking, Site } from '../../../src/listeners/site.ts';
import { NODE_SHARES_PORTS } from '../../support/able.ts';
import { folderOf, openFilesOf } from '../../support/files.ts';
import { closedPort } from '../../support/listening.ts';
import { Peer } from '../../support/peer.ts';
import { eventually } from '../../support/waiting.ts';

/** Places for as many parked connections as `most`. */
class Places implements Parking {
  taken = 0;
  readonly #most: number;

  constructor(most = 100) {
    this.#most = most;
  }

  enter(): boolean {
    if (this.taken >= this.#most) return false;
    this.taken++;
    return true;
  }

  leave(): void {
    this.taken--;
  }
}

const frontend = (name: string): Owner => ({ kind: 'frontend', name });

function bind(text: string): Bind {
  const parsed = parseBind(text);
  assert.ok(parsed);
  return parsed;
}

/** Listeners whose owners note the ports of the clients that they are given. */
class Stage {
  /** What the listeners have told of binds that could not be had in the commit. */
  readonly told: string[] = [];
  readonly listeners = new Listeners({
    listenFailed: ({ message }) => void this.told.push(message),
    listensAtLast: ({ name }, address) => void this.told.push(`${name} at last on ${address}`),
  });
  /** By owner: the ports of its clients, in the order in which it was given them. */
  readonly taken = new Map<string, number[]>();
  readonly #sockets: Socket[] = [];
  readonly #clients: Peer[] = [];
  readonly #before = { files: openFilesOf(process.pid), servers: listening() };

  constructor(t: TestContext) {
    t.after(async () => {
      this.listeners.close();
      for (const socket of this.#sockets) socket.destroy();
      for (const { socket } of this.#clients) socket.destroy();
      const { files, servers } = this.#before;
      await eventually(
        () => `${files} descriptors and ${servers} listeners, not ${openFilesOf(process.pid)} and ${listening()}`,
        () => openFilesOf(process.pid) <= files && listening() <= servers,
      );
    });
  }

  place(owner: Owner, text: string, optional = false): Site {
    const take = (socket: Socket, unix: boolean): void => {
      this.#sockets.push(socket.on('error', () => {}));
      const own = this.taken.get(owner.name) ?? [];
      this.taken.set(owner.name, [...own, unix ? 0 : (socket.remotePort ?? -1)]);
    };
    return { owner, bind: bind(text), take, optional };
  }

  async commit(...places: Site[]): Promise<void> {
    (await this.listeners.plan(places, new Places())).commit();
  }

  /** A client that has connected at an address as `opened` and `addressesOf` have it. */
  async client(address: string): Promise<Peer> {
    const host = /^127[\d.]+/.exec(address)?.[0] ?? '127.0.0.1';
    const at = address.startsWith('unix:') ? { path: address.slice(5) } : { host, port: portOf(address) };
    const socket = connect({ ...at, allowHalfOpen: true });
    const peer = new Peer(socket);
    this.#clients.push(peer);
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return peer;
  }

  portsOf(name: string): number[] {
    return this.taken.get(name) ?? [];
  }

  async takes(name: string, count: number): Promise<void> {
    await eventually(
      () => `${name} has ${this.portsOf(name).length} clients, not ${count}`,
      () => this.portsOf(name).length === count,
    );
  }
}

function portOf(address: string): number {
  return Number(address.replace(/^.*:/, ''));
}

/** How many TCP sockets of this process listen. */
function listening(): number {
  return process.getActiveResourcesInfo().filter((what) => what === 'TCPServerWrap').length;
}

/** Lets everything that has come be accepted. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await nextTurn();
}

async function refused(stage: Stage, address: string): Promise<boolean> {
  return stage.client(address).then(
    () => false,
    ({ code }: NodeJS.ErrnoException) => code === 'ECONNREFUSED' || code === 'ENOENT',
  );
}

describe('clients that come between the plan and its end', () => {
  test('are served after the commit, in the order in which they came', async (t) => {
    const stage = new Stage(t);
    const plan = await stage.listeners.plan([stage.place(frontend('f'), '127.0.0.1:0')], new Places());
    const [{ address } = { address: '' }] = plan.opened;
    const ports: number[] = [];
    for (let i = 0; i < 20; i++) ports.push((await stage.client(address)).socket.localPort ?? 0);
    await turns();
    assert.deepEqual([stage.portsOf('f'), stage.listeners.addressesOf(frontend('f'))], [[], []]);
    plan.commit();
    assert.deepEqual([stage.portsOf('f'), stage.listeners.addressesOf(frontend('f'))], [ports, [address]]);
    ports.push((await stage.client(address)).socket.localPort ?? 0);
    await stage.takes('f', 21);
    assert.deepEqual(stage.portsOf('f'), ports);
  });

  test('are closed on a rollback, and nobody listens any more', async (t) => {
    const stage = new Stage(t);
    const path = `unix:${join(folderOf(t), 's')}`;
    const places = [stage.place(frontend('f'), '127.0.0.1:0'), stage.place(frontend('f'), path)];
    const before = listening();
    const plan = await stage.listeners.plan(places, new Places());
    assert.equal(listening(), before + 1);
    const clients = await Promise.all(plan.opened.map(({ address }) => stage.client(address)));
    await turns();
    plan.rollback();
    for (const client of clients) await client.read().until(() => client.ended || client.closed, 'the end');
    await eventually('it listens', () => listening() === before);
    for (const { address } of plan.opened) assert.ok(await refused(stage, address));
    assert.ok(!existsSync(path.slice(5)));
    assert.equal(stage.taken.size, 0);
  });

  test('are parked while there are places, others are turned away, and the commit gives the places back', async (t) => {
    const stage = new Stage(t);
    const places = new Places(3);
    const sites = ['a', 'b'].map((name) => stage.place(frontend(name), '127.0.0.1:0'));
    const plan = await stage.listeners.plan(sites, places);
    const [{ address: a } = { address: '' }, { address: b } = { address: '' }] = plan.opened;
    const parked = [await stage.client(a), await stage.client(a), await stage.client(b)];
    await eventually('they are not parked', () => places.taken === 3);
    for (const address of [a, b]) await (await stage.client(address)).getsEnd();
    assert.ok(parked.every((client) => !client.read().ended));
    assert.equal(stage.taken.size, 0);
    plan.commit();
    assert.deepEqual([stage.portsOf('a').length, stage.portsOf('b').length, places.taken], [2, 1, 0]);
  });

  test('that have left by the commit are still given to their owner, who finds that out', async (t) => {
    const stage = new Stage(t);
    const plan = await stage.listeners.plan([stage.place(frontend('f'), '127.0.0.1:0')], new Places());
    const client = await stage.client(plan.opened[0]!.address);
    await turns();
    client.reset();
    await turns();
    plan.commit();
    assert.equal(stage.portsOf('f').length, 1);
  });
});

describe('a bind', () => {
  test('that stays keeps its socket, whatever is opened beside it and rolled back', async (t) => {
    const stage = new Stage(t);
    const kept = stage.place(frontend('f'), '127.0.0.1:0');
    await stage.commit(kept);
    const before = stage.listeners.addressesOf(frontend('f'));
    const plan = await stage.listeners.plan([kept, stage.place(frontend('g'), '127.0.0.1:0')], new Places());
    assert.deepEqual(
      plan.opened.map(({ owner }) => owner.name),
      ['g'],
    );
    plan.rollback();
    await stage.commit(kept);
    assert.deepEqual(stage.listeners.addressesOf(frontend('f')), before);
    await stage.client(before[0]!);
    await stage.takes('f', 1);
  });

  test('that moves from one owner to another is never without: the owner in force takes each client', async (t) => {
    const stage = new Stage(t);
    const text = `127.0.0.1:${await closedPort()}`;
    await stage.commit(stage.place(frontend('a'), text));
    const before = listening();
    await stage.client(text);
    await stage.takes('a', 1);
    const plan = await stage.listeners.plan([stage.place(frontend('b'), text)], new Places());
    assert.equal(listening(), before, 'the same socket');
    await stage.client(text);
    await stage.takes('a', 2);
    plan.commit();
    await stage.client(text);
    await stage.takes('b', 1);
    assert.deepEqual(stage.listeners.addressesOf(frontend('a')), []);
    assert.deepEqual(stage.listeners.addressesOf(frontend('b')), [text]);
    assert.equal(stage.portsOf('a').length, 2);
  });

  test('that is left takes who has connected already, and is closed then', async (t) => {
    const stage = new Stage(t);
    const text = `127.0.0.1:${await closedPort()}`;
    await stage.commit(stage.place(frontend('a'), text));
    const plan = await stage.listeners.plan([], new Places());
    await Promise.all(Array.from({ length: 30 }, () => stage.client(text)));
    plan.commit();
    await stage.takes('a', 30);
    await eventually('it still listens', () => refused(stage, text));
  });

  test('that is left and wanted again at once is opened anew', async (t) => {
    const stage = new Stage(t);
    for (const text of [`127.0.0.1:${await closedPort()}`, `unix:${join(folderOf(t), 's')}`]) {
      const place = stage.place(frontend('a'), text);
      await stage.commit(place);
      await stage.commit();
      await stage.commit(place);
      await stage.client(text);
      await stage.takes('a', 1);
      stage.taken.clear();
    }
  });

  test('to port 0 is a port for each owner', async (t) => {
    const stage = new Stage(t);
    const places = ['a', 'b'].map((name) => stage.place(frontend(name), '127.0.0.1:0'));
    await stage.commit(...places);
    const [a = '', b = ''] = ['a', 'b'].map((name) => stage.listeners.addressesOf(frontend(name))[0]);
    assert.notEqual(a, b);
    await stage.client(a);
    await stage.takes('a', 1);
    await stage.client(b);
    await stage.takes('b', 1);
    await stage.commit(...places);
    assert.deepEqual(stage.listeners.addressesOf(frontend('b')), [b], 'and stays that');
  });

  test('to a unix socket tells its owner that its clients have no address', async (t) => {
    const stage = new Stage(t);
    const text = `unix:${join(folderOf(t), 's')}`;
    await stage.commit(stage.place(frontend('a'), text));
    assert.deepEqual(stage.listeners.addressesOf(frontend('a')), [text]);
    await stage.client(text);
    await stage.takes('a', 1);
    assert.deepEqual(stage.portsOf('a'), [0]);
  });

  test('to a unix socket that nobody answers at any more is taken over; a file that is no socket is not', async (t) => {
    const stage = new Stage(t);
    const folder = folderOf(t);
    const [stale, file] = [join(folder, 'stale'), join(folder, 'file')];
    await leaveStale(stale);
    writeFileSync(file, 'precious');
    await stage.commit(stage.place(frontend('a'), `unix:${stale}`));
    await stage.client(`unix:${stale}`);
    await assert.rejects(stage.commit(stage.place(frontend('a'), `unix:${file}`)), /no socket stands there/);
    await assert.rejects(stage.commit(stage.place(frontend('a'), `unix:${folder}/no/s`)), /does not exist/);
    await stage.takes('a', 1);
  });
});

describe('a plan that cannot have a place', () => {
  /** A port that somebody else listens on, and the plan's other places, in the order in which it opens them. */
  async function taken(t: TestContext): Promise<string> {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    t.after(() => other.close());
    return `127.0.0.1:${(other.address() as AddressInfo).port}`;
  }

  for (const at of [0, 1, 2]) {
    test(`is rejected and leaves no listener, be the place number ${at + 1} of three`, async (t) => {
      const texts = ['127.0.0.1:0', `unix:${join(folderOf(t), 's')}`];
      texts.splice(at, 0, await taken(t));
      const stage = new Stage(t);
      await stage.commit(stage.place(frontend('kept'), '127.0.0.1:0'));
      const kept = stage.listeners.addressesOf(frontend('kept'));
      const before = [listening(), openFilesOf(process.pid)];
      const places = texts.map((text, i) => stage.place(frontend(`f${i}`), text));
      await assert.rejects(stage.listeners.plan(places, new Places()), (error: StartError) => {
        assert.match(error.message, /frontend f\d.*another process listens there/);
        return error instanceof StartError && error.code === 'EADDRINUSE';
      });
      await eventually('something is left', () => listening() === before[0] && openFilesOf(process.pid) === before[1]);
      await stage.client(kept[0]!);
      await stage.takes('kept', 1);
    });
  }

  test('goes on without it where nobody asked for the place, and says why', async (t) => {
    const [text, free] = [await taken(t), `127.0.0.1:${await closedPort()}`];
    const stage = new Stage(t);
    const admin: Owner = { kind: 'admin', name: 'admin' };
    const plan = await stage.listeners.plan(
      [stage.place(frontend('f'), free), stage.place(admin, text, true)],
      new Places(),
    );
    assert.deepEqual(
      [plan.opened.map(({ address }) => address), plan.missing.map(({ code }) => code)],
      [[free], ['EADDRINUSE']],
    );
    plan.commit();
    assert.deepEqual(stage.listeners.addressesOf(admin), []);
  });

  test('because another owner of the same configuration has it leaves that owner its clients', async (t) => {
    const stage = new Stage(t);
    const admin: Owner = { kind: 'admin', name: 'admin' };
    const text = `127.0.0.1:${await closedPort()}`;
    await stage.commit(stage.place(admin, text, true));
    const plan = await stage.listeners.plan(
      [stage.place(frontend('f'), text), stage.place(admin, text, true)],
      new Places(),
    );
    assert.deepEqual(
      plan.missing.map(({ code }) => code),
      ['EADDRINUSE'],
    );
    plan.commit();
    assert.deepEqual([stage.listeners.addressesOf(admin), stage.listeners.addressesOf(frontend('f'))], [[], [text]]);
    await stage.client(text);
    await stage.takes('f', 1);
  });
});

describe('a bind whose own predecessor is in the way', () => {
  const all = (port: number): string => `0.0.0.0:${port}`;
  const one = (port: number, last = 1): string => `127.0.0.${last}:${port}`;

  for (const [what, from, to] of [
    ['is widened', one, all],
    ['is narrowed', all, one],
    ['goes to the other family too', all, (port: number) => `*:${port}`],
  ] as const) {
    test(`${what}, and every client that comes meanwhile is served`, async (t) => {
      const stage = new Stage(t);
      const port = await closedPort();
      await stage.commit(stage.place(frontend('f'), from(port)));
      const plan = await stage.listeners.plan([stage.place(frontend('f'), to(port))], new Places());
      const wanted = to(port).replace('*', '[::]');
      assert.deepEqual(plan.opened, [{ owner: frontend('f'), address: wanted }]);
      let clients = 0;
      const replacement = { done: false };
      plan.commit();
      assert.deepEqual(stage.listeners.addressesOf(frontend('f')), [wanted]);
      const closed = stage.listeners.plan([stage.place(frontend('f'), to(port))], new Places());
      void closed.then(() => (replacement.done = true));
      while (!replacement.done || clients < 40) {
        // From a timer, so that what connects is accepted in the same turn: whoever comes between the last accept and
        // the close is reset by the kernel.
        await sleep(1);
        await stage.client(one(port));
        clients++;
      }
      await stage.takes('f', clients);
      assert.equal(await refused(stage, one(port, 2)), to === one);
      assert.deepEqual(stage.told, []);
    });
  }

  test('stays as it was after a rollback', async (t) => {
    const stage = new Stage(t);
    const port = await closedPort();
    await stage.commit(stage.place(frontend('f'), one(port)));
    const plan = await stage.listeners.plan([stage.place(frontend('f'), all(port))], new Places());
    plan.rollback();
    await turns();
    await stage.client(one(port));
    await stage.takes('f', 1);
    assert.ok(await refused(stage, one(port, 2)));
  });

  test('takes the place of several, which close in one turn', async (t) => {
    const stage = new Stage(t);
    const port = await closedPort();
    await stage.commit(stage.place(frontend('f'), one(port)), stage.place(frontend('g'), one(port, 2)));
    await stage.commit(stage.place(frontend('h'), all(port)));
    await stage.listeners.plan([stage.place(frontend('h'), all(port))], new Places());
    await stage.client(one(port, 3));
    await stage.takes('h', 1);
  });

  test('is refused where somebody else listens on a part of the wide bind', async (t) => {
    const port = await closedPort();
    const other = createServer().listen(port, '127.0.0.53');
    await new Promise((resolve) => other.once('listening', resolve));
    t.after(() => other.close());
    const stage = new Stage(t);
    await stage.commit(stage.place(frontend('f'), one(port)));
    const wide = stage.listeners.plan([stage.place(frontend('f'), all(port))], new Places());
    await assert.rejects(wide, /cannot listen on 0\.0\.0\.0:\d+ \(frontend f\): another process listens there/);
    await stage.client(one(port));
    await stage.takes('f', 1);
  });

  test('is refused where this machine does not have the narrow address', async (t) => {
    const stage = new Stage(t);
    const port = await closedPort();
    await stage.commit(stage.place(frontend('f'), all(port)));
    const narrow = stage.listeners.plan([stage.place(frontend('f'), `192.0.2.1:${port}`)], new Places());
    await assert.rejects(narrow, /does not have that address.*net\.ipv4\.ip_nonlocal_bind/);
    await stage.client(one(port));
    await stage.takes('f', 1);
  });

  test('is opened as soon as it can be, where somebody takes the port between plan and commit', async (t) => {
    const stage = new Stage(t);
    const port = await closedPort();
    await stage.commit(stage.place(frontend('f'), one(port)));
    const plan = await stage.listeners.plan([stage.place(frontend('f'), all(port))], new Places());
    const thief = createServer().listen(port, '127.0.0.53');
    await new Promise((resolve) => thief.once('listening', resolve));
    plan.commit();
    await eventually('the failure to be told', () => stage.told.length > 0);
    assert.match(stage.told[0]!, /frontend f\): another process listens there/);
    await new Promise((resolve) => thief.close(resolve));
    await eventually('it to listen', () => stage.told.length > 1);
    assert.deepEqual(stage.told.slice(1), [`f at last on ${all(port)}`]);
    await stage.client(one(port));
    await stage.takes('f', 1);
  });

  test('that could not be opened is given up by the next plan, or by a close', async (t) => {
    for (const how of ['plan', 'close'] as const) {
      const stage = new Stage(t);
      const port = await closedPort();
      await stage.commit(stage.place(frontend('f'), one(port)));
      const plan = await stage.listeners.plan([stage.place(frontend('f'), all(port))], new Places());
      const thief = createServer().listen(port, '127.0.0.53');
      await new Promise((resolve) => thief.once('listening', resolve));
      plan.commit();
      await eventually('the failure to be told', () => stage.told.length > 0);
      if (how === 'plan') await stage.commit();
      else stage.listeners.close();
      await new Promise((resolve) => thief.close(resolve));
      await stage.listeners.plan([], new Places());
      assert.ok(await refused(stage, one(port)));
    }
  });

  test('displaces an address that nobody asked for', async (t) => {
    const stage = new Stage(t);
    const admin: Owner = { kind: 'admin', name: 'admin' };
    const port = await closedPort();
    await stage.commit(stage.place(admin, one(port), true));
    const sites = [stage.place(frontend('f'), all(port)), stage.place(admin, one(port), true)];
    const plan = await stage.listeners.plan(sites, new Places());
    assert.match(plan.missing.map(({ message }) => message).join(), /this balancer itself listens on 0\.0\.0\.0:/);
    plan.commit();
    await stage.listeners.plan(sites, new Places());
    await stage.client(one(port, 2));
    await stage.takes('f', 1);
    assert.deepEqual(stage.listeners.addressesOf(admin), []);
  });
});

test('two owners that want one port through a name and an address are told of each other', async (t) => {
  const stage = new Stage(t);
  const port = await closedPort();
  const sites = [`127.0.0.1:${port}`, `localhost:${port}`].map((text, i) => stage.place(frontend(`f${i}`), text));
  await assert.rejects(
    stage.listeners.plan(sites, new Places()),
    /f1\): this balancer itself listens on 127\.0\.0\.1:/,
  );
});

test('a port is shared where Node can do so, and refused with the reason where Node cannot', async (t) => {
  const stage = new Stage(t);
  const port = await closedPort();
  const shared = (text: string): Site => {
    const site = stage.place(frontend('f'), text);
    return { ...site, bind: { ...site.bind, reusePort: true } as Bind };
  };
  const plan = stage.listeners.plan([shared(`127.0.0.1:${port}`)], new Places());
  if (!NODE_SHARES_PORTS) {
    await assert.rejects(plan, /\(frontend f\): reusePort: this system shares no port \(Node/);
    return;
  }
  (await plan).commit();
  const wider = await stage.listeners.plan([shared(`0.0.0.0:${port}`)], new Places());
  assert.ok(!(await refused(stage, `127.0.0.2:${port}`)), 'beside the other, before the commit');
  await stage.client(`127.0.0.1:${port}`);
  await stage.takes('f', 1);
  wider.commit();
  await stage.takes('f', 2);
  await stage.commit(stage.place(frontend('f'), `0.0.0.0:${port}`));
  // Without sharing, in the place of the socket that shares.
  await stage.listeners.plan([stage.place(frontend('f'), `0.0.0.0:${port}`)], new Places());
  await stage.client(`127.0.0.1:${port}`);
  await stage.takes('f', 3);
});

test('a stop takes the backlog of owners of one kind, and leaves the others', async (t) => {
  const stage = new Stage(t);
  const metrics: Owner = { kind: 'metrics', name: 'metrics' };
  const [text, other] = [`127.0.0.1:${await closedPort()}`, `127.0.0.1:${await closedPort()}`];
  await stage.commit(stage.place(frontend('a'), text), stage.place(metrics, other));
  await Promise.all(Array.from({ length: 30 }, () => stage.client(text)));
  await stage.listeners.stop('frontend');
  assert.equal(stage.portsOf('a').length, 30);
  assert.ok(await refused(stage, text));
  await stage.client(other);
  await stage.takes('metrics', 1);
});

test('a place that two owners must have is nobody’s: the plan is rejected', async (t) => {
  const stage = new Stage(t);
  const text = `127.0.0.1:${await closedPort()}`;
  const sites = [stage.place(frontend('a'), text), stage.place(frontend('b'), text)];
  await assert.rejects(stage.listeners.plan(sites, new Places()), StartError);
});

/** What a process that was killed leaves: a socket's file that nobody listens at. */
async function leaveStale(path: string): Promise<void> {
  const { execFileSync } = await import('node:child_process');
  const code = 'require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))';
  try {
    execFileSync(process.execPath, ['-e', code, path], { stdio: 'ignore' });
  } catch {
    // It kills itself.
  }
  assert.ok(existsSync(path));
}

test('what stands in the way of a bind is said in words', () => {
  const said = (code: string, text: string): string =>
    bindFault(Object.assign(new Error(`listen ${code}`), { code }), bind(text), 'frontend f', undefined).message;
  assert.equal(
    said('EINVAL', '[FE80::1]:443'),
    'cannot listen on [FE80::1]:443 (frontend f): a link-local address needs its interface, as [fe80::1%eth0]:443',
  );
  assert.match(said('EINVAL', '[fe80::1%eth0]:443'), /: listen EINVAL$/);
  assert.match(said('EAFNOSUPPORT', '[::1]:443'), /: this machine has no IPv6$/);
});

/** Local ports used up towards a server, in a network of its own that has sixteen of them. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { noNamespaces } from '../support/able.ts';
import { start } from '../support/berth.ts';
import { NO_HAPROXY } from '../support/haproxy.ts';
import { openNamespace } from '../support/namespace.ts';
import { openWorkspace } from '../support/processes.ts';
import { QUICK_CHECKS, settings } from '../support/settings.ts';

const PORTS = 16;
const FRONT = 7000;
/** Addresses of s1, s2, …, all on port 5000. */
const SERVERS = ['127.0.0.11', '127.0.0.12'];
/** Asked for more than ports towards one server, fewer than towards two. */
const ASKED = 20;
/** Listeners must not take ports of the range. */
const OUTSIDE = { metrics: { bind: '127.0.0.1:9180' }, admin: { bind: '127.0.0.1:9181' } };

const SERVER = `
  for (const [i, host] of process.argv.slice(1).entries()) {
    require('node:net').createServer((socket) => {

      socket.on('error', () => {}).write('s' + (i + 1) + ' ' + socket.remoteAddress + '\\n');
    }).listen(5000, host, () => console.log('listening'));
  }`;

/** Connects once for each argument, from that address, and prints what each was told; it stays connected. */
const CLIENTS = `
  const { connect } = require('node:net');
  (async () => {
    const told = [];
    // Its own ports are outside the range.
    for (const [i, localAddress] of process.argv.slice(1).entries()) {
      const socket = connect({ host: '127.0.0.1', port: ${FRONT}, localAddress, localPort: 20_000 + i });
      told.push(await new Promise((resolve) => {
        socket.once('data', (data) => resolve(data.toString().trim()));
        socket.once('error', ({ code }) => resolve(code)).once('close', () => resolve('closed'));
      }));
    }
    console.log('told ' + JSON.stringify(told));
  })();`;

const IN_TURN = ['127.0.0.21', '127.0.0.22'];
const SKIP = noNamespaces('mount', 'net');

class Ports {
  readonly workspace = openWorkspace();
  through!: [string, ...string[]];

  static async open(t: TestContext): Promise<Ports> {
    const ports = new Ports();
    t.after(() => ports.workspace.close());
    const range = `50000 ${50_000 + PORTS - 1}`;
    const script = `ip addr add fd00::1/128 dev lo\nsysctl -qw net.ipv4.ip_local_port_range='${range}'`;
    const namespace = await openNamespace(ports.workspace, { address: '10.78.0.1', script });
    ports.through = namespace.through('net');
    return ports;
  }

  async serve(hosts: readonly string[] = SERVERS): Promise<void> {
    const servers = this.run('servers', [process.execPath, '-e', SERVER, ...hosts]);
    await servers.waitFor('listen', () => servers.log().split('listening').length > hosts.length);
  }

  /** What clients at these addresses are told, one after another: the name of the server, and who it sees. */
  async ask(clients: readonly string[]): Promise<string[]> {
    const program = this.run('clients', [process.execPath, '-e', CLIENTS, ...clients]);
    const told = (): string | undefined => /^told (.*)$/m.exec(program.log())?.[1];
    await program.waitFor('are told', () => told() !== undefined);
    return JSON.parse(told() ?? '[]') as string[];
  }

  run(name: string, command: readonly string[]) {
    const [nsenter, ...args] = this.through;
    return this.workspace.start({ name, expendable: true, command: nsenter, args: [...args, ...command] });
  }

  async haproxy(): Promise<void> {
    const file = join(this.workspace.dir, 'haproxy.cfg');
    const servers = SERVERS.map((host, i) => `  server s${i + 1} ${host}:5000`);
    const lines = [
      'defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n  option redispatch 1',
      `frontend f\n  bind 127.0.0.1:${FRONT}\n  default_backend b`,
      `backend b\n  stick-table type ip size 200k expire 30m\n  stick on src\n${servers.join('\n')}\n`,
    ];
    writeFileSync(file, lines.join('\n'));
    const haproxy = this.run('haproxy', ['haproxy', '-db', '-f', file]);
    const [nsenter, ...args] = this.through;
    await haproxy.waitFor('listens', async () => {
      const listening = await this.workspace.run(nsenter, [...args, 'ss', '-Hltn', `sport = :${FRONT}`]);
      return listening !== '';
    });
  }

  berth(t: TestContext, backend: object = {}, hosts: readonly string[] = SERVERS) {
    const servers = hosts.map((host) => (host.includes(':') ? `[${host}]:5000` : `${host}:5000`));
    const config = settings(servers, { healthCheck: false, ...backend }, OUTSIDE, { bind: `127.0.0.1:${FRONT}` });
    return start(t, config, { through: this.through });
  }
}

const same = (who: string): string[] => Array.from({ length: ASKED }, () => who);
const names = (told: readonly string[]): string[] => told.map((text) => text.split(' ')[0] ?? '');
const count = (told: readonly string[]): Record<string, number> =>
  Object.fromEntries([...new Set(told)].toSorted().map((one) => [one, told.filter((each) => each === one).length]));

for (const program of ['Berth', 'HAProxy'] as const) {
  const skip = SKIP || (program === 'HAProxy' && NO_HAPROXY);
  test(
    `${program}: where no port is left towards one server, the next has some`,
    { skip, timeout: 60_000 },
    async (t) => {
      const ports = await Ports.open(t);
      await ports.serve();
      if (program === 'Berth') await ports.berth(t);
      else await ports.haproxy();
      const told = names(await ports.ask(same('127.0.0.50')));
      const [first = ''] = told;
      assert.deepEqual(count(told), { [first]: PORTS, [first === 's1' ? 's2' : 's1']: ASKED - PORTS });
    },
  );
}

test(
  'a server to which no port is left is not blamed, and the client keeps the server that it got',
  { skip: SKIP, timeout: 60_000 },
  async (t) => {
    const ports = await Ports.open(t);
    await ports.serve();
    const berth = await ports.berth(t, QUICK_CHECKS);
    const strangers = Array.from({ length: 6 }, (_, i) => `127.0.0.${60 + i}`);
    const told = names(await ports.ask([...same('127.0.0.50'), ...strangers]));
    const second = told[ASKED - 1] ?? '';
    assert.deepEqual(
      told.slice(PORTS),
      told.slice(PORTS).map(() => second),
    );
    assert.deepEqual(
      berth.lines.filter(({ msg }) => msg === 'server down'),
      [],
    );
  },
);

test(
  'where no server has a port left the connection ends for want of resources',
  { skip: SKIP, timeout: 60_000 },
  async (t) => {
    const ports = await Ports.open(t);
    await ports.serve();
    const berth = await ports.berth(t, { retries: 1 });
    const told = names(await ports.ask(Array.from({ length: 2 * PORTS + 1 }, () => '127.0.0.50')));
    assert.deepEqual(count(told), { ECONNRESET: 1, s1: PORTS, s2: PORTS });
    const [line] = await berth.connections(1);
    assert.deepEqual([line?.['end'], line?.['retries']], ['RC', 1]);
  },
);

test(
  'sources are taken in turn, and where one has no port left, the next',
  { skip: SKIP, timeout: 60_000 },
  async (t) => {
    const ports = await Ports.open(t);
    await ports.serve(SERVERS.slice(0, 1));
    await ports.berth(t, { source: IN_TURN }, SERVERS.slice(0, 1));
    const told = await ports.ask(Array.from({ length: 2 * PORTS }, () => '127.0.0.50'));
    assert.deepEqual(told.slice(0, 4).toSorted(), ['s1 127.0.0.21', 's1 127.0.0.21', 's1 127.0.0.22', 's1 127.0.0.22']);
    assert.deepEqual(count(told), { 's1 127.0.0.21': PORTS, 's1 127.0.0.22': PORTS });
  },
);

test(
  'a server of another family than the sources is connected to as if there were none',
  { skip: SKIP, timeout: 60_000 },
  async (t) => {
    const ports = await Ports.open(t);
    await ports.serve(['fd00::1']);
    await ports.berth(t, { source: IN_TURN }, ['fd00::1']);
    assert.deepEqual(await ports.ask(['127.0.0.50']), ['s1 fd00::1']);
  },
);

test('checks come from the sources too', { skip: SKIP, timeout: 60_000 }, async (t) => {
  const ports = await Ports.open(t);
  const [host = ''] = SERVERS;
  const seen = ports.run('seen', [
    process.execPath,
    '-e',
    `require('node:net').createServer((socket) => console.log(socket.remoteAddress)).listen(5000, '${host}');`,
  ]);
  await ports.berth(t, { ...QUICK_CHECKS, source: IN_TURN }, [host]);
  await seen.waitFor('is checked from both', () => IN_TURN.every((source) => seen.log().includes(source)));
});

test('a source that this machine does not have is passed over', { skip: SKIP, timeout: 60_000 }, async (t) => {
  const ports = await Ports.open(t);
  await ports.serve(SERVERS.slice(0, 1));
  const berth = await ports.berth(t, { source: ['192.0.2.1', ...IN_TURN] }, SERVERS.slice(0, 1));
  const told = await ports.ask(Array.from({ length: 6 }, () => '127.0.0.50'));
  assert.deepEqual(count(told), { 's1 127.0.0.21': 4, 's1 127.0.0.22': 2 });
  const warning = await berth.line(({ msg }) => msg === 'no address of this machine');
  assert.deepEqual([warning.level, warning['backend'], warning['source']], ['warn', 'b', '192.0.2.1']);
});

/**
 * From HAProxy to Berth and back by the commands of docs/from-haproxy.md, which are read from the page, on a machine
 * with its own network: nobody is refused, nobody is cut off, and nobody moves to another node.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { noNamespaces } from '../support/able.ts';
import { BERTH_WORDS } from '../support/berth.ts';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { NO_HAPROXY } from '../support/haproxy.ts';
import { connectNamespaces, openNamespace, type Namespace } from '../support/namespace.ts';
import { blocksBelow } from '../support/pages.ts';
import type { Program } from '../support/program.ts';
import { eventually } from '../support/waiting.ts';

const PAGE = 'docs/from-haproxy.md';
const ADDRESS = '10.99.0.1';
/** The first pushes; the next two knock all the time; all of them are bound by HAProxy before. */
const PEOPLE = Array.from({ length: 40 }, (_, i) => `10.99.0.${i + 2}`);
const [PUSHER = '', ...OTHERS] = PEOPLE;
/** So slow that a push is under way until the link is quick again. */
const SLOW = 'rate 1mbit burst 16k latency 100ms';
const LAYER_BYTES = 24_000_000;

/** The folders that the page names, each the machine's own. */
const FOLDERS = `mount -t overlay overlay -o lowerdir=/etc,upperdir=$DIR/etc,workdir=$DIR/work /etc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mkdir -p /etc/haproxy /etc/berth /run/haproxy /var/lib/berth`;

const haproxyCfg = (servers: readonly string[]): string => `global
  stats socket /run/haproxy/admin.sock mode 660 level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 10m
  timeout server 10m
frontend https_frontend
  bind *:443
  default_backend docker_registry
backend docker_registry
  balance roundrobin
  stick-table type ip size 200k expire 30m
  stick on src
  option httpchk GET /v2/
  http-check expect status 200,401
${servers.map((server) => `  server ${server} check check-ssl verify none\n`).join('')}`;

suite('the cut-over', { skip: NO_HAPROXY || noNamespaces('mount', 'net'), timeout: 280_000 }, () => {
  let cluster: Cluster;
  let machine: Namespace;
  let clients: Namespace;
  let berth: Program;
  before(async () => {
    cluster = await startCluster({ nodes: [], redis: false, names: ['registry.test', ADDRESS] });
    const { workspace } = cluster;
    for (const folder of ['etc', 'work', 'bin']) mkdirSync(at(folder));
    const script = FOLDERS.replaceAll('$DIR', workspace.dir);
    machine = await openNamespace(workspace, { address: '10.99.1.1', script });
    clients = await openNamespace(workspace, { address: '10.99.1.2' });
    await connectNamespaces(workspace, [machine, ADDRESS], [clients, PUSHER]);
    for (const one of OTHERS) await among(`ip addr add ${one}/24 dev far`);
    for (const _ of ['s1', 's2', 's3']) await cluster.addNode({ through: machine.through('net') });
    const shim = at('bin/berth');
    writeFileSync(shim, `#!/bin/sh\nexec ${BERTH_WORDS} "$@"\n`);
    chmodSync(shim, 0o755);
    const file = at('haproxy.cfg');
    writeFileSync(file, haproxyCfg(cluster.nodes.map(({ name, endpoint }) => `${name} ${endpoint}`)));
    await onMachine(`cp ${file} /etc/haproxy/haproxy.cfg`);
    const [command, ...args] = machine.through('mount', 'net');
    const haproxy = workspace.start({
      name: 'haproxy',
      command,
      args: [...args, 'haproxy', '-db', '-f', '/etc/haproxy/haproxy.cfg'],
    });
    await haproxy.waitFor('does not see its servers', async () => (await said('show stat')).split(',UP,').length > 3);
  });
  after(() => cluster.close());

  const at = (name: string): string => join(cluster.workspace.dir, name);
  /** What a shell there prints. */
  const shell = (there: [string, ...string[]], text: string): Promise<string> => {
    const [command, ...args] = [...there, 'bash', '--norc', '-eo', 'pipefail', '-c', `cd ${at('tmp')}; ${text}`];
    const path = [at('bin'), dirname(process.execPath), '/usr/sbin', '/usr/bin', '/sbin', '/bin'].join(':');
    return cluster.workspace.run(command, args, { env: { PATH: path } });
  };
  const onMachine = (text: string): Promise<string> => shell(machine.through('mount', 'net'), text);
  const among = (text: string): Promise<string> => shell(clients.through('net'), text);
  const said = (words: string): Promise<string> =>
    onMachine(`echo '${words}' | socat stdio /run/haproxy/admin.sock`).catch(() => '');

  /** Each block of the page below this heading, run as it stands there. */
  const blocks = (heading: string): (() => Promise<string>)[] =>
    blocksBelow(PAGE, heading).map((text) => () => onMachine(text));

  /** Whether one answers who knocks; the node says that it wants a password. */
  const curl = (from: string): string =>
    `curl -sk -m 30 -o /dev/null -w '%{http_code}\\n' --interface ${from} https://${ADDRESS}/v2/`;
  const visits = async (): Promise<void> => {
    const answers = await among(PEOPLE.map(curl).join('\n'));
    assert.deepEqual(new Set(answers.trim().split('\n')), new Set(['401']));
  };

  /** By client, the node that each is led to: by Berth, in the connections since `forget`; by HAProxy, in its table. */
  let forgotten = 0;
  const connections = (): Record<string, unknown>[] => berth.records().filter(({ msg }) => msg === 'connection');
  const forget = (): void => void (forgotten = connections().length);
  const atBerth = (): Map<string, string> => {
    const fresh = connections().slice(forgotten);
    return new Map(fresh.map(({ client, server }) => [String(client).replace(/:\d+$/, ''), String(server)]));
  };
  const atHaproxy = async (): Promise<Map<string, string>> => {
    const table = await said('show table docker_registry');
    return new Map([...table.matchAll(/key=(\S+) .* server_id=(\d+)/g)].map(([, key = '', id]) => [key, `s${id}`]));
  };
  const sessions = async (): Promise<number> =>
    Number(/^https_frontend,FRONTEND,(?:[^,]*,){2}(\d+)/m.exec(await said('show stat'))?.[1]);

  const everybodyIsAtBerth = async (bound: ReadonlyMap<string, string>): Promise<void> => {
    forget();
    await visits();
    // A connection's line comes after its end.
    await eventually('every client in the log of Berth', () => atBerth().size === PEOPLE.length);
    assert.deepEqual(sorted(atBerth()), sorted(bound));
  };

  /** Does something while a push is under way, which goes on meanwhile and succeeds. */
  async function duringAPush(repository: string, act: () => Promise<unknown>): Promise<void> {
    const image = await cluster.makeImage({ layers: 1, layerBytes: LAYER_BYTES });
    await among(`tc qdisc add dev far root tbf ${SLOW}`);
    let ending = '';
    const push = cluster
      .push(image, repository, ADDRESS, { through: clients.through('net') })
      .then(
        () => 'done',
        (error: Error) => error.message,
      )
      .then((how) => (ending = how));
    await eventually('bytes of the push that wait', async () => {
      const sockets = await among(`ss -tnH state established src ${PUSHER}`);
      return ending !== '' || sockets.split('\n').some((line) => Number(line.trim().split(/\s+/)[1]) > 50_000);
    });
    await act();
    assert.equal(ending, '', 'the push has ended too early');
    await among('tc qdisc del dev far root');
    assert.equal(await push, 'done');
  }

  test('nobody is refused, cut off or moved, there and back, with pushes under way', async () => {
    const { workspace } = cluster;
    await visits();
    const bound = await atHaproxy();
    assert.deepEqual(new Set(bound.keys()), new Set(PEOPLE));

    const [beside] = blocks('1. Beside HAProxy');
    await beside?.();
    const [command, ...args] = machine.through('mount', 'net');
    const start = [at('bin/berth'), 'start', '-c', '/etc/berth/balancer.yml'];
    berth = workspace.start({ name: 'berth', command, args: [...args, ...start] });
    await berth.waitFor('has not started', () => berth.records().some(({ msg }) => msg === 'started'));

    const [compare] = blocks('2. Compare');
    const compared = await compare?.();
    for (const { name } of cluster.nodes) {
      assert.match(String(compared), new RegExp(`^docker_registry,${name},UP$`, 'm'));
      assert.match(String(compared), new RegExp(`^ *${name} .* up `, 'm'));
    }

    // From here on somebody knocks all the time, until the file is there.
    const knocking = OTHERS.slice(0, 2).map((one) =>
      among(`while [ ! -e enough ]; do ${curl(one)} || echo "refused: $?"; sleep 0.1; done`),
    );

    const [share] = blocks('3. A share of the clients');
    await share?.();
    await visits();
    // A connection's line comes after its end.
    await eventually('a client in the log of Berth', () => atBerth().size > 0);
    const led = atBerth();
    assert.ok(led.size < PEOPLE.length / 2, `${led.size} clients are the share`);
    for (const [client, server] of led) assert.equal(server, bound.get(client), client);

    const [all] = blocks('4. All clients');
    await duringAPush('swap/all:1', async () => {
      await all?.();
      assert.ok((await sessions()) > 0, 'the push stays with HAProxy');
    });
    await everybodyIsAtBerth(bound);

    const [early, late] = blocks('And back');
    await early?.();
    const counted = await said('show stat');
    await visits();
    assert.notEqual(await said('show stat'), counted);
    assert.deepEqual(sorted(await atHaproxy()), sorted(bound));
    await all?.();

    const [port, look, end] = blocks('5. The port');
    await duringAPush('swap/port:1', async () => void (await port?.()));
    await everybodyIsAtBerth(bound);
    await eventually('nobody comes by the rule any more', async () => (await look?.()) === '0\n');
    await end?.();

    await duringAPush('swap/back:1', async () => void (await late?.()));
    await visits();
    assert.deepEqual(sorted(await atHaproxy()), sorted(bound));

    writeFileSync(at('tmp/enough'), '');
    for (const answers of await Promise.all(knocking)) {
      const each = answers.trim().split('\n');
      assert.deepEqual(new Set(each), new Set(['401']), `of ${each.length}`);
    }
  });
});

const sorted = (places: ReadonlyMap<string, string>): string[] =>
  [...places].map((pair) => pair.join(' ')).toSorted((a, b) => a.localeCompare(b));

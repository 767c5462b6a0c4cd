/** The Debian package: what is in it, and its life on a Debian that systemd runs. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Making } from '../../deploy/packaging/debian/package.ts';
import { noControlGroups, noNamespaces } from '../support/able.ts';
import { startCluster } from '../support/cluster.ts';
import { bootDebian, type DebianMachine } from '../support/debian-machine.ts';
import { makePackage, version } from '../support/debian-package.ts';
import { differences } from '../support/image.ts';
import { clients, Crowd, places, whoServes } from '../support/people.ts';
import { openWorkspace } from '../support/processes.ts';
import { echoes, TestServer } from '../support/servers.ts';
import { QUICK_CHECKS, settings, yaml, type Given } from '../support/settings.ts';
import { packaged } from '../support/single-file.ts';
import { eventually } from '../support/waiting.ts';

const SLOW = { timeout: 600_000 };

const workspace = openWorkspace();
after(() => workspace.close());
/** What the Debian sees, too. */
const SHARED = join(workspace.dir, 'shared');

const make = (folder: string, more?: Partial<Making>): string => makePackage(join(workspace.dir, folder), more);

/** The package before this one: another version, with another standard configuration. */
function makePredecessor(of: string): void {
  const [tree, file] = [join(workspace.dir, 'tree'), join(SHARED, 'old.deb')];
  execFileSync('dpkg-deb', ['--raw-extract', of, tree]);
  const [control, config] = [join(tree, 'DEBIAN', 'control'), join(tree, 'etc', 'berth', 'balancer.yml')];
  writeFileSync(control, readFileSync(control, 'utf8').replace(/^Version: .*$/m, '$&~before'));
  writeFileSync(config, `# as it was before\n${readFileSync(config, 'utf8')}`);
  execFileSync('dpkg-deb', ['-Zgzip', '-z1', '--root-owner-group', '--build', tree, file], { stdio: 'pipe' });
}

test('the same source makes the same package, whoever makes it and whenever', SLOW, () => {
  const first = readFileSync(make('first'));
  const umask = process.umask(0o077);
  try {
    assert.ok(first.equals(readFileSync(make('second'))));
  } finally {
    process.umask(umask);
  }
});

test('lintian finds neither an error nor a warning in it', SLOW, () => {
  const { stdout, error } = spawnSync('lintian', ['--allow-root', make('checked')], { encoding: 'utf8' });
  assert.deepEqual([error, stdout], [undefined, '']);
});

test('the package for another processor names that processor, and what its file needs', SLOW, () => {
  const file = make('other', { architecture: 'arm64', program: packaged('-linux-arm64') });
  const fields = execFileSync('dpkg-deb', ['--field', file, 'Architecture', 'Depends'], { encoding: 'utf8' });
  assert.match(fields, /^Architecture: arm64\nDepends: libatomic1, libc6 \(>= 2\.\d+\), libgcc-s1, libstdc\+\+6 \(>= /);
});

/** What dpkg and apt keep for themselves, and what changes while a machine runs. */
const BOOKS = ['/var/lib/dpkg', '/var/lib/apt', '/var/lib/systemd', '/var/cache', '/var/log', '/etc/systemd', '/root'];
const CONFIG = '/etc/berth/balancer.yml';
const SERVICE = 'berth.service';
const SOCKET = 'berth.socket';

const skip = noNamespaces('mount', 'pid') || noControlGroups();
describe('on a Debian that systemd runs', { ...SLOW, skip }, () => {
  const servers = ['s1', 's2', 's3'].map((name) => new TestServer(name, echoes));
  const guests = clients(6);
  let debian: DebianMachine;
  let [port, admin] = [0, 0];
  let config = '';
  let broken = '';
  let bare = '';

  const install = (file: string) =>
    debian.run('apt-get', '-o', 'Dpkg::Options::=--force-confold', 'install', '--yes', `/shared/${file}`);
  const files = () =>
    debian.shell(`find / -xdev \\( ${BOOKS.map((path) => `-path ${path}`).join(' -o ')} \\) -prune -o -print | sort`);
  const logged = (line: RegExp) =>
    eventually(`${line} in the journal`, async () =>
      line.test(await debian.run('journalctl', '--no-pager', '--unit', SERVICE)),
    );
  const pid = () => debian.property(SERVICE, 'MainPID');
  const says = (word: string) =>
    eventually(`Berth to say: ${word}`, async () => (await debian.property(SERVICE, 'StatusText')) === word);
  const fileFor = (nodes: readonly Given[], backend: object): string =>
    yaml({
      ...settings(nodes, backend, { admin: { bind: `127.0.0.1:${admin}` } }),
      frontends: { https_frontend: { bind: `127.0.0.1:${port}`, backend: 'b' } },
      state: { file: '/var/lib/berth/state' },
    });

  before(async () => {
    for (const server of servers) await server.open();
    mkdirSync(SHARED);
    renameSync(make('made'), join(SHARED, 'new.deb'));
    makePredecessor(join(SHARED, 'new.deb'));
    port = await workspace.freePort();
    admin = await workspace.freePort();
    config = fileFor(servers, QUICK_CHECKS);
    broken = config.replace('"backend": "b"', '"backend": "nowhere"');
    debian = await bootDebian(workspace, SHARED);
    bare = await files();
  });
  after(async () => {
    for (const server of servers) await server.close();
  });

  test('apt installs it with what it depends on; nothing starts before somebody has named the servers', async () => {
    await install('old.deb');
    assert.equal(await debian.run('berth', '--version'), `berth ${version}\n`);
    assert.match(await debian.run('berth', 'check'), /^\/etc\/berth\/balancer.yml is valid: 1 frontend/);
    for (const unit of [SERVICE, SOCKET]) {
      assert.equal(await debian.property(unit, 'UnitFileState'), 'disabled');
      assert.equal(await debian.property(unit, 'ActiveState'), 'inactive');
    }
  });

  test('enabled, it runs as a user of its own with one capability, and systemd hears how it is', async () => {
    await debian.write(CONFIG, config);
    await debian.write(
      '/etc/systemd/system/berth.socket.d/port.conf',
      `[Socket]\nListenStream=\nListenStream=127.0.0.1:${port}`,
    );
    await debian.run('systemctl', 'daemon-reload');
    await debian.run('systemctl', 'enable', '--now', SOCKET, SERVICE);
    await says('3 of 3 servers are usable');
    const status = await debian.run('cat', `/proc/${await pid()}/status`);
    assert.match(status, /^CapEff:\t0000000000000400$/m, 'CAP_NET_BIND_SERVICE');
    assert.match(status, /^NoNewPrivs:\t1$/m);
    assert.doesNotMatch(status, /^Uid:\t0\b/m);
    assert.match(await whoServes(port), /^s[123]$/);
    assert.match(await debian.run('berth', 'status'), /https_frontend +127\.0\.0\.1:\d+/);
  });

  test('a push and a pull go through it, to the registries that its check has found up', async () => {
    const cluster = await startCluster({ workspace, redis: false });
    const ca = '/etc/berth/ca.crt';
    await debian.write(ca, readFileSync(cluster.ca, 'utf8'));
    const nodes = cluster.nodes.map(({ name, endpoint }) => ({ name, address: endpoint }));
    await debian.write(CONFIG, fileFor(nodes, { healthCheck: { type: 'registry', tls: { ca } } }));
    await debian.run('systemctl', 'reload', SERVICE);
    await says('2 of 2 servers are usable');
    const image = await cluster.makeImage({ layers: 3, layerBytes: 1_000_000 });
    await cluster.push(image, 'debian/image:1', port);
    assert.deepEqual(await differences(image, (await cluster.pull('debian/image:1', port)).dir), []);
    await debian.run('rm', ca);
    await debian.write(CONFIG, config);
    await debian.run('systemctl', 'reload', SERVICE);
  });

  test('systemctl reload says whether it was one', async () => {
    await debian.run('systemctl', 'reload', SERVICE);
    await debian.write(CONFIG, broken);
    await assert.rejects(debian.run('systemctl', 'reload', SERVICE));
    await logged(/there is no backend "nowhere"/);
    assert.match(await whoServes(port), /^s[123]$/);
  });

  test('while its file is broken an upgrade lets the Berth go on that runs', async () => {
    const first = await pid();
    await debian.run('apt-get', 'install', '--yes', '--reinstall', '/shared/old.deb');
    assert.equal(await pid(), first);
    assert.match(await whoServes(port), /^s[123]$/);
    await debian.write(CONFIG, config);
    await debian.run('systemctl', 'reload', SERVICE);
  });

  test('an upgrade under load refuses nobody: its socket waits, bindings and the changed configuration stay', async (t) => {
    const homes = await places(port, guests);
    const [first, crowd] = [await pid(), new Crowd(port, 4)];
    await install('new.deb');
    await eventually('the next Berth', async () => (await pid()) !== first);
    const { calls } = crowd;
    await eventually('the crowd to go on', () => crowd.calls > calls + 20);
    await crowd.leave();
    assert.deepEqual(crowd.failures, []);
    t.diagnostic(`${crowd.calls} connections`);
    assert.equal(
      await debian.run('dpkg-query', '--show', '--showformat=${Version} ${Status}', 'berth'),
      `${version} install ok installed`,
    );
    assert.deepEqual(await places(port, guests), homes);
    assert.equal(await debian.run('cat', CONFIG), `${config}\n`);
    assert.match(await debian.run('cat', '/etc/berth/balancer.yml.dpkg-dist'), /^# The configuration of Berth/);
  });

  test('a Berth that hangs is ended by the watchdog, and the next one serves who came meanwhile', async () => {
    await debian.write('/etc/systemd/system/berth.service.d/soon.conf', '[Service]\nWatchdogSec=5');
    await debian.run('systemctl', 'daemon-reload');
    await debian.run('systemctl', 'restart', SERVICE);
    const hung = await pid();
    await debian.shell(`kill -STOP ${hung}`);
    assert.match(await whoServes(port), /^s[123]$/);
    assert.notEqual(await pid(), hung);
    assert.ok(Number(await debian.property(SERVICE, 'NRestarts')) > 0);
    await logged(/Watchdog timeout/);
  });

  test('removed, it is gone but for what its operator has written; purged, all of it is', async () => {
    await debian.run('apt-get', 'remove', '--yes', 'berth');
    await assert.rejects(whoServes(port));
    assert.equal(await debian.run('cat', CONFIG), `${config}\n`);
    assert.match(await debian.run('ls', '/var/lib/private/berth'), /^state$/m);
    await debian.run('apt-get', 'purge', '--yes', 'berth');
    const left = new Set((await files()).split('\n'));
    const was = new Set(bare.split('\n'));
    assert.deepEqual(
      [...left].filter((path) => !was.has(path)),
      [],
    );
    assert.deepEqual(
      [...was].filter((path) => !left.has(path)),
      [],
    );
  });
});

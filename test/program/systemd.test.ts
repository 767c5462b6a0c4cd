/** systemd's side of Berth: the units, and what Berth tells the service manager over a real socket of it. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { start } from '../support/berth.ts';
import { folderOf } from '../support/files.ts';
import { preload } from '../support/preload.ts';
import { serve } from '../support/servers.ts';
import { settings } from '../support/settings.ts';
import { Changes, eventually } from '../support/waiting.ts';

/** This file runs from .build/test/program/. */
const UNITS = fileURLToPath(new URL('../../../deploy/systemd/', import.meta.url));
/** What systemd does with its socket: each datagram is a message. */
const RECEIVER = `
  $| = 1; my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $ARGV[0]) or die;
  while (defined $socket->recv(my $message, 65536)) { print "$message\\n" }`;
const PATIENCE = { WATCHDOG_USEC: '200000' };

/** A socket as systemd gives it to a unit of Type=notify, and what has come there. */
async function notifySocket(t: TestContext) {
  const path = join(folderOf(t), 'notify');
  const child = spawn('perl', ['-MIO::Socket::UNIX', '-e', RECEIVER, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const heard: string[] = [];
  const changes = new Changes();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    // The command asks systemd to confirm what came before.
    heard.push(...text.split('\n').filter((line) => line !== '' && line !== 'BARRIER=1'));
    changes.tell();
  });
  await eventually('the socket of the service manager', () => existsSync(path));
  const hears = (line: string, from = 0): Promise<number> =>
    changes.until(
      () => `${line}; heard: ${heard.join(', ')}`,
      () => 1 + heard.indexOf(line, from),
      () => child.exitCode !== null,
    );
  return { env: { NOTIFY_SOCKET: path }, heard, hears };
}

test('systemd hears of the start, of servers, of reloads that go well or not, and of the stop', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const { env, heard, hears } = await notifySocket(t);
  const timeouts = { lameDuck: '50ms', drain: '3m' };
  const file = settings(servers, { healthCheck: { interval: '100ms' } }, { timeouts });
  const berth = await start(t, file, { env });
  await hears('READY=1');
  const two = await hears('STATUS=2 of 2 servers are usable');
  await servers[0]?.close();
  const one = await hears('STATUS=1 of 2 servers are usable', two);
  berth.signal('SIGHUP');
  const ready = await hears('READY=1', await hears('RELOADING=1', one));
  writeFileSync(berth.file, 'no: balancer');
  berth.signal('SIGHUP');
  const again = await hears('READY=1', await hears('RELOADING=1', ready));
  berth.signal('SIGTERM');
  // Whatever TimeoutStopSec says: lameDuck and then drain, and 10 s for the end itself.
  const lame = await hears('EXTEND_TIMEOUT_USEC=10050000', await hears('STOPPING=1', again));
  await hears('EXTEND_TIMEOUT_USEC=190000000', lame);
  assert.equal(await berth.exited, 0);
  assert.equal(heard.filter((line) => line.startsWith('WATCHDOG')).length, 0);
});

test('the watchdog is fed by the event loop: one that hangs feeds it no more', async (t) => {
  const { env, heard, hears } = await notifySocket(t);
  const mark = join(folderOf(t), 'hangs');
  const hangs = preload(`
    const { writeFileSync } = require('node:fs');
    process.on('SIGWINCH', () => { writeFileSync('${mark}', ''); for (;;); });`);
  const berth = await start(t, settings(await serve(t, ['s1'])), { env: { ...env, ...PATIENCE, ...hangs } });
  await hears('WATCHDOG=1', await hears('WATCHDOG=1', await hears('WATCHDOG=1')));
  berth.signal('SIGWINCH');
  await eventually('the loop to hang', () => existsSync(mark));
  // What the loop had said before may still be on its way; the loop says nothing any more, however long this takes.
  let before = -1;
  await eventually('silence', async () => {
    before = heard.length;
    await sleep(1_000);
    return heard.length === before;
  });
  assert.equal(heard.includes('STOPPING=1'), false);
  berth.signal('SIGKILL');
  assert.equal(await berth.exited, 'SIGKILL');
});

test('the watchdog of another process is not fed, nor is anybody told where nobody asks', async (t) => {
  const { env, heard, hears } = await notifySocket(t);
  const servers = await serve(t, ['s1']);
  const alone = await start(t, settings(servers), { env: { ...PATIENCE } });
  const other = await start(t, settings(servers), { env: { ...env, ...PATIENCE, WATCHDOG_PID: '1' } });
  await hears('STATUS=1 of 1 servers are usable');
  for (const berth of [alone, other]) berth.signal('SIGTERM');
  assert.deepEqual([await alone.exited, await other.exited], [0, 0]);
  await hears('STOPPING=1');
  assert.deepEqual(heard, [
    'READY=1',
    'STATUS=1 of 1 servers are usable',
    'STOPPING=1',
    'EXTEND_TIMEOUT_USEC=40000000',
  ]);
});

test('systemd finds nothing wrong with the units, and their exposure is OK', (t) => {
  const folder = folderOf(t);
  cpSync(UNITS, folder, { recursive: true });
  const units = ['berth.service', 'berth@.service'].map((name) => join(folder, name));
  for (const unit of units) {
    // systemd complains of a program that is not installed.
    writeFileSync(unit, readFileSync(unit, 'utf8').replaceAll('/usr/bin/berth', '/usr/bin/true'));
  }
  const instance = join(folder, 'berth@1.service');
  symlinkSync('berth@.service', instance);
  const verify = ['verify', '--man=no', units[0]!, instance, join(folder, 'berth.socket')];
  assert.equal(execFileSync('systemd-analyze', verify, { encoding: 'utf8', stdio: 'pipe' }), '');
  for (const unit of [units[0]!, instance]) {
    const security = ['security', '--offline=true', '--no-pager', '--threshold=20', unit];
    assert.match(execFileSync('systemd-analyze', security, { encoding: 'utf8' }), /exposure level .*: 1\.\d OK/);
  }
});

test('the unit of an instance is that of the one Berth, but for what instances must not or must share', () => {
  const settingsOf = (unit: string): string[] =>
    readFileSync(join(UNITS, unit), 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
  const [one, each] = [settingsOf('berth.service'), settingsOf('berth@.service')];
  assert.deepEqual(
    each.filter((line) => !one.includes(line)),
    [
      'Description=Berth, a TCP load balancer with sticky sessions for Docker registries, instance %i',
      'Environment=INSTANCE=%i',
      'User=berth',
      'RuntimeDirectory=berth-%i',
    ],
  );
  assert.equal(one.filter((line) => !each.includes(line)).length, 2);
});

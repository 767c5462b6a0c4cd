/** How the log looks, by who reads it, and how an operator changes what it says. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { BERTH_WORDS, start } from '../support/berth.ts';
import { visit } from '../support/clients.ts';
import { folderOf } from '../support/files.ts';
import { api, reload, status } from '../support/operator.ts';
import { readLine } from '../support/log-lines.ts';
import { serve } from '../support/servers.ts';
import { settings, yaml } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

/** What `berth start` writes at a terminal of its own, until it has started. */
async function atTerminal(t: TestContext, env: Readonly<Record<string, string>>, log: object = {}): Promise<string> {
  const file = join(folderOf(t), 'balancer.yml');
  writeFileSync(file, yaml(settings(await serve(t, ['s1']), {}, { log })));
  const command = `exec ${BERTH_WORDS} start -c ${file}`;
  const { NO_COLOR: _, ...rest } = process.env;
  const child = spawn('script', ['-qefc', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...rest, TERM: 'xterm', ...env },
  });
  t.after(() => child.kill('SIGKILL'));
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
  await eventually(
    () => `it to start; it says ${text}`,
    () => text.includes('started') && text.endsWith('\n'),
  );
  return text.replaceAll('\r\n', '\n');
}

const PRETTY = /^\d\d:\d\d:\d\d\.\d{3} INFO  listening        frontend=f address=127\.0\.0\.1:\d+$/m;
const ESCAPE = '\u001b[';

test('at a terminal the log is for people, in colours', async (t) => {
  const text = await atTerminal(t, {});
  assert.ok(text.includes(ESCAPE), text);
  assert.match(stripVTControlCharacters(text), PRETTY);
});

test('colours are left out with NO_COLOR, and at a terminal that has none', async (t) => {
  for (const env of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
    const text = await atTerminal(t, env);
    assert.ok(!text.includes(ESCAPE), text);
    assert.match(text, PRETTY);
  }
});

test('log.format: json is JSON at a terminal, and pretty is without colours in a pipe', async (t) => {
  const json = await atTerminal(t, {}, { format: 'json' });
  for (const line of json.trimEnd().split('\n')) readLine(line);
  const lines: string[] = [];
  await start(t, settings(await serve(t, ['s1']), {}, { log: { format: 'pretty' } }), {
    read: (line) => void lines.push(line),
    quiet: true,
  });
  const text = await eventually('it to start', () => lines.at(-1)?.includes('started') === true && lines.join('\n'));
  assert.ok(!text.includes(ESCAPE), text);
  assert.match(text, PRETTY);
});

/** Names the standard output of what it starts, as systemd does; `$$` is the shell, which then becomes Berth. */
const AS_SYSTEMD = 'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/$$/fd/1) exec "$0" "$@"';

test('journald, which reads by a socket, is told the priority of each line', async (t) => {
  const written: string[] = [];
  const read = (line: string): string => {
    written.push(line);
    return line.replace(/^<\d>/, '');
  };
  const berth = await start(t, settings(await serve(t, ['s1'])), { through: ['sh', '-c', AS_SYSTEMD], read });
  await visit(berth, { port: await berth.port() });
  await reload(berth, 'frontends: {}');
  const seen = new Map(written.map((line) => [readLine(line.slice(3))['event'], line.slice(0, 3)]));
  const priorities = ['started', 'connection', 'reload_failed'].map((event) => seen.get(event));
  assert.deepEqual(priorities, ['<6>', '<6>', '<3>']);
});

test('a file that JOURNAL_STREAM names has priorities, and one that it does not name has none', async (t) => {
  const servers = await serve(t, ['s1']);
  const startWith = async (script: string): Promise<string[]> => {
    const file = join(folderOf(t), 'log');
    writeFileSync(file, '');
    const through = ['sh', '-c', `exec >"$FILE"; ${script}`];
    await start(t, settings(servers), { through, env: { FILE: file }, quiet: true });
    return eventually('it to start', () => {
      const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
      return lines.at(-1)?.includes('started') === true && lines;
    });
  };
  for (const line of await startWith(AS_SYSTEMD)) readLine(/^<6>(.*)$/.exec(line)?.[1] ?? '');
  for (const line of await startWith('JOURNAL_STREAM=8:1 exec "$0" "$@"')) readLine(line);
});

test('PUT /log has the lines of another level written at once, until a reload changes log.level', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const put = (body: object): ReturnType<typeof api> =>
    api(berth, 'PUT', '/api/v1/log', {
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    });
  const berth = await start(t, settings(servers));
  assert.deepEqual((await put({ level: 'debug' })).body, { before: 'info', level: 'debug' });
  await reload(berth, settings(servers.slice(0, 1)));
  await berth.line(({ event }) => event === 'server_left');
  assert.deepEqual((await put({ level: 'warn' })).body, { before: 'debug', level: 'warn' });
  assert.equal((await put({ level: 'loud' })).status, 400);
  await berth.line(({ event, least }) => event === 'log_level' && least === 'warn');
  const seen = berth.lines.length;
  writeFileSync(berth.file, yaml(settings(servers, {}, { log: { level: 'info', connections: false } })));
  berth.signal('SIGHUP');
  await eventually('the reload', async () => (await status(berth)).backends[0]?.servers.length === 2);
  await reload(berth, settings(servers, {}, { log: { level: 'debug' } }));
  assert.deepEqual(
    berth.lines.slice(seen).map(({ event }) => event),
    ['log_level', 'reloaded'],
    'the first reload, which leaves log.level as it was, says nothing below warn',
  );
});

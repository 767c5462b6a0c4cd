/** The completion scripts, in a real bash and a real zsh. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { BERTH_WORDS, start } from '../support/berth.ts';
import { folderOf } from '../support/files.ts';
import { serve } from '../support/servers.ts';
import { settings } from '../support/settings.ts';
import { Terminal } from '../support/terminal.ts';

const FUNCTION = `berth() { ${BERTH_WORDS} "$@"; };`;

/** A balancer, named by BERTH_CONFIG. */
async function stand(t: TestContext): Promise<{ BERTH_CONFIG: string }> {
  const admin = { admin: { bind: `unix:${join(folderOf(t), 'admin.sock')}` } };
  const servers = [...(await serve(t, ['registry-1', 'registry-2', 'other:1']))];
  const berth = await start(t, settings(servers, { healthCheck: false }, admin));
  return { BERTH_CONFIG: berth.file };
}

/** What bash offers for a line with the cursor at its end. */
function offers(line: string, env: NodeJS.ProcessEnv = {}, cwd = '.'): string[] {
  const script = `${FUNCTION} source <(berth completion bash); complete -p berth >/dev/null || exit 1
    COMP_LINE=$1 COMP_POINT=\${#1}; _berth; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const options = { encoding: 'utf8', cwd, env: { ...process.env, ...env } } as const;
  const out = execFileSync('bash', ['--norc', '-c', script, 'bash', line], options);
  return out.split('\n').filter((word) => word !== '');
}

test('bash: commands, options, words and files, from the command table', (t) => {
  const folder = folderOf(t);
  writeFileSync(join(folder, 'balancer.yml'), '');
  assert.deepEqual(offers('berth dr'), ['drain']);
  assert.ok(offers('berth ').includes('status') && offers('berth ').includes('completion'));
  assert.deepEqual(offers('berth drain b/s1 --w'), ['--wait']);
  assert.ok(offers('berth status --').includes('--watch') && !offers('berth status --').includes('--wait'));
  assert.deepEqual(offers('berth completion '), ['bash', 'zsh']);
  assert.deepEqual(offers('berth help expl'), ['explain']);
  assert.deepEqual(offers('berth table --sort '), ['conns']);
  assert.deepEqual(offers('berth sessions --sort o'), ['out/s', 'out']);
  assert.deepEqual(offers('berth check -c bal', {}, folder), ['balancer.yml']);
  assert.deepEqual(offers('berth check bal', {}, folder), ['balancer.yml']);
  assert.deepEqual(offers('berth -c balancer.yml st', {}, folder), ['start', 'status']);
  assert.deepEqual(offers('berth status '), []);
});

test('bash: names of servers and backends, asked of the balancer; nothing where there is none', async (t) => {
  const env = await stand(t);
  assert.deepEqual(offers('berth drain ', env), ['b/registry-1', 'b/registry-2', 'b/other:1']);
  assert.deepEqual(offers('berth maint b/registry-2', env), ['b/registry-2']);
  assert.deepEqual(offers('berth drain b/registry-1 ', env), []);
  assert.deepEqual(offers('berth doctor --backend ', env), ['b']);
  assert.deepEqual(offers(`berth drain -c ${env.BERTH_CONFIG} b/o`), ['b/other:1']);
  // bash itself keeps what stands before a colon.
  assert.deepEqual(offers('berth drain b/other:', env), ['1']);
  assert.deepEqual(offers('berth drain ', { BERTH_CONFIG: '/nowhere' }), []);
});

test('bash and zsh at a terminal: Tab completes a command and a server', async (t) => {
  const env = await stand(t);
  const zsh = ['zsh', '-f', '-i'];
  const begin = { bash: '', zsh: 'autoload -U compinit; compinit -u -D; ' };
  for (const shell of ['bash', 'zsh'] as const) {
    const terminal = await Terminal.open(t, { env, ...(shell === 'zsh' ? { shell: zsh } : {}) });
    await terminal.run(`clear; ${begin[shell]}source <(berth completion ${shell}); echo ready`);
    await terminal.shows(/^ready$/m);
    terminal.type('berth dra');
    terminal.press('Tab');
    await terminal.shows(/berth drain$/m);
    terminal.type('b/registry-2');
    terminal.press('Tab');
    terminal.type('--js');
    terminal.press('Tab');
    await terminal.shows(/berth drain b\/registry-2 --json/);
    terminal.press('C-u', 'C-l');
    terminal.type('berth sessions --sort qu');
    terminal.press('Tab');
    await terminal.shows(/berth sessions --sort quiet *$/m);
    terminal.press('C-u', 'C-l');
    terminal.type('berth maint b/reg');
    terminal.press('Tab');
    await terminal.shows(/berth maint b\/registry-$/m);
    terminal.press('Tab', 'Tab');
    await terminal.shows(/b\/registry-1 +b\/registry-2/);
  }
});

/** A real HAProxy, where there is one. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { accepts, openWorkspace, type Workspace } from './processes.ts';

const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` };
export const NO_HAPROXY = spawnSync('haproxy', ['-v'], { env }).status === 0 ? false : 'HAProxy is not installed';

/**
 * Runs HAProxy in TCP mode with these sections until the test ends; PORT in each of them becomes a free port. Resolves
 * to those ports, in order, when it listens.
 */
export async function startHaproxy(t: TestContext, sections: readonly string[]): Promise<number[]> {
  const workspace = openWorkspace();
  t.after(() => workspace.close());
  const ports: number[] = [];
  for (let i = 0; i < sections.length; i++) ports.push(await workspace.freePort());
  const defaults = 'defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n';
  const texts = sections.map((text, i) => `${text.replaceAll('PORT', String(ports[i]))}\n`);
  await run(workspace, defaults + texts.join(''), ports[0] ?? 0);
  return ports;
}

/** Runs HAProxy with this file until the test ends; resolves when it listens. */
export async function runHaproxy(t: TestContext, text: string): Promise<void> {
  const workspace = openWorkspace();
  t.after(() => workspace.close());
  // A listener more, to be tried: in a frontend of the file that would be somebody's first connection.
  const trial = await workspace.freePort();
  const last = `\nlisten trial\n  mode tcp\n  bind 127.0.0.1:${trial}\n`;
  await run(workspace, `${text}${last}`, trial);
}

async function run(workspace: Workspace, text: string, port: number): Promise<void> {
  const file = join(workspace.dir, 'haproxy.cfg');
  writeFileSync(file, text);
  const haproxy = workspace.start({ name: 'haproxy', command: 'haproxy', args: ['-db', '-f', file] });
  await haproxy.waitFor('a listener', () => accepts(port));
}

/** A real HAProxy, where there is one. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { accepts, openWorkspace } from './processes.ts';

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
  const file = join(workspace.dir, 'haproxy.cfg');
  const defaults = 'defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n';
  writeFileSync(file, defaults + sections.map((text, i) => `${text.replaceAll('PORT', String(ports[i]))}\n`).join(''));
  const haproxy = workspace.start({ name: 'haproxy', command: 'haproxy', args: ['-db', '-f', file] });
  await haproxy.waitFor('a listener', () => accepts(ports[0] ?? 0));
  return ports;
}

/** A real nginx, where there is one. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { accepts, openWorkspace } from './processes.ts';

const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` };
export const NO_NGINX = spawnSync('nginx', ['-v'], { env }).status === 0 ? false : 'nginx is not installed';

/** Runs nginx with these server blocks until the test ends; PORT in them is a free port, to which it resolves. */
export async function startNginx(t: TestContext, servers: string): Promise<number> {
  const workspace = openWorkspace();
  t.after(() => workspace.close());
  const port = await workspace.freePort();
  const file = join(workspace.dir, 'nginx.conf');
  const at = (name: string): string => join(workspace.dir, name);
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((one) => `${one}_temp_path ${at(one)};`);
  const http = `access_log off; ${paths.join(' ')}\n${servers.replaceAll('PORT', String(port))}`;
  const global = `daemon off; master_process off; pid ${at('pid')}; error_log ${at('error.log')}; events {}`;
  writeFileSync(file, `${global}\nhttp { ${http} }\n`);
  const nginx = workspace.start({
    name: 'nginx',
    command: 'nginx',
    args: ['-c', file, '-e', at('error.log')],
    env: {},
  });
  await nginx.waitFor('a listener', () => accepts(port));
  return port;
}

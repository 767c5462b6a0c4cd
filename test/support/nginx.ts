/** A real nginx, where there is one. */
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { accepts, openWorkspace, type Workspace } from './processes.ts';

const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` };
export const NO_NGINX = spawnSync('nginx', ['-v'], { env }).status === 0 ? false : 'nginx is not installed';

const STREAM_MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so';
export const NO_NGINX_STREAM = NO_NGINX || (existsSync(STREAM_MODULE) ? false : 'nginx has no stream module here');

/** Runs nginx with these server blocks until the test ends; PORT in them is a free port, to which it resolves. */
export async function startNginx(t: TestContext, servers: string): Promise<number> {
  const workspace = openWorkspace();
  t.after(() => workspace.close());
  const port = await workspace.freePort();
  const at = (name: string): string => join(workspace.dir, name);
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((one) => `${one}_temp_path ${at(one)};`);
  const http = `access_log off; ${paths.join(' ')}\n${servers.replaceAll('PORT', String(port))}`;
  await run(workspace, `http { ${http} }\n`, port);
  return port;
}

/** Runs nginx with this `stream` block until the test ends; resolves when nginx listens. */
export async function runNginxStream(t: TestContext, stream: string): Promise<void> {
  const workspace = openWorkspace();
  t.after(() => workspace.close());
  // A listener more, to be tried: at a server of the block that would be somebody's first connection.
  const trial = await workspace.freePort();
  const block = stream.replace('{', `{ server { listen 127.0.0.1:${trial}; return ''; }`);
  await run(workspace, `${block}\n`, trial, `load_module ${STREAM_MODULE};`);
}

async function run(workspace: Workspace, block: string, port: number, modules = ''): Promise<void> {
  const file = join(workspace.dir, 'nginx.conf');
  const at = (name: string): string => join(workspace.dir, name);
  const global = `daemon off; master_process off; pid ${at('pid')}; error_log ${at('error.log')}; events {}`;
  writeFileSync(file, `${modules} ${global}\n${block}`);
  const nginx = workspace.start({
    name: 'nginx',
    command: 'nginx',
    args: ['-c', file, '-e', at('error.log')],
    env: {},
  });
  await nginx.waitFor('a listener', () => accepts(port));
}

/** What deploy/ holds, brought up as docs/cluster.md says: on a host of its own, by the commands of an operator. */
import { execFile, execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { DockerHost } from './docker-host.ts';
import type { RunOptions, Workspace } from './processes.ts';
import { importImage, type StandIn } from './stand-in.ts';

export const NAME = 'registry.test';
/** What Berth's image is built on. */
export const BASE = 'node:24-bookworm-slim';
/** Of the host: one of those that are nobody's (RFC 5737). */
export const ADDRESS = '192.0.2.10';

export class Deployed {
  readonly host: DockerHost;
  /** The copy of deploy/. */
  readonly dir: string;
  readonly #workspace: Workspace;

  constructor(workspace: Workspace) {
    this.#workspace = workspace;
    this.host = new DockerHost(workspace);
    this.dir = copyOfDeploy(workspace.dir);
  }

  async start(): Promise<void> {
    await this.host.start(NAME, ADDRESS);
    const images = { [BASE]: await nodeImage(this.#workspace), ...OTHERS };
    for (const [tag, image] of Object.entries(images)) await importImage(this.#workspace, this.host, tag, image);
  }

  /** The folder from which a docker client or skopeo on that host trusts the registry. */
  trust(): Promise<string> {
    const folder = `/etc/docker/certs.d/${NAME}`;
    const ca = join(this.dir, 'secrets/ca/ca.crt');
    return this.host.run('sh', ['-c', 'mkdir -p "$0" && cp "$1" "$0"', folder, ca]);
  }

  makeSecrets(args: string[], input = ''): Promise<string> {
    return this.#workspace.run('bash', [join(this.dir, 'make-secrets.sh'), ...args], { input });
  }

  /** `docker compose` with these words; `files` beside compose.yml. */
  compose(args: string[], { files = [], ...options }: RunOptions & { files?: string[] } = {}): Promise<string> {
    const named = ['compose.yml', ...files].flatMap((file) => ['-f', join(this.dir, file)]);
    const whole = ['--env-file', join(this.dir, '.env'), '--project-directory', this.dir, ...named, ...args];
    return this.#workspace.run('docker-compose', whole, {
      timeoutMs: 300_000,
      ...options,
      env: { ...this.host.env, ...options.env },
    });
  }
}

/** In a folder that looks like the repository, as far as an image is built from it. */
export function copyOfDeploy(into: string): string {
  const repository = join(into, 'repository');
  mkdirSync(repository);
  const parts = [
    'package.json',
    'package-lock.json',
    'tsconfig.json',
    'tsconfig.build.json',
    '.dockerignore',
    'src',
    'deploy',
  ];
  for (const part of parts) cpSync(part, join(repository, part), { recursive: true });
  const deploy = join(repository, 'deploy');
  // What somebody who tries it in this folder has made.
  for (const made of ['.env', 'secrets', 'data']) rmSync(join(deploy, made), { recursive: true, force: true });
  return deploy;
}

/** Node's image, with what `npm ci` is going to ask for: there is no way out of that host. */
export async function nodeImage(workspace: Workspace): Promise<StandIn> {
  const run = promisify(execFile);
  const cache = join(workspace.dir, 'npm-cache');
  const fetched = join(workspace.dir, 'fetched');
  mkdirSync(fetched);
  for (const file of ['package.json', 'package-lock.json']) cpSync(file, join(fetched, file));
  await run('npm', ['ci', '--cache', cache, '--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: fetched,
  });
  const { stdout: registry } = await run('npm', ['config', 'get', 'registry']);
  const { stdout: npm } = await run('sh', ['-c', 'command -v npm']);
  return {
    programs: {
      '/usr/local/bin/node': process.execPath,
      '/usr/bin/env': 'env',
      '/bin/sh': 'dash',
      '/bin/chmod': 'chmod',
      '/bin/cp': 'cp',
      '/bin/ln': 'ln',
      '/bin/mkdir': 'mkdir',
      '/bin/rm': 'rm',
      '/bin/touch': 'touch',
      '/usr/bin/find': 'find',
    },
    folders: { '/usr/local/lib/node_modules/npm': join(realpathSync(npm.trim()), '../..'), '/npm-cache': cache },
    links: { '/usr/local/bin/npm': '../lib/node_modules/npm/bin/npm-cli.js' },
    files: {
      '/etc/passwd': 'root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n',
      '/etc/group': 'root:x:0:\nnode:x:1000:\n',
      '/usr/local/etc/npmrc': `registry=${registry.trim()}\ncache=/npm-cache\noffline=true\nupdate-notifier=false\n`,
    },
    empty: ['/tmp', '/root'],
    changes: [`ENV PATH=/usr/local/bin:/usr/bin:/bin`, 'CMD ["node"]'],
  };
}

/** Of the image registry:2. */
export const REGISTRY_CONFIG = `version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :5000
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
`;

/** Entry point, folders and configuration as in the images of those names. */
const OTHERS: Record<string, StandIn> = {
  'registry:2': {
    programs: { '/bin/registry': 'docker-registry' },
    files: { '/etc/docker/registry/config.yml': REGISTRY_CONFIG },
    empty: ['/var/lib/registry'],
    changes: [
      'ENTRYPOINT ["/bin/registry", "serve"]',
      'CMD ["/etc/docker/registry/config.yml"]',
      'VOLUME /var/lib/registry',
      'EXPOSE 5000',
    ],
  },
  'redis:7': {
    programs: { '/usr/local/bin/redis-server': 'redis-server', '/usr/local/bin/redis-cli': 'redis-cli' },
    empty: ['/data'],
    changes: ['ENV PATH=/usr/local/bin', 'WORKDIR /data', 'VOLUME /data', 'EXPOSE 6379', 'CMD ["redis-server"]'],
  },
  'prom/prometheus:v3.5.0': {
    programs: { '/bin/prometheus': 'prometheus' },
    empty: ['/prometheus', '/etc/prometheus'],
    changes: ['ENTRYPOINT ["/bin/prometheus"]', 'WORKDIR /prometheus', 'VOLUME /prometheus'],
  },
  // There is no Grafana on this machine: a container that stays, with which a test looks at what Grafana would see.
  'grafana/grafana:13.2.3': {
    programs: { '/bin/sh': 'dash', '/bin/sleep': 'sleep', '/bin/cat': 'cat', '/bin/touch': 'touch' },
    empty: ['/var/lib/grafana', '/etc/grafana'],
    changes: [`ENTRYPOINT ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do /bin/sleep 1; done"]`],
  },
};

/**
 * A file over compose.yml: no more open files than this machine may have, and a health check that a test need not wait
 * for.
 */
export function forThisMachine(dir: string): string {
  const limit = execFileSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).trim();
  const most = limit === 'unlimited' ? 65_536 : Math.min(65_536, Number(limit));
  const berth = { ulimits: { nofile: { soft: most, hard: most } }, healthcheck: { interval: '2s' } };
  writeFileSync(join(dir, 'compose.machine.yml'), JSON.stringify({ services: { berth } })); // JSON is YAML
  return 'compose.machine.yml';
}

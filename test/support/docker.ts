/**
 * A real docker: Debian's dockerd, which needs no bridge, iptables or overlay as it is run here, and its client. The
 * daemon lives in a mount namespace in which /etc/docker and /etc/hosts are its own. Needs root, control groups and the
 * Debian package docker.io.
 */
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openNamespace, type Namespace } from './namespace.ts';
import type { Workspace } from './processes.ts';
import type { Program } from './program.ts';

/** By path: another docker client may come first on the PATH. */
const CLIENT = '/usr/bin/docker';

/** `names`: host names that lead the daemon to loopback. */
export async function startDocker(workspace: Workspace, names: readonly string[]): Promise<Docker> {
  const dir = join(workspace.dir, 'docker');
  for (const name of ['etc', 'config']) await mkdir(join(dir, name), { recursive: true });
  // Docker takes every registry in 127.0.0.0/8 for one that needs no TLS, and would hide what is wrong with a
  // certificate. To connect to 0.0.0.0 is to connect to loopback, too.
  await writeFile(join(dir, 'hosts'), `127.0.0.1 localhost\n0.0.0.0 ${names.join(' ')}\n`);
  const namespace = await openNamespace(workspace, {
    script: `mount --bind ${dir}/etc /etc/docker\nmount --bind ${dir}/hosts /etc/hosts`,
  });
  const docker = new Docker(workspace, namespace, dir);
  await docker.start();
  return docker;
}

export class Docker {
  readonly #workspace: Workspace;
  readonly #namespace: Namespace;
  readonly #dir: string;
  #daemon: Program | undefined;

  constructor(workspace: Workspace, namespace: Namespace, dir: string) {
    this.#workspace = workspace;
    this.#namespace = namespace;
    this.#dir = dir;
  }

  async start(): Promise<void> {
    const [nsenter, ...inside] = this.#namespace.through('mount');
    const at = (name: string) => join(this.#dir, name);
    const here = ['--host', this.host, '--data-root', at('data'), '--exec-root', at('run'), '--pidfile', at('pid')];
    const network = ['--bridge=none', '--iptables=false', '--ip6tables=false', '--ip-forward=false', '--ip-masq=false'];
    const args = [...inside, 'dockerd', ...here, '--storage-driver=vfs', ...network];
    this.#daemon = this.#workspace.start({ name: 'dockerd', command: nsenter, args });
    await this.#daemon.waitFor('does not answer', () => this.run('version').then(Boolean, () => false), 60_000);
  }

  /** As `docker -H` and skopeo's daemon-host take it. */
  get host(): string {
    return `unix://${join(this.#dir, 'socket')}`;
  }

  /** Runs the client to its end; throws ProgramError with its words when it fails. */
  run(...args: string[]): Promise<string> {
    return this.#client(args);
  }

  login(registry: string, user: string, password: string): Promise<string> {
    return this.#client(['login', '--username', user, '--password-stdin', registry], password);
  }

  /** As every docker host must: the CA in /etc/docker/certs.d. */
  async trust(registry: string, ca: string): Promise<void> {
    const dir = join(this.#dir, 'etc', 'certs.d', registry);
    await mkdir(dir, { recursive: true });
    await cp(ca, join(dir, 'ca.crt'));
  }

  async imageId(name: string): Promise<string> {
    return (await this.run('image', 'inspect', '--format', '{{.Id}}', name)).trim();
  }

  #client(args: string[], input = ''): Promise<string> {
    const all = ['--host', this.host, '--config', join(this.#dir, 'config'), ...args];
    return this.#workspace.run(CLIENT, all, { input });
  }
}

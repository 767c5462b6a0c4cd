/**
 * A host with Docker that a test has to itself: dockerd in namespaces of its own, so that the host's ports, addresses
 * and names are the test's alone, and the end of dockerd is the end of all that it started. No image can be pulled
 * there: see stand-in.ts.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunOptions, Workspace } from './processes.ts';
import type { Program } from './program.ts';

const NAMESPACES = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];

function whyNot(): string | false {
  if (process.getuid?.() !== 0) return 'Docker was not run: that needs root';
  for (const program of ['dockerd', 'docker-compose']) {
    const found = ['/usr/sbin', '/usr/bin', '/usr/local/bin'].some((folder) => existsSync(join(folder, program)));
    if (!found) return `Docker was not run: there is no ${program}`;
  }
  const allowed = spawnSync('unshare', [...NAMESPACES, 'ip', 'link', 'add', 'try', 'type', 'bridge']).status === 0;
  return allowed ? false : 'Docker was not run: namespaces and bridges are not allowed here';
}
export const NO_DOCKER_HOST = whyNot();

export class DockerHost {
  readonly #workspace: Workspace;
  readonly #dir: string;
  #dockerd: Program | undefined;

  constructor(workspace: Workspace) {
    this.#workspace = workspace;
    this.#dir = join(workspace.dir, 'docker');
  }

  /** `name` is the host's, at `address`, which is not loopback's: there Docker trusts everybody. */
  async start(name: string, address: string): Promise<void> {
    mkdirSync(this.#dir);
    mkdirSync('/etc/docker', { recursive: true }); // dockerd keeps a key there; ours keeps it to itself
    const hosts = join(this.#dir, 'hosts');
    await writeFile(hosts, `127.0.0.1 localhost\n${address} ${name}\n`);
    const prepare = [
      'mount -t tmpfs tmpfs /etc/docker',
      'mount --bind "$1" /etc/hosts',
      'ip link set lo up',
      'ip address add "$2" dev lo',
      // What docs/cluster.md asks of a host: Berth has no right to low ports.
      'echo 443 >/proc/sys/net/ipv4/ip_unprivileged_port_start',
      'shift 2; exec dockerd "$@"',
    ].join(' && ');
    const at = (part: string) => join(this.#dir, part);
    const roots = [
      '--data-root',
      at('data'),
      '--exec-root',
      at('exec'),
      '--pidfile',
      at('pid'),
      '--host',
      this.#socket,
    ];
    const args = [...NAMESPACES, 'sh', '-c', prepare, 'sh', hosts, address, ...roots];
    this.#dockerd = this.#workspace.start({ name: 'dockerd', command: 'unshare', args });
    await this.#dockerd.waitFor(
      'does not answer',
      () =>
        this.docker(['info']).then(
          () => true,
          () => false,
        ),
      60_000,
    );
  }

  get #socket(): string {
    return `unix://${join(this.#dir, 'sock')}`;
  }

  get env(): Record<string, string> {
    return { DOCKER_HOST: this.#socket, DOCKER_CONFIG: join(this.#dir, 'config') };
  }

  docker(args: string[], options: RunOptions = {}): Promise<string> {
    return this.#workspace.run('docker', args, { ...options, env: { ...this.env, ...options.env } });
  }

  /** Runs a program of this machine on that host: in its network, with its names. */
  run(command: string, args: string[], options?: RunOptions): Promise<string> {
    const outside = this.#dockerd?.pid ?? 0;
    const [inside = ''] = readFileSync(`/proc/${outside}/task/${outside}/children`, 'utf8').split(' ');
    return this.#workspace.run('nsenter', ['--target', inside, '--net', '--mount', '--', command, ...args], options);
  }
}

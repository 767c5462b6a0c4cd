/**
 * A mount namespace, and where wanted a network, of its own: what is mounted in it the machine never sees, and all of
 * it goes with the last program in it, however that ends. Needs root.
 */
import { readFileSync } from 'node:fs';
import type { Workspace } from './processes.ts';
import type { Program } from './program.ts';

export interface NamespaceOptions {
  /** An address that its loopback carries: then it has a network of its own, and nothing else in that. */
  address?: string;
  /** Run in it by a shell before anything else. */
  script?: string;
}

export class Namespace {
  readonly #holder: Program;

  constructor(holder: Program) {
    this.#holder = holder;
  }

  /** What to put before a command for it to run there. */
  through(...kinds: readonly ('mount' | 'net')[]): [string, ...string[]] {
    const file = { mount: 'mnt', net: 'net' };
    return ['nsenter', ...kinds.map((kind) => `--${kind}=/proc/${this.#holder.pid}/ns/${file[kind]}`)];
  }

  get pid(): number {
    return this.#holder.pid;
  }

  hasMounted(dir: string): boolean {
    const lines = readFileSync(`/proc/${this.#holder.pid}/mounts`, 'utf8').split('\n');
    return lines.some((line) => line.split(' ')[1] === dir);
  }
}

export async function openNamespace(
  workspace: Workspace,
  { address, script = '' }: NamespaceOptions = {},
): Promise<Namespace> {
  const net = address === undefined ? [] : ['--net'];
  const network = address === undefined ? '' : `ip link set lo up\nip addr add ${address}/32 dev lo`;
  const setUp = `set -e\n${network}\n${script}`;
  const holder = workspace.start({
    name: 'namespace',
    expendable: true,
    command: 'unshare',
    args: ['--mount', '--propagation', 'private', ...net, 'sh', '-c', `${setUp}\necho ready\nexec sleep infinity`],
  });
  await holder.waitFor('is not ready', () => holder.log().endsWith('ready\n'));
  return new Namespace(holder);
}

/** A cable between two networks; the first end of it is called `near`, the second `far`, each with its address of a /24. */
export async function connectNamespaces(
  workspace: Workspace,
  [near, nearAddress]: readonly [Namespace, string],
  [far, farAddress]: readonly [Namespace, string],
): Promise<void> {
  const ip = async (namespace: Namespace, line: string): Promise<void> => {
    const [command, ...args] = namespace.through('net');
    await workspace.run(command, [...args, 'ip', ...line.split(' ')]);
  };
  await ip(near, `link add near type veth peer name far netns ${far.pid}`);
  await ip(near, `addr add ${nearAddress}/24 dev near`);
  await ip(far, `addr add ${farAddress}/24 dev far`);
  await ip(near, 'link set near up');
  await ip(far, 'link set far up');
}

/** Hosts on one switch, which is `hub`: each has its address of a /24 on eth0, and the hub has one of its own. */
export async function switchNamespaces(
  workspace: Workspace,
  [hub, hubAddress]: readonly [Namespace, string],
  hosts: readonly (readonly [Namespace, string])[],
): Promise<void> {
  const ip = async (namespace: Namespace, lines: readonly string[]): Promise<void> => {
    const [command, ...args] = namespace.through('net');
    await workspace.run(command, [...args, 'ip', '-batch', '-'], { input: lines.join('\n') });
  };
  await ip(hub, ['link add br0 type bridge', `addr add ${hubAddress}/24 dev br0`, 'link set br0 up']);
  for (const [i, [host, address]] of hosts.entries()) {
    await ip(hub, [`link add port${i} type veth peer name eth0 netns ${host.pid}`, `link set port${i} master br0 up`]);
    await ip(host, [`addr add ${address}/24 dev eth0`, 'link set eth0 up']);
  }
}

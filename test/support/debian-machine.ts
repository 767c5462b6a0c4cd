/**
 * A Debian of its own, with systemd as its first process: it has this machine's network or the one that it is given, and
 * everything else apart. What is installed or written there is gone with it. Needs root.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Namespace } from './namespace.ts';
import type { Workspace } from './processes.ts';
import type { Program } from './program.ts';

const SUITE = 'bookworm';
/** Made once on a machine, and never written to: each Debian writes to memory. */
const ROOT = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'berth-test', `debian-${SUITE}`);
const PATIENCE_MS = 400_000;
const INCLUDED = ['systemd', 'systemd-sysv', 'libatomic1'];
const MAKE = `
  [ -d "$1" ] && exit
  rm -rf "$1.new"
  debootstrap --variant=minbase --include=${INCLUDED.join(',')} ${SUITE} "$1.new"
  mv "$1.new" "$1"`;
/** systemd-nspawn does not take what it started with it when it is killed; a namespace of processes does. */
const BOOT = `
  exec systemd-nspawn --directory="$1" --volatile=overlay --boot --register=no --keep-unit --console=pipe \\
    --bind-ro="$2:/shared"`;

export class DebianMachine {
  readonly #workspace: Workspace;
  readonly #outside: Program;

  constructor(workspace: Workspace, outside: Program) {
    this.#workspace = workspace;
    this.#outside = outside;
  }

  /** Runs a command to its end; rejects with what it said where that is not 0. */
  async run(command: string, ...args: string[]): Promise<string> {
    const env = ['env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'DEBIAN_FRONTEND=noninteractive', 'LC_ALL=C.UTF-8'];
    const into = [`--target=${this.#first()}`, '--all', '--root', '--wd'];
    return this.#workspace.run('nsenter', [...into, ...env, command, ...args]);
  }

  shell(script: string): Promise<string> {
    return this.run('sh', '-ec', script);
  }

  async write(path: string, text: string): Promise<void> {
    await this.shell(`mkdir -p $(dirname ${path}) && cat >${path} <<'END'\n${text}\nEND`);
  }

  /** A property of a unit, as systemd has it. */
  async property(unit: string, name: string): Promise<string> {
    return (await this.run('systemctl', 'show', `--property=${name}`, '--value', unit)).trim();
  }

  /** Another Debian may have to end before. */
  async booted(): Promise<void> {
    const isUp = () =>
      this.run('systemctl', 'is-system-running').then(
        (said) => said === 'running\n',
        () => false,
      );
    await this.#outside.waitFor('has not booted', isUp, PATIENCE_MS);
  }

  /** Its first process, as this machine knows it: unshare has systemd-nspawn for a child, and that has systemd. */
  #first(): string {
    const first = childOf(childOf(String(this.#outside.pid)));
    // Whatever else runs there before has this machine's root: nothing may be installed there.
    if (read(`/proc/${first}/comm`) === 'systemd\n' && /^NSpid:.*\t1$/m.test(read(`/proc/${first}/status`)))
      return first;
    throw new Error('this Debian has no first process');
  }
}

/**
 * Boots; the first on a machine also makes the root from Debian's packages. It sees `shared` as /shared. In a network of
 * its own it may set what /proc/sys/net has.
 */
export async function bootDebian(workspace: Workspace, shared: string, network?: Namespace): Promise<DebianMachine> {
  mkdirSync(dirname(ROOT), { recursive: true });
  await workspace.run('flock', [`${ROOT}.lock`, 'sh', '-ec', MAKE, 'sh', ROOT], { timeoutMs: PATIENCE_MS });
  const inside = network?.through('net') ?? [];
  const apart = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const outside = workspace.start({
    name: 'debian',
    expendable: true,
    // One at a time: systemd-nspawn allows no more on one root.
    command: 'flock',
    args: ['--no-fork', `${ROOT}.lock`, ...inside, ...apart, 'sh', '-c', BOOT, 'sh', ROOT, shared],
    ...(network && { env: { SYSTEMD_NSPAWN_API_VFS_WRITABLE: 'network' } }),
  });
  const machine = new DebianMachine(workspace, outside);
  await machine.booted();
  return machine;
}

/** Its first child; empty where there is none. */
function childOf(pid: string): string {
  return read(`/proc/${pid}/task/${pid}/children`).trim().split(' ')[0] ?? '';
}

/** Empty where there is no such process, or no more. */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/**
 * A Debian of its own, with systemd as its first process: it has this machine's network, and everything else apart.
 * What is installed or written there is gone with it. Needs root.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Workspace } from './processes.ts';
import type { Program } from './program.ts';

const SUITE = 'bookworm';
/** Made once on a machine, and never written to: each Debian writes to memory. */
const ROOT = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'berth-test', `debian-${SUITE}`);
const INCLUDED = ['systemd', 'systemd-sysv', 'libatomic1'];
/** systemd-nspawn does not take what it started with it when it is killed; a namespace of processes does. */
const BOOT = `
  set -e
  root=$1 shared=$2
  if ! [ -d "$root" ]; then
    rm -rf "$root.new"
    debootstrap --variant=minbase --include=${INCLUDED.join(',')} ${SUITE} "$root.new"
    mv "$root.new" "$root"
  fi
  exec systemd-nspawn --directory="$root" --volatile=overlay --boot --register=no --keep-unit --console=pipe \\
    --bind-ro="$shared:/shared"`;

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

  /** A property of a unit, as systemd has it. */
  async property(unit: string, name: string): Promise<string> {
    return (await this.run('systemctl', 'show', `--property=${name}`, '--value', unit)).trim();
  }

  /** Debian's packages may have to be fetched before. */
  async booted(): Promise<void> {
    const isUp = () =>
      this.run('systemctl', 'is-system-running').then(
        (said) => said === 'running\n',
        () => false,
      );
    await this.#outside.waitFor('has not booted', isUp, 400_000);
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

/** Boots; the first on a machine also makes the root from Debian's packages. It sees `shared` as /shared. */
export async function bootDebian(workspace: Workspace, shared: string): Promise<DebianMachine> {
  mkdirSync(dirname(ROOT), { recursive: true });
  const apart = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const outside = workspace.start({
    name: 'debian',
    expendable: true,
    // One at a time: systemd-nspawn allows no more on one root.
    command: 'flock',
    args: ['--no-fork', `${ROOT}.lock`, ...apart, 'sh', '-c', BOOT, 'sh', ROOT, shared],
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

/**
 * A real MooseFS on one machine: a master, a chunkserver, and as many independent mounts as there are registry hosts,
 * in a network and a mount namespace of their own. Needs root, FUSE and the Debian packages moosefs-master,
 * moosefs-chunkserver and moosefs-client.
 */
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openNamespace, type Namespace } from './namespace.ts';
import type { Workspace } from './processes.ts';
import type { Program } from './program.ts';

/** A MooseFS that takes files; it ends with the workspace. */
export async function startMooseFs(workspace: Workspace): Promise<MooseFs> {
  const moosefs = new MooseFs(workspace, await openNamespace(workspace, { address: ADDRESS }));
  await moosefs.start();
  return moosefs;
}

/** No address of 127.0.0.0/8: a chunkserver refuses a master there. */
const ADDRESS = '10.99.99.1';

export interface Mount {
  readonly dir: string;
  /** What to put before a command for it to see the mount. */
  readonly through: readonly string[];
}

export class MooseFs {
  readonly #workspace: Workspace;
  readonly #namespace: Namespace;
  #mounts = 0;

  constructor(workspace: Workspace, namespace: Namespace) {
    this.#workspace = workspace;
    this.#namespace = namespace;
  }

  /** A mount of its own, as on another host; `options` as for `mfsmount -o`. */
  async mount(options: readonly string[] = []): Promise<Mount> {
    const name = `mount-${++this.#mounts}`;
    const dir = join(this.#workspace.dir, name);
    await mkdir(dir);
    // Left alone it would take a higher priority than anything on the machine.
    const all = ['mfsnice=0', 'mfsallowoomkiller', ...options].flatMap((option) => ['-o', option]);
    const args = [dir, '-f', '-H', ADDRESS, ...all];
    const program = this.#start(name, 'mfsmount', args);
    await program.waitFor('does not mount', () => this.#namespace.hasMounted(dir));
    return { dir, through: this.#namespace.through('mount') };
  }

  async start(): Promise<void> {
    const dir = (name: string) => join(this.#workspace.dir, 'moosefs', name);
    for (const name of ['master', 'chunkserver', 'disk']) await mkdir(dir(name), { recursive: true });
    await copyFile('/var/lib/mfs/metadata.mfs.empty', join(dir('master'), 'metadata.mfs'));
    await writeFile(dir('exports.cfg'), '* / rw,alldirs,maproot=0\n');
    await writeFile(dir('topology.cfg'), '');
    await writeFile(dir('hdd.cfg'), `${dir('disk')}\n`);
    const common = {
      WORKING_USER: 'root',
      WORKING_GROUP: 'root',
      NICE_LEVEL: 0,
      DISABLE_OOM_KILLER: 0,
      AUTH_CODE: 'test',
    };
    await writeFile(
      dir('master.cfg'),
      settings({
        ...common,
        DATA_PATH: dir('master'),
        EXPORTS_FILENAME: dir('exports.cfg'),
        TOPOLOGY_FILENAME: dir('topology.cfg'),
        LOCK_MEMORY: 0,
        MATOML_LISTEN_HOST: ADDRESS,
        MATOCS_LISTEN_HOST: ADDRESS,
        MATOCL_LISTEN_HOST: ADDRESS,
      }),
    );
    await writeFile(
      dir('chunkserver.cfg'),
      settings({
        ...common,
        DATA_PATH: dir('chunkserver'),
        HDD_CONF_FILENAME: dir('hdd.cfg'),
        HDD_LEAVE_SPACE_DEFAULT: '64MiB',
        MASTER_HOST: ADDRESS,
        CSSERV_LISTEN_HOST: ADDRESS,
        BIND_HOST: ADDRESS,
      }),
    );
    const master = this.#start('mfsmaster', 'mfsmaster', ['-f', '-c', dir('master.cfg'), 'start']);
    await master.waitFor('does not come up', () => master.log().includes('initialized properly'));
    const chunkserver = this.#start('mfschunkserver', 'mfschunkserver', ['-f', '-c', dir('chunkserver.cfg'), 'start']);
    // Before it is registered a write would only be tried again and again.
    await chunkserver.waitFor('is not registered', () => master.log().includes('chunkserver register end'), 30_000);
    const { dir: root } = await this.mount();
    const [nsenter, ...there] = this.#namespace.through('mount', 'net');
    const inside = (...command: string[]) => this.#workspace.run(nsenter, [...there, ...command]);
    // One copy of everything: for the usual two, writes wait for a second chunkserver.
    await inside('mfssetgoal', '1', root);
    // The first file of all takes some seconds.
    await inside('cp', '/etc/hostname', join(root, 'first-file'));
  }

  #start(name: string, command: string, args: string[]): Program {
    const [nsenter, ...inside] = this.#namespace.through('mount', 'net');
    return this.#workspace.start({ name, command: nsenter, args: [...inside, command, ...args], expendable: true });
  }
}

/** As MooseFS reads them. */
function settings(values: Record<string, string | number>): string {
  return Object.entries(values)
    .map(([key, value]) => `${key} = ${value}\n`)
    .join('');
}

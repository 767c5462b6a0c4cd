/**
 * Images that stand in for those of a registry that cannot be reached: this machine's programs, laid out as those
 * images are.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { DockerHost } from './docker-host.ts';
import type { Workspace } from './processes.ts';

export type StandIn = {
  /** Where each program of this machine is in the image. */
  readonly programs: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
  readonly folders?: Readonly<Record<string, string>>;
  readonly links?: Readonly<Record<string, string>>;
  readonly empty?: readonly string[];
  /** Lines of a Dockerfile. */
  readonly changes: readonly string[];
};

export async function importImage(workspace: Workspace, host: DockerHost, tag: string, image: StandIn): Promise<void> {
  const root = mkdtempSync(join(workspace.dir, 'image-'));
  const place = (path: string): string => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    return join(root, path);
  };
  for (const [path, program] of Object.entries(image.programs)) {
    const file = realpathSync(which(program));
    copyFileSync(file, place(path));
    for (const library of librariesOf(file)) copyFileSync(library, place(library));
  }
  for (const [path, folder] of Object.entries(image.folders ?? {})) cpSync(folder, place(path), { recursive: true });
  for (const [path, text] of Object.entries(image.files ?? {})) writeFileSync(place(path), text);
  for (const [path, to] of Object.entries(image.links ?? {})) symlinkSync(to, place(path));
  for (const path of image.empty ?? []) mkdirSync(join(root, path), { recursive: true });
  const changes = image.changes.flatMap((change) => ['--change', change]);
  await workspace.run('sh', ['-c', 'tar -C "$0" -c . | docker import "$@"', root, ...changes, '-', tag], {
    env: host.env,
  });
}

function which(program: string): string {
  if (program.startsWith('/')) return program;
  const { stdout } = spawnSync('sh', ['-c', 'PATH=$PATH:/usr/sbin:/sbin; command -v "$0"', program], {
    encoding: 'utf8',
  });
  return stdout.trim();
}

/** The loader among them; none for a program that needs none. */
function librariesOf(file: string): string[] {
  const { stdout } = spawnSync('ldd', [file], { encoding: 'utf8' });
  return [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, path = '']) => path);
}

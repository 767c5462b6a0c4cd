/** Code that runs in the program before its first line. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { folderOf } from './files.ts';

/** The environment of a program that loads `script`, CommonJS, first: the single file takes no notice of `--import`. */
export function preload(script: string, options = ''): { NODE_OPTIONS: string } {
  const file = join(folderOf(), 'preload.cjs');
  writeFileSync(file, script);
  return { NODE_OPTIONS: `${options} --require=${file}` };
}

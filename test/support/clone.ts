/** This project as it is, in a repository of its own. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

const AUTHOR = { GIT_AUTHOR_NAME: 'test', GIT_AUTHOR_EMAIL: 'test@localhost' };
const COMMITTER = { GIT_COMMITTER_NAME: 'test', GIT_COMMITTER_EMAIL: 'test@localhost' };
/** npm and git are the operator's: what `npm test` has set would make npm take this folder for its own. */
const env = {
  ...Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(?!config_)|_prefix$|^NODE_TEST/.test(name)),
  ),
  ...AUTHOR,
  ...COMMITTER,
};

/** Runs a command to its end, as an operator does; returns its standard output. */
export function runIn(folder: string, command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { cwd: folder, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Committed on `main`, and nobody has run anything in it; `change` makes the files other than they are here. */
export function cloneInto(folder: string, change: () => void = () => {}): void {
  const files = runIn(process.cwd(), 'git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard');
  for (const file of files.split('\0').filter((name) => name !== '' && existsSync(name))) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    copyFileSync(file, join(folder, file));
  }
  change();
  runIn(folder, 'git', 'init', '--quiet', '--initial-branch', 'main');
  commitAll(folder, 'as it is');
}

export function commitAll(folder: string, message: string): void {
  runIn(folder, 'git', 'add', '--all');
  runIn(folder, 'git', 'commit', '--quiet', '--message', message);
}

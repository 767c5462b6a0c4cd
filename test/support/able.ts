/**
 * What a machine cannot do, found out by the smallest try there is, so that a test is skipped for the machine's sake
 * alone. A function returns the reason, for `skip`, or false; what fails beyond that is a failure of the test.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { networkInterfaces } from 'node:os';

/** Namespaces of its own need root, and a container that allows them. */
export function noNamespaces(...kinds: readonly ('mount' | 'net' | 'pid')[]): string | false {
  if (process.getuid?.() !== 0) return 'not run: it needs root, for namespaces of its own';
  const args = ['--fork', ...kinds.map((kind) => `--${kind}`), 'true'];
  const { status, error, stderr } = spawnSync('unshare', args, { encoding: 'utf8' });
  if (status === 0) return false;
  return `not run: unshare ${args.join(' ')}: ${(error?.message ?? stderr).trim()}`;
}

export function noFuse(): string | false {
  try {
    closeSync(openSync('/dev/fuse', 'r+'));
    return false;
  } catch (error) {
    return `not run: it needs FUSE: ${(error as Error).message}`;
  }
}

/** dockerd does not start without control groups, of either version. */
export function noControlGroups(): string | false {
  const either = ['/sys/fs/cgroup/cgroup.controllers', '/sys/fs/cgroup/devices'];
  return either.some((path) => existsSync(path))
    ? false
    : `not run: it needs control groups, and there is no ${either.join(' and no ')}`;
}

export function noIpv6(): string | false {
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  return addresses.some(({ address }) => address === '::1') ? false : 'not run: this machine has no ::1';
}

/** Whether this Node knows `reusePort` of a bind; an older one has a line that says so, which is tested in its place. */
export const NODE_SHARES_PORTS = ((): boolean => {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12);
})();

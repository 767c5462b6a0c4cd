import { chmodSync, chownSync, existsSync, readFileSync, statSync, type Stats } from 'node:fs';
import type { Bind } from '../config/values.ts';
import { FaultyBind } from './bind-error.ts';

export type UnixBind = Bind & { readonly kind: 'unix' };

/** With a group and no mode: whoever is in the group may connect, for which it takes the right to write. */
const MODE_OF_A_GROUP = 0o660;

/** Gives the socket its group and its mode. Returns how to undo that; throws a BindError. */
export function permit({ path, mode, group }: UnixBind): () => void {
  const before = statOf(path);
  const gid = group === undefined ? (process.getegid?.() ?? before.gid) : groupId(group);
  const undo = (): void => {
    // A rollback cannot fail: who has removed the file meanwhile needs no mode.
    if (!existsSync(path)) return;
    chownSync(path, -1, before.gid);
    chmodSync(path, before.mode & 0o777);
  };
  try {
    if (gid !== before.gid) chownSync(path, -1, gid);
    chmodSync(path, mode ?? (group === undefined ? 0o777 & ~umask() : MODE_OF_A_GROUP));
  } catch (error) {
    const { code = 'UNKNOWN', message } = error as NodeJS.ErrnoException;
    if (code !== 'EPERM') throw new FaultyBind(code, message);
    const what = `this process may not give the socket to group ${group ?? gid}`;
    throw new FaultyBind(code, `${what}. Make its user a member of the group, or run it as root`);
  }
  return undo;
}

/** To read the umask alone is deprecated in Node, since another thread may change it meanwhile. */
function umask(): number {
  const mask = process.umask(0o077);
  process.umask(mask);
  return mask;
}

/** The number of a group: a name stands in group(5). */
function groupId(group: string | number): number {
  if (typeof group === 'number') return group;
  const row = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name]) => name === group);
  if (row?.[2] !== undefined) return Number(row[2]);
  throw new FaultyBind('ENOGROUP', `there is no group ${group} in /etc/group. Add it, or give its number`);
}

function statOf(path: string): Stats {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats) return stats;
  throw new FaultyBind('ENOENT', 'somebody has removed the file of the socket. Restart, to make the file anew');
}

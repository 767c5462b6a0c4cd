import type { BackendConfig } from '../config/schema.ts';
import type { Prefix } from './client-key.ts';

export type StickTableOptions = {
  /** Most entries. */
  readonly size: number;
  /** How long a binding outlives the client's last match or last closed connection. */
  readonly expireMs: number;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
  /** Remember the first server of a client that was moved: `home`. */
  readonly homes?: boolean;
};

export type TableOptions = StickTableOptions & { readonly prefix: Prefix };

/** What a backend's configuration wants of its stick table; undefined where it wants none. */
export function tableOptions({ stickTable, servers }: BackendConfig): TableOptions | undefined {
  if (stickTable === false) return undefined;
  // Where there are backups, their clients must find the way back.
  const homes = stickTable.failback === 'return' || Object.values(servers).some(({ backup }) => backup);
  return { size: stickTable.size, expireMs: stickTable.expire, homes, prefix: stickTable.prefix };
}

/** Whether a client is the same in both tables. */
export const samePrefix = ({ prefix: a }: TableOptions, { prefix: b }: TableOptions): boolean =>
  a.ipv4 === b.ipv4 && a.ipv6 === b.ipv6;

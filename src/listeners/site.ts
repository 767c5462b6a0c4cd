import type { Socket } from 'node:net';
import type { Bind } from '../config/values.ts';

export type Owner = { readonly kind: 'frontend' | 'metrics' | 'admin'; readonly name: string };

/** Gets each accepted connection, paused; `unix` says that the connection has no address. */
export type Take = (socket: Socket, unix: boolean) => void;

/** A bind, and who is served there. */
export type Site = {
  readonly owner: Owner;
  readonly bind: Bind;
  readonly take: Take;
  /** Nobody asked for the site: where it cannot be had, the plan goes on without. */
  readonly optional?: boolean;
};

/** Places for connections that are parked; all listeners together may fill the places that traffic leaves. */
export type Parking = {
  /** Takes a place; false if no place is left. */
  enter(): boolean;
  leave(): void;
};

export const sameOwner = (a: Owner, b: Owner): boolean => a.kind === b.kind && a.name === b.name;

/** An owner, as errors and log lines call it. */
export function ownerText({ kind, name }: Owner): string {
  return kind === 'frontend' ? `frontend ${name}` : kind;
}

import type { Server } from '../server.ts';
import type { LinkParts, LinkState } from './link.ts';
import type { SharedBinding } from './words.ts';

/** A balancer's own stick table, as the shared one sees it. */
export type OwnTable = {
  /** How long a binding lives, in milliseconds. */
  readonly expireMs: number;
  /** The binding of a client that is here, or was here and has not expired. */
  bound(client: string): OwnBinding | undefined;
  /**
   * Binds a client that is known as another balancer has it: to nobody, where `binding` is undefined or where this
   * balancer has no such server. `isMove`: the client had a server that both knew.
   */
  follow(client: string, binding: SharedBinding | undefined, isMove: boolean): void;
};

export type OwnBinding = { readonly server: string; readonly home: string | undefined; readonly open: boolean };

export type SharedTableEvents = {
  changed(state: LinkState, before: LinkState | undefined): void;
  /** The shared table has answered within so many milliseconds. */
  answered(ms: number): void;
  /** What is said of servers cannot be shared, while the link is up. */
  statesFailed(reason: string): void;
};

export type SharedTableParts = LinkParts & {
  /** What other balancers call this one. */
  readonly name: string;
  readonly own: OwnTable;
  /** The servers in force, where what operators say of them is shared. */
  readonly servers: (() => readonly Server[]) | undefined;
  readonly events: SharedTableEvents;
};

/** What the shared table said of a client when it was asked, or heard of, last. */
export type Shadow = {
  value: string;
  /** The server's name in `value`; empty for what no balancer has written. */
  server: string;
  /** What was learnt in another epoch than that of the link may have changed since. */
  epoch: number;
};

/** A bid that is under way; `heard` is what another balancer has told meanwhile. */
export type Asked = { readonly done: Promise<void>; heard: string | undefined };

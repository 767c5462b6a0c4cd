/** What the admin API answers, as far as the page reads it. Times are ISO strings; an unknown value is null. */

export type AdminState = 'ready' | 'drain' | 'maint';

export type ServerStatus = {
  readonly name: string;
  readonly address: string;
  readonly up: boolean;
  readonly since: string;
  readonly reason: string;
  readonly storage: 'known' | 'unknown' | null;
  readonly storageReason: string;
  readonly state: AdminState;
  readonly usable: boolean;
  readonly weight: number;
  readonly configuredWeight: number;
  readonly backup: boolean;
  readonly connections: number;
  readonly connectionsPerSecond: number;
  readonly queue: number;
  readonly clients: number;
  readonly bytesInPerSecond: number;
  readonly bytesOutPerSecond: number;
  readonly connectErrors: number;
  readonly connectMs: number | null;
  readonly checkMs: number | null;
};

export type NameStatus = {
  readonly server: string;
  readonly address: string;
  readonly servers: number;
  readonly resolves: boolean;
  readonly reason: string;
};

export type BackendStatus = {
  readonly name: string;
  readonly balance: string;
  readonly queue: number;
  readonly stickTable:
    | false
    | {
        readonly size: number;
        readonly entries: number;
        readonly shared: { readonly up: boolean; readonly reason: string; readonly pending: number } | null;
      };
  readonly connections: number;
  readonly bytesInPerSecond: number;
  readonly bytesOutPerSecond: number;
  readonly servers: readonly ServerStatus[];
  readonly names: readonly NameStatus[];
};

export type FrontendStatus = {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly connections: number;
  readonly connectionsTotal: number;
  readonly connectionsPerSecond: number;
  readonly refusedTotal: number;
};

export type Status = {
  readonly version: string;
  readonly stage: string;
  readonly startedAt: string;
  readonly now: string;
  readonly config: {
    readonly file: string;
    readonly loadedAt: string;
    readonly lastReload: { readonly ok: boolean; readonly at: string; readonly problems: readonly string[] } | null;
  };
  readonly frontends: readonly FrontendStatus[];
  readonly backends: readonly BackendStatus[];
};

export type Session = {
  readonly client: string;
  readonly backend: string;
  readonly server: string | null;
  readonly direction: string;
  readonly connections: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly bytesInPerSecond: number;
  readonly bytesOutPerSecond: number;
  readonly since: string;
  readonly quietMs: number;
};

export type Sessions = { readonly items: readonly Session[]; readonly total: number };

export type Explanation = {
  readonly ip: string;
  readonly frontends: readonly { readonly name: string; readonly admitted: boolean; readonly why: string }[];
  readonly backends: readonly {
    readonly name: string;
    readonly client: string | null;
    readonly server: string | null;
    readonly home: string | null;
    readonly connections: number;
    readonly waiting: number;
    readonly expiresMs: number | null;
    readonly why: string;
    readonly moves: readonly Move[];
    readonly wouldGo: string | null;
  }[];
};

export type Move = { readonly at: string; readonly from: string; readonly to: string; readonly reason: string };

/** A connection that an address stood for. */
export type Stood = {
  readonly open: boolean;
  readonly client: string;
  readonly frontend: string;
  readonly backend: string | null;
  readonly server: string | null;
  readonly since: string;
  readonly endedAt: string | null;
  readonly end: string | null;
};

export type Whois = Stood & { readonly from: string; readonly others: readonly Stood[] };

/**
 * What a change has done, or with `dryRun` would do: `moves` clients lose the server that they are bound to. The weight
 * before is what is wanted; that of the server is less while it starts slowly.
 */
export type Changed = {
  readonly before: { readonly state: AdminState; readonly weight: number };
  readonly server: ServerStatus;
  readonly moves: number;
};

export type Change = { readonly state?: AdminState; readonly weight?: number };

/** A line of the log that is an event. */
export type EventLine = {
  readonly event?: string;
  readonly level?: string;
  readonly msg?: string;
  readonly time?: string;
  readonly [key: string]: unknown;
};

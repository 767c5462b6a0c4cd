/** A binding as a state file keeps it: `remainingMs` is its life if its client is away from now on. */
export type Binding<S> = {
  readonly client: string;
  readonly server: S;
  readonly home: S | undefined;
  readonly remainingMs: number;
};

/** What a stick table knows of a client. */
export type Entry<S> = {
  readonly client: string;
  server: S | undefined;
  connections: number;
  /** When the last connection was closed; of no meaning while there are connections. */
  leftMs: number;
};

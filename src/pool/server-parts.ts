import type { PoolObserver, Wake } from './observer.ts';
import type { Probe } from './probe/probe.ts';
import type { Lookup } from './resolve.ts';
import type { ServerTerms } from './terms.ts';

/** What a server is made of. */
export type ServerParts = {
  readonly backend: string;
  readonly name: string;
  readonly config: ServerTerms;
  readonly observer: PoolObserver;
  readonly probe: Probe;
  readonly lookup?: Lookup | undefined;
  readonly wake?: Wake | undefined;
  readonly onNameAnswer?: (() => void) | undefined;
};

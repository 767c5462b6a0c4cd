/** Servers whose checks and names a test answers by hand. */
import type { TestContext } from 'node:test';
import { schema, type HealthCheckConfig } from '../../src/config/schema.ts';
import type { PoolObserver } from '../../src/pool/observer.ts';
import type { ProbeResult } from '../../src/pool/probe/probe.ts';
import type { Lookup } from '../../src/pool/resolve.ts';
import { Server } from '../../src/pool/server.ts';
import type { ServerTerms } from '../../src/pool/terms.ts';

/** For those who do not ask what the pool tells. */
export const SILENT: PoolObserver = {
  serverChanged() {},
  adminChanged() {},
  weightChanged() {},
  serverChecked() {},
  storageChanged() {},
  serverCame() {},
  serverLeft() {},
  clientCrowds() {},
  sharedChanged() {},
  sharedAnswered() {},
  sharedStatesFailed() {},
  nameChanged() {},
};

type Options = {
  readonly address?: string;
  readonly server?: object;
  readonly healthCheck?: object | false;
  readonly lookup?: Lookup;
  /** What each check sees; a server that is checked without it never gets an answer. */
  readonly probe?: (host: string) => Promise<ProbeResult>;
};

export type TestServer = Server & {
  /** Each change, as the observer was told of it: `up` or the reason for its being down. */
  readonly told: string[];
};

export function testServer(name: string, options: Options = {}): TestServer {
  const { address = '10.0.0.1:5000', server = {}, healthCheck = {}, lookup, probe } = options;
  const { backends } = schema.parse({
    frontends: { f: { bind: '*:1', backend: 'b' } },
    backends: { b: { healthCheck, servers: { [name]: { address, ...server } } } },
  });
  const { servers, healthCheck: check, resolveInterval, sendProxy, source } = backends['b']!;
  const told: string[] = [];
  const made = new Server({
    backend: 'b',
    name,
    config: { sendProxy, resolveInterval, source, ...servers[name], healthCheck: check } as ServerTerms,
    observer: {
      ...SILENT,
      serverChanged: ({ health }) => void told.push(health.up ? 'up' : health.reason),
    },
    ...(lookup ? { lookup } : {}),
    probe: ({ host }) => probe?.(host) ?? new Promise(() => {}),
  });
  // In force; it looks at nothing before its start.
  made.enter();
  return Object.assign(made, { told });
}

/** A health check's whole configuration. */
export function checkConfig(options: object): HealthCheckConfig {
  const { backends } = schema.parse({
    frontends: { f: { bind: '*:1', backend: 'b' } },
    backends: { b: { healthCheck: options, servers: { s: 'h:1' } } },
  });
  const { healthCheck: check } = backends['b']!;
  if (check === false) throw new TypeError('no health check');
  return check;
}

/** Lets everything that is ready happen. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

/** Runs a part of a test, and ends what the part has begun: a property plays many stories in one test. */
export async function inPart(run: (t: Pick<TestContext, 'after'>) => Promise<void>): Promise<void> {
  const ends: (() => unknown)[] = [];
  try {
    await run({ after: (end) => void ends.push(end as () => unknown) });
  } finally {
    for (const end of ends) await end();
  }
}

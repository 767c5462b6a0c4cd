/** A backend whose names, questions and checks a test answers by hand, on a clock that the test moves. */
import { mock, type TestContext } from 'node:test';
import { schema, type BackendConfig } from '../../src/config/schema.ts';
import { Backend } from '../../src/pool/backend.ts';
import type { PoolParts } from '../../src/pool/members.ts';
import type { Server } from '../../src/pool/server.ts';
import { settled } from './pool.ts';

/** The configuration of a backend, with its defaults. */
export function backendConfig(options: object): BackendConfig {
  const { backends } = schema.parse({
    frontends: { f: { bind: '*:1', backend: 'b' } },
    backends: { b: options },
  });
  return backends['b']!;
}

export class Scene {
  /** What the observer was told, and in which order. */
  readonly told: string[] = [];
  /** Each name that began or ceased to fail, as the observer was told of it. */
  readonly heard: string[] = [];
  /** What DNS finds for the name `r.test` at its next question; none is an answer that fails. */
  found: readonly string[] = [];
  /** Hosts at which a check fails. */
  readonly dead = new Set<string>();
  readonly backend: Backend;
  /** Checks that the observer was told of. */
  checks = 0;
  nowMs = 1;

  constructor(t: Pick<TestContext, 'after'>, parts: Partial<PoolParts> = {}) {
    mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
    const tell =
      (what: string) =>
      ({ name }: Server): void =>
        void this.told.push(`${what} ${name}`);
    this.backend = new Backend(
      'b',
      {
        serverChanged: ({ name, health }) => void this.told.push(`${health.up ? 'up' : 'down'} ${name}`),
        adminChanged: ({ name, admin }) => void this.told.push(`${admin} ${name}`),
        weightChanged: ({ name }, weight) => void this.told.push(`weight ${weight} of ${name}`),
        serverChecked: () => void this.checks++,
        storageChanged() {},
        serverCame: tell('came'),
        serverLeft: tell('left'),
        nameChanged: ({ server, failing }) =>
          void this.heard.push(`${server}: ${failing ? failing.reason : 'resolves'}`),
        clientCrowds: (_, { client }) => void this.told.push(`crowd ${client}`),
        sharedChanged: (_, { up, reason }) => void this.told.push(up ? 'shared' : `alone: ${reason}`),
        sharedAnswered() {},
        sharedStatesFailed() {},
      },
      {
        now: () => this.nowMs,
        ask: async ({ name }) => {
          const endpoints = this.found.map((host) => ({ host, port: 5000, name }));
          return { endpoints, ttlSeconds: 3600, unanswered: [] };
        },
        lookup: () => Promise.resolve(['10.9.9.9']),
        probe: async ({ host }) => (this.dead.has(host) ? { ok: false, reason: 'refused' } : { ok: true }),
        ...parts,
      },
    );
    t.after(() => {
      this.backend.close();
      mock.timers.reset();
    });
  }

  /** In force, after the first answers. */
  async commit(config: BackendConfig): Promise<void> {
    const step = this.backend.plan(config);
    await settled();
    step.commit();
    await this.pass(1);
  }

  /** Time passes, in steps of at most a second. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 1_000) {
      const stepMs = Math.min(left, 1_000);
      this.nowMs += stepMs;
      mock.timers.tick(stepMs);
      await settled();
    }
  }

  get names(): string[] {
    return this.backend.servers.map(({ name }) => name);
  }

  server(name: string): Server {
    const found = this.backend.servers.find((server) => server.name === name);
    if (!found) throw new Error(`there is no ${name}, there are ${this.names.join(', ')}`);
    return found;
  }

  /** One connection of the client at `address`: the server that it got, and how. */
  visit(address: string): string {
    const stay = this.backend.open(address);
    const choice = stay.choose(new Set());
    stay.close();
    if (choice.kind === 'full') return 'full';
    if (choice.kind !== 'none') choice.server.releaseSlot();
    return choice.kind === 'none' ? 'none' : `${choice.kind} ${choice.server.name}`;
  }
}

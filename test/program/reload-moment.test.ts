/** A reload is one moment: before it every connection is served by the old configuration, after it by the new one. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { test } from 'node:test';
import { start } from '../support/berth.ts';
import { status } from '../support/operator.ts';
import { whoServes } from '../support/people.ts';
import { serve, type TestServer } from '../support/servers.ts';
import { type Settings, yaml } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

const FRONTENDS = ['f', 'g', 'h'];
const RELOADS = 6;
const WALKERS = 8;
/** Clients that wait to be accepted at the first frontend when a reload begins. */
const WAITING = 200;

/** Clients who go from frontend to frontend. The name of who serves them is the number of a generation. */
class Walkers {
  visits = 0;
  /** The newest generation that has served anybody. */
  newest = 0;
  /** Who was served by an older generation than a client before, and who was not served at all. */
  readonly faults: string[] = [];
  readonly #loops: Promise<void>[];
  #home = false;

  constructor(addresses: readonly string[]) {
    this.#loops = Array.from({ length: WALKERS }, async (_, i) => {
      for (let step = i; !this.#home; step++) await this.visit(addresses[step % addresses.length]!, `127.1.0.${i + 1}`);
    });
  }

  async visit(address: string, from: string): Promise<void> {
    const [host, port] = address.split(':');
    // Whoever connects from now on comes after the client whom this generation has served.
    const atLeast = this.newest;
    try {
      const by = Number(await whoServes(Number(port), from, host));
      if (by < atLeast) this.faults.push(`${address}: by ${by} after ${atLeast}`);
      this.newest = Math.max(this.newest, by);
    } catch (error) {
      this.faults.push(`${address}: ${(error as Error).message}`);
    }
    this.visits++;
  }

  async leave(): Promise<void> {
    this.#home = true;
    await Promise.all(this.#loops);
  }
}

/** Its backend is new. Each frontend has a bind that stays, and another bind that leaves with the next generation. */
function generation(n: number, server: TestServer): Settings {
  const frontends = FRONTENDS.map((name, i) => {
    return [name, { bind: [`127.0.0.${i + 1}:0`, `127.0.${n + 1}.${i + 1}:0`], backend: `b${n}` }] as const;
  });
  return {
    frontends: Object.fromEntries(frontends),
    backends: { [`b${n}`]: { servers: { only: server.address } } },
    metrics: { bind: '127.0.0.1:0' },
    admin: { bind: '127.0.0.1:0' },
    log: { connections: false },
  };
}

test('once the new configuration has served somebody, the old one serves nobody, at whatever frontend', async (t) => {
  const names = Array.from({ length: RELOADS + 1 }, (_, n) => String(n));
  const servers = await serve(t, names);
  const berth = await start(t, generation(0, servers[0]!));
  const stay = (await status(berth)).frontends.map(({ addresses }) => addresses[0]!);
  const walkers = new Walkers(stay);
  const waiting: Promise<void>[] = [];
  for (let n = 1; n <= RELOADS; n++) {
    writeFileSync(berth.file, yaml(generation(n, servers[n]!)));
    const seen = berth.lines.length;
    // The reload finds a crowd at the first frontend, which takes longer to clear than at the others.
    berth.signal('SIGSTOP');
    for (let i = 0; i < WAITING; i++) waiting.push(walkers.visit(stay[0]!, `127.2.0.${1 + (i % 250)}`));
    await nextTurn();
    berth.signal('SIGHUP');
    berth.signal('SIGCONT');
    assert.equal((await berth.line(({ msg }) => msg.startsWith('reload'), seen)).msg, 'reloaded');
    // A generation that nobody has seen could not be compared with the next.
    await eventually('the new configuration to serve', () => walkers.newest === n);
  }
  await Promise.all(waiting);
  await walkers.leave();
  t.diagnostic(`${walkers.visits} visits over ${RELOADS} reloads`);
  assert.deepEqual(walkers.faults, []);
});

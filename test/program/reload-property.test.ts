/**
 * Whatever configurations come one after another, good, wrong or impossible, what is to be seen of a balancer under load is
 * what the last good configuration says, and no connection is lost.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { type Berth, start } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { type DnsServer, NO_DNS, resolver } from '../support/dns.ts';
import { folderOf, openFilesOf } from '../support/files.ts';
import { freeBind, insightOf, listensOn, WITH_INSIGHT } from '../support/leftovers.ts';
import { Load, type Visit } from '../support/load.ts';
import { askAt } from '../support/operator.ts';
import { whoServes } from '../support/people.ts';
import {
  anyStep,
  type Config,
  file,
  FIRST,
  MOST,
  type Places,
  type Seen,
  seen,
  type Step,
} from '../support/reload-model.ts';
import { serve } from '../support/servers.ts';
import { eventually } from '../support/waiting.ts';

/** Connections that stand from the start to the end: more than the descriptors that a balancer keeps in reserve. */
const STANDING = 30;
/** No run begins after a minute, however slow the machine is. */
const RUNS = 8;
const LAST_BEGINS_MS = 60_000;
const SLOW = 'A slow.test';
const GONE = 'A gone.test';

type World = { readonly places: Places; readonly dns: DnsServer; readonly through: readonly string[] };

async function world(t: TestContext): Promise<World> {
  const { dns, through } = await resolver(t);
  const names = ['b', 'c', 'd'].flatMap((backend) =>
    Array.from({ length: MOST.servers }, (_, i) => `${backend}${i + 1}`),
  );
  const servers = await serve(t, names);
  const other = createServer().listen(0, '127.0.9.9');
  await once(other, 'listening');
  t.after(() => other.close());
  const free = (count: number, from: number): Promise<string[]> =>
    Promise.all(Array.from({ length: count }, (_, i) => freeBind(`127.0.9.${from + i}`)));
  const [slow = ''] = await free(1, 60);
  const [slowHost = '', slowPort] = slow.split(':');
  dns.addresses('slow.test', slowHost);
  for (const question of [SLOW, GONE]) dns.hold(question);
  const places = {
    always: await freeBind('127.0.9.10'),
    binds: await free(MOST.binds, 20),
    slow: { bind: `slow.test:${slowPort}`, address: slow },
    gone: `gone.test:${slowPort}`,
    taken: `127.0.9.9:${(other.address() as { port: number }).port}`,
    metrics: await free(2, 30),
    admin: await free(2, 40),
    folder: folderOf(t),
    servers: new Map(servers.map(({ name, address }) => [name, address])),
  };
  return { places, dns, through };
}

/** A client that comes to stay. */
type Guest = { readonly client: Client; readonly frontend: string; readonly server: string; said: string };

/** A balancer that goes from configuration to configuration, with what is known of it. */
class Run {
  readonly #berth: Berth;
  readonly #places: Places;
  readonly #dns: DnsServer;
  readonly #load: Load;
  readonly #guests: Guest[] = [];
  #inForce: Config = FIRST;
  /** What the process has at the start: descriptors that are neither listeners nor connections, timers, listeners. */
  #atStart = { files: 0, timers: 0, listeners: 0 };

  constructor(berth: Berth, { places, dns }: World) {
    this.#berth = berth;
    this.#places = places;
    this.#dns = dns;
    this.#load = new Load(this.#addresses, 8);
  }

  async begin(): Promise<void> {
    for (let i = 0; i < STANDING; i++) await this.#welcome(this.#places.always);
    // What is made once, at the first reload or the first visit, is there then.
    assert.ok(await this.#reload(file(FIRST, this.#places)));
    const { timers, listeners } = await this.#insight();
    const files = openFilesOf(this.#berth.pid) - this.#seen.listens.length - 2 * STANDING;
    this.#atStart = { files, timers, listeners };
    await this.#isAsSeen();
  }

  async step({ config, fault }: Step): Promise<void> {
    const [before, { timers }] = [this.#seen, await this.#insight()];
    const text = file(config, this.#places, fault);
    let inForce: boolean;
    if (fault.kind === 'descriptors') {
      inForce = await this.#withFewDescriptors(fault.left, () => this.#reload(text));
      if (inForce) this.#inForce = config;
      // How many connections fit is reckoned at a reload, by the limit as it is then.
      assert.ok(await this.#reload(file(this.#inForce, this.#places)), 'a reload when there are descriptors again');
    } else {
      this.#load.goOn();
      inForce = await this.#reload(text);
      const visits = await this.#load.pause();
      assert.equal(inForce, fault.kind === 'nothing', JSON.stringify(this.#berth.lines.at(-1)));
      if (inForce) this.#inForce = config;
      areServed(visits, before, this.#seen);
    }
    await this.#isAsSeen();
    if (!inForce) {
      await holds('timers', async () => atMost('timers', (await this.#insight()).timers, timers));
    }
    await this.#welcome([...this.#seen.answers.keys()].at(-1)!);
  }

  /** Back to the first configuration, and the guests leave: everything is as it was at the start. */
  async end(): Promise<void> {
    await this.step({ config: FIRST, fault: { kind: 'nothing' } });
    for (const { client } of this.#guests.splice(0)) assert.equal(await client.finish(), 'end');
    await this.#isAsSeen();
    await holds('what is left at the end', async () => {
      const { timers, listeners } = await this.#insight();
      atMost('timers', timers, this.#atStart.timers);
      atMost('listeners', listeners, this.#atStart.listeners);
    });
    this.#berth.signal('SIGTERM');
    assert.equal(await this.#berth.exitCode(), 0);
  }

  get #seen(): Seen {
    return seen(this.#inForce, this.#places);
  }

  /** Wherever a client may come to under some configuration. */
  get #addresses(): string[] {
    return [this.#places.always, ...this.#places.binds, this.#places.slow.address];
  }

  async #insight(): Promise<{ timers: number; listeners: number }> {
    const { resources, listeners } = await insightOf(this.#berth);
    return { timers: resources['Timeout'] ?? 0, listeners };
  }

  async #welcome(address: string): Promise<void> {
    const { frontend } = this.#seen.answers.get(address)!;
    const [host = '', port] = address.split(':');
    const client = new Client({ port: Number(port), host, from: '127.4.0.1' });
    this.#guests.push({ client, frontend, server: await client.line(), said: '' });
  }

  /** Whether the file has come into force. A name that is looked up for it is not told before some clients have come. */
  async #reload(text: string): Promise<boolean> {
    writeFileSync(this.#berth.file, text);
    const from = this.#berth.lines.length;
    this.#berth.signal('SIGHUP');
    const line = await eventually('a reload to be over', async () => {
      for (const question of [SLOW, GONE].filter((one) => this.#dns.isWaiting(one))) {
        await this.#load.aWhile();
        this.#dns.letGo(question);
      }
      return this.#berth.lines.slice(from).find(({ msg }) => msg.startsWith('reload'));
    });
    return line.msg === 'reloaded';
  }

  async #withFewDescriptors<T>(left: number, act: () => Promise<T>): Promise<T> {
    const { pid } = this.#berth;
    const limit = (soft: string | number): void =>
      void execFileSync('prlimit', ['--pid', `${pid}`, `--nofile=${soft}:`]);
    const enough = /^Max open files +(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))?.[1] ?? '';
    limit(openFilesOf(pid) + left);
    return act().finally(() => limit(enough));
  }

  /** What is to be seen is what the configuration in force says, and nothing else. */
  async #isAsSeen(): Promise<void> {
    const { listens, answers, labels } = this.#seen;
    const { pid } = this.#berth;
    for (const guest of this.#guests) {
      guest.client.socket.write('still here.');
      guest.said += 'still here.';
    }
    for (const { client, server, said } of this.#guests) {
      assert.equal((await client.bytes(server.length + 1 + said.length)).toString(), `${server}\n${said}`);
    }
    await holds('where the process listens', () => assert.deepEqual(listensOn(pid), listens));
    for (const address of this.#addresses) {
      const by = answers.get(address)?.by ?? ['no answer: refused'];
      const [host = '', port] = address.split(':');
      const who = await whoServes(Number(port), '127.5.0.1', host).catch(({ message }: Error) => message);
      assert.ok(by.includes(who), `${who} at ${address}, not ${by.join(' or ')}`);
    }
    await holds('the series', async () => {
      const told = labelsIn(await this.#metrics());
      const lingers = this.#guests.flatMap(({ frontend, server }) => labelsOf(frontend, server));
      assert.deepEqual(
        [...labels].filter((label) => !told.has(label)),
        [],
        'that are missing',
      );
      assert.deepEqual(
        [...told].filter((label) => !labels.includes(label) && !lingers.includes(label)),
        [],
        'too many',
      );
    });
    await holds('the connections', async () => {
      const open = [...(await this.#metrics()).matchAll(/^berth_frontend_connections\{.*\} (\d+)$/gm)];
      assert.equal(
        open.reduce((sum, [, count]) => sum + Number(count), 0),
        this.#guests.length,
      );
    });
    await holds('the descriptors', () => {
      assert.equal(openFilesOf(pid), this.#atStart.files + listens.length + 2 * this.#guests.length);
    });
  }

  async #metrics(): Promise<string> {
    return String((await askAt(this.#places.metrics[this.#inForce.metrics]!, 'GET', '/metrics')).body);
  }
}

/** Waits until `check` complains of nothing any more. */
async function holds(what: string, check: () => Promise<void> | void): Promise<void> {
  let complaint = '';
  await eventually(
    () => `${what} to be right: ${complaint}`,
    async () => {
      try {
        await check();
        return true;
      } catch (error) {
        complaint = (error as Error).message;
        return false;
      }
    },
  );
}

function atMost(what: string, value: number, most: number): void {
  assert.ok(value <= most, `${value} ${what}, not ${most}`);
}

/**
 * Where both configurations listen, either of them serves everybody. Where neither listens, nobody is served. Who comes to a
 * bind that comes or goes may be refused or closed, but is not left hanging; the frontend that gives up a bind may serve who
 * was accepted there by its new route, and a frontend that leaves by its old route, to the servers that its backend has now.
 */
function areServed(visits: readonly Visit[], before: Seen, after: Seen): void {
  const faults = visits.filter(({ address, by, fault = '' }) => {
    const [old, fresh] = [before.answers.get(address), after.answers.get(address)];
    if (by === undefined) return (old && fresh) || !fault.startsWith('no answer');
    const rerouted = [...after.answers.values()].find(({ frontend }) => frontend === old?.frontend);
    const left = old && after.servers.get(old.backend);
    return ![old?.by, fresh?.by, rerouted?.by, left].some((servers) => servers?.includes(by));
  });
  assert.deepEqual(faults, []);
}

const labelsOf = (frontend: string, server: string): string[] => [
  `frontend ${frontend}`,
  `backend ${server[0]}`,
  `server ${server[0]}/${server}`,
];

function labelsIn(metrics: string): Set<string> {
  const told = new Set<string>();
  for (const [, text = ''] of metrics.matchAll(/^berth_\w+\{(.*)\} /gm)) {
    const label = (name: string): string | undefined => new RegExp(`\\b${name}="(.*?)"`).exec(text)?.[1];
    const [frontend, backend, server] = [label('frontend'), label('backend'), label('server')];
    if (frontend !== undefined) told.add(`frontend ${frontend}`);
    if (backend !== undefined) told.add(`backend ${backend}`);
    if (server !== undefined) told.add(`server ${backend}/${server}`);
  }
  return told;
}

test(
  'whatever is reloaded, and whatever goes wrong with it, what is seen is the last good configuration',
  { skip: NO_DNS, timeout: 300_000 },
  async (t) => {
    const here = await world(t);
    const until = performance.now() + LAST_BEGINS_MS;
    let reloads = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(anyStep, { minLength: 3, maxLength: 7 }), async (steps) => {
        if (performance.now() > until) return;
        const ours = { ...here, places: { ...here.places, folder: folderOf(t) } };
        const berth = await start(t, file(FIRST, ours.places), { through: here.through, env: WITH_INSIGHT });
        const run = new Run(berth, ours);
        try {
          await run.begin();
          for (const [i, step] of steps.entries()) {
            await run.step(step).catch((cause: Error) => {
              throw new Error(`at reload ${i + 1} (${JSON.stringify(step.fault)}): ${cause.message}`, { cause });
            });
          }
          await run.end();
          reloads += steps.length;
        } finally {
          await berth.stop();
        }
      }),
      { numRuns: RUNS, endOnFailure: true, includeErrorInReport: true },
    );
    t.diagnostic(`${reloads} reloads`);
  },
);

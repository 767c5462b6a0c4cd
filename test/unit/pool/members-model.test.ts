/** Who the servers are, against a model, over random plans, commits, roll-backs, answers of DNS, operators and time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { BackendConfig } from '../../../src/config/schema.ts';
import type { PoolStep } from '../../../src/pool/members.ts';
import type { AdminState } from '../../../src/pool/said.ts';
import type { Server } from '../../../src/pool/server.ts';
import { backendConfig, Scene } from '../../support/backend.ts';
import { inPart, settled } from '../../support/pool.ts';

const EXPIRE_MS = 120_000;
const HOSTS = ['10.0.1.1', '10.0.1.2', '10.0.1.3'];

const config = (servers: object, resolveInterval = '30s'): BackendConfig =>
  backendConfig({ healthCheck: false, stickTable: { expire: '2m' }, resolveInterval, servers });
const CONFIGS = [
  config({ s1: '10.0.0.1:5000' }),
  config({ s2: '10.0.0.2:5000', s1: '10.0.0.1:5000' }),
  config({ r: 'dns:r.test:5000' }),
  config({ r: 'dns:r.test:5000', s1: '10.0.0.9:5000' }),
  config({ s2: '10.0.0.2:5000', r: 'dns:r.test:5000' }, '10s'),
  // Called as an address is that DNS may find for the entry above.
  config({ 'r-10.0.1.1:5000': '10.0.1.1:5000' }),
];

/** What is asked of DNS for one configuration, or for two that agree in it. */
class Question {
  readonly lacked = new Map<string, number>();
  dueMs: number;
  intervalMs: number;

  constructor(nowMs: number, intervalMs: number) {
    this.dueMs = nowMs;
    this.intervalMs = intervalMs;
  }

  ask(nowMs: number, answer: readonly string[]): void {
    this.dueMs = nowMs + this.intervalMs;
    if (answer.length === 0) return;
    for (const [host, times] of this.lacked) {
      if (times === 1) this.lacked.delete(host);
      else this.lacked.set(host, 1);
    }
    for (const host of answer) this.lacked.set(host, 0);
  }

  retime(nowMs: number, intervalMs: number): void {
    if (intervalMs < this.intervalMs) this.dueMs = nowMs + intervalMs;
    this.intervalMs = intervalMs;
  }
}

type Remembered = { readonly server: Server; admin: AdminState; leftMs: number | undefined; unsure: boolean };

/** What should be true, as simply as can be. */
class Model {
  readonly remembered = new Map<string, Remembered>();
  config: BackendConfig | undefined;
  question: Question | undefined;
  planned: { readonly config: BackendConfig; readonly question: Question | undefined } | undefined;
  answer: readonly string[] = [];
  nowMs = 0;

  plan(wanted: BackendConfig): void {
    const asks = 'r' in wanted.servers;
    const question = asks ? (this.question ?? new Question(this.nowMs, wanted.resolveInterval)) : undefined;
    this.planned = { config: wanted, question };
    this.#ask();
  }

  commit(): void {
    this.config = this.planned?.config;
    this.question = this.planned?.question;
    this.question?.retime(this.nowMs, this.config!.resolveInterval);
    this.planned = undefined;
  }

  second(): void {
    this.nowMs += 1_000;
    this.#ask();
  }

  #ask(): void {
    for (const question of new Set([this.question, this.planned?.question])) {
      if (question && question.dueMs <= this.nowMs) question.ask(this.nowMs, this.answer);
    }
  }

  /** The names of those that should be in force. */
  get names(): string[] {
    return Object.keys(this.config?.servers ?? {}).flatMap((name) =>
      name === 'r' ? [...this.question!.lacked.keys()].toSorted().map((host) => `r-${host}:5000`) : [name],
    );
  }
}

/** Compares, and takes what came and left into the model. */
function compare(scene: Scene, model: Model): void {
  const { servers, table } = scene.backend;
  assert.deepEqual(scene.names, model.names);
  const news = scene.told.splice(0).toSorted();
  const expected: string[] = [];
  for (const server of servers) {
    const { name } = server;
    const known = model.remembered.get(name);
    if (known?.leftMs === undefined && known) {
      assert.equal(server, known.server);
    } else {
      expected.push(`came ${name}`);
      if (known && !known.unsure) assert.equal(server, known.server, `${name} is another`);
      if (!known || server !== known.server) assert.deepEqual([server.admin, server.traffic.in], ['ready', 0]);
      const admin = known && server === known.server ? known.admin : 'ready';
      // A mark, by which a server that only claims to be another is known.
      server.traffic.in++;
      model.remembered.set(name, { server, admin, leftMs: undefined, unsure: false });
    }
    assert.equal(server.admin, model.remembered.get(name)?.admin);
    assert.deepEqual([server.stage, server.usable], ['active', server.admin !== 'maint']);
  }
  for (const [name, known] of model.remembered) {
    if (servers.includes(known.server)) continue;
    assert.equal(known.server.usable, false);
    if (known.leftMs === undefined) {
      known.leftMs = model.nowMs;
      expected.push(`left ${name}`);
    }
    if (model.nowMs - known.leftMs < EXPIRE_MS || (table?.entriesOf(known.server) ?? 0) > 0) continue;
    // A plan may hold it; else it is forgotten, and the next of this name is new.
    if (model.planned) known.unsure = true;
    else model.remembered.delete(name);
  }
  assert.deepEqual(news, expected.toSorted());
}

const act = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('plan' as const), config: fc.constantFrom(...CONFIGS) }) },
  { weight: 3, arbitrary: fc.constant({ do: 'commit' } as const) },
  { weight: 1, arbitrary: fc.constant({ do: 'rollback' } as const) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('dns' as const), answer: fc.subarray(HOSTS) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('admin' as const),
      nth: fc.nat(3),
      state: fc.constantFrom<AdminState>('ready', 'drain', 'maint'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('visit' as const), client: fc.constantFrom('1', '2', '3') }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('pass' as const), seconds: fc.constantFrom(1, 10, 31, 70, 121) }),
  },
);

async function play(scene: Scene, acts: readonly (typeof act extends fc.Arbitrary<infer A> ? A : never)[]) {
  const model = new Model();
  let step: PoolStep | undefined;
  for (const one of acts) {
    if (one.do === 'plan' && !step) {
      step = scene.backend.plan(one.config);
      model.plan(one.config);
      await settled();
    } else if (one.do === 'commit' && step) {
      step.commit();
      model.commit();
      step = undefined;
    } else if (one.do === 'rollback' && step) {
      step.rollback();
      model.planned = undefined;
      step = undefined;
    } else if (one.do === 'dns') {
      scene.found = one.answer;
      model.answer = one.answer;
    } else if (one.do === 'admin') {
      const server = scene.backend.servers[one.nth];
      server?.setAdmin(one.state);
      if (server) model.remembered.get(server.name)!.admin = one.state;
      scene.told.length = 0;
    } else if (one.do === 'visit' && model.config) {
      scene.visit(`10.1.1.${one.client}`);
    } else if (one.do === 'pass') {
      for (let i = 0; i < one.seconds; i++) {
        await scene.pass(1_000);
        model.second();
        compare(scene, model);
      }
    }
    compare(scene, model);
  }
}

test('whatever is planned, committed, rolled back, answered or passes: the servers are those of the model', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 5, maxLength: 30, size: 'max' }), (acts) =>
      inPart((part) => play(new Scene(part), acts)),
    ),
    { numRuns: 100 },
  );
  t.diagnostic('100 stories');
});

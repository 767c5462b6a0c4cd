/** When the doctor makes its rounds, what it says of them, and what it keeps. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { schema, type Config } from '../../src/config/schema.ts';
import { Rounds } from '../../src/rounds.ts';
import type { View } from '../../src/view.ts';
import { readLine, type LogLine } from '../support/log-lines.ts';
import { hangs, serve, type Manner, type TestServer } from '../support/servers.ts';
import { eventually } from '../support/waiting.ts';
import { writtenLog } from '../support/written-log.ts';

/** Plain HTTP, where a registry speaks TLS. */
const speaksHttp: Manner = (socket) => void socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\n\r\n'));

type Server = { readonly name: string; health: { up: boolean }; admin: string };

class Stand {
  readonly rounds: Rounds;
  readonly lines: LogLine[] = [];
  readonly servers: Server[];
  readonly cluster: { stage: string; config: Config; backends: readonly object[] };

  constructor(t: TestContext, nodes: readonly TestServer[], doctor: object = { interval: '1s', name: 'r.test' }) {
    this.servers = nodes.map(({ name }) => ({ name, health: { up: true }, admin: 'ready' }));
    const config = configure(nodes, doctor);
    this.cluster = { stage: 'running', config, backends: [{ name: 'b', servers: this.servers }] };
    const { log } = writtenLog();
    log.subscribe(({ line }) => this.lines.push(readLine(line)));
    this.rounds = new Rounds(this.cluster as unknown as View, log);
    t.after(() => this.rounds.close());
  }

  async follow(config = this.cluster.config): Promise<void> {
    this.cluster.config = config;
    (await this.rounds.plan(config)).commit();
  }

  told(event: string, from = 0): Promise<LogLine> {
    return eventually(
      () => `${event}; there is ${JSON.stringify(this.lines)}`,
      () => this.lines.slice(from).find((line) => line['event'] === event),
    );
  }

  /** One round more has come to its end. */
  async another(): Promise<void> {
    const before = this.rounds.seen?.lastRunMs ?? 0;
    await eventually('another round', () => (this.rounds.seen?.lastRunMs ?? 0) > before);
  }
}

function configure(nodes: readonly TestServer[], doctor: object): Config {
  return schema.parse({
    frontends: { f: { bind: '127.0.0.1:0', backend: 'b' } },
    backends: { b: { servers: Object.fromEntries(nodes.map(({ name, address }) => [name, address])) } },
    doctor,
  });
}

test('a finding is told when it comes and when it goes, with what to do; it is kept and nothing else is', async (t) => {
  const nodes = await serve(t, ['s1', 's2'], speaksHttp);
  const stand = new Stand(t, nodes);
  await stand.follow();
  const first = stand.rounds.seen;
  assert.deepEqual(first, { backend: 'b', lastRunMs: undefined, skipped: undefined, findings: [] });
  const { code, gravity, where, mend } = await stand.told('doctor_finding');
  assert.deepEqual([code, gravity, where], ['TLS_PLAIN_HTTP', 'FAIL', 's1']);
  assert.ok(String(mend).length > 10);
  assert.deepEqual(
    stand.rounds.seen?.findings.map((found) => `${found.level} ${found.code} ${found.where}`),
    ['FAIL TLS_PLAIN_HTTP s1', 'FAIL TLS_PLAIN_HTTP s2'],
  );
  await stand.another();
  await nodes[1]!.close();
  await stand.told('doctor_cleared');
  assert.deepEqual(
    stand.lines.map((line) => `${String(line['event'])} ${String(line['code'])} ${String(line['where'])}`),
    [
      'doctor_finding TLS_PLAIN_HTTP s1',
      'doctor_finding TLS_PLAIN_HTTP s2',
      'doctor_finding TCP s2',
      'doctor_cleared TLS_PLAIN_HTTP s2',
    ],
  );
});

test('a round is skipped while a server is down or not ready, said once for each reason, and comes again', async (t) => {
  const stand = new Stand(t, await serve(t, ['s1', 's2'], speaksHttp));
  const [, s2] = stand.servers;
  s2!.health = { up: false };
  await stand.follow();
  assert.equal((await stand.told('doctor_skipped'))['reason'], 's2 is down');
  assert.equal(stand.rounds.seen?.skipped, 's2 is down');
  s2!.health = { up: true };
  s2!.admin = 'drain';
  await eventually('another reason', () => stand.rounds.seen?.skipped === 's2 is in drain');
  s2!.admin = 'ready';
  await stand.another();
  assert.equal(stand.rounds.seen.skipped, undefined);
  assert.deepEqual(stand.lines.map((line) => line['reason']).slice(0, 2), ['s2 is down', 's2 is in drain']);
});

test('a round is given up between two nodes where a server goes down', async (t) => {
  const nodes = await serve(t, ['s1', 's2'], hangs);
  const stand = new Stand(t, nodes);
  await stand.follow();
  await eventually('the first node to be asked', () => nodes[0]!.accepted > 0);
  stand.servers[1]!.health = { up: false };
  assert.equal((await stand.told('doctor_skipped'))['reason'], 's2 is down');
  assert.equal(nodes[1]!.accepted, 0, 'one node at a time');
});

test('where Berth drains there is no round, and nothing is said', async (t) => {
  const nodes = await serve(t, ['s1'], speaksHttp);
  const stand = new Stand(t, nodes);
  await stand.follow();
  await stand.another();
  stand.cluster.stage = 'draining';
  await eventually('quiet', async () => {
    const { accepted } = nodes[0]!;
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    return nodes[0]!.accepted === accepted;
  });
  assert.ok(!stand.lines.some((line) => line['event'] === 'doctor_skipped'));
});

test('a reload leaves rounds of the same order alone, and ends and begins others', async (t) => {
  const nodes = await serve(t, ['s1'], speaksHttp);
  const stand = new Stand(t, nodes);
  await stand.follow();
  await stand.another();
  const before = stand.rounds.seen;
  await stand.follow();
  assert.equal(stand.rounds.seen, before);
  const [{ doctor }, other] = [stand.cluster.config, configure(nodes, { interval: '1s', name: 'other.test' })];
  // As a plan shares what has not changed: another server, the same doctor.
  await stand.follow({ ...configure(nodes, {}), doctor });
  assert.equal(stand.rounds.seen, before, 'what was found stays');
  await stand.another();
  await stand.follow(other);
  await stand.another();
  await stand.follow(configure(nodes, {}));
  assert.equal(stand.rounds.seen, undefined);
});

test('a name that is none of a registry is refused by the plan, and the rounds go on', async (t) => {
  const nodes = await serve(t, ['s1'], speaksHttp);
  const stand = new Stand(t, nodes);
  await stand.follow();
  await assert.rejects(stand.rounds.plan(configure(nodes, { interval: '1s' })), { code: 'DOCTOR_CALL' });
  await stand.another();
});

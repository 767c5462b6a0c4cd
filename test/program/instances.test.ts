/** Several Berths on one port of one machine (`reusePort`), in a network of its own. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { NODE_SHARES_PORTS, noNamespaces } from '../support/able.ts';
import { Berth, start } from '../support/berth.ts';
import { folderOf } from '../support/files.ts';
import { openNamespace } from '../support/namespace.ts';
import { commandWith } from '../support/operator.ts';
import { openWorkspace } from '../support/processes.ts';
import { settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

const PORT = 7443;
const SIZE = 12;
/** So that a listener which closes hands its queue over, as docs/two-balancers.md has it. */
const MIGRATE = 'sysctl -qw net.ipv4.tcp_migrate_req=1';
const TOWN = fileURLToPath(new URL('../support/town.js', import.meta.url));

/** One file for all instances: what is each one's own comes from its environment. */
const fileFor = (servers: readonly string[]) =>
  settings(
    servers,
    { balance: 'source' },
    {
      metrics: { bind: '127.0.0.1:919${INSTANCE}' },
      admin: { bind: '127.0.0.1:929${INSTANCE}' },
      log: { connections: false },
    },
    { bind: { address: `127.0.0.1:${PORT}`, reusePort: true } },
  );

type Told = { calls: number; failures: string[]; clients: number; split: number };

/** Two instances, three servers, and who comes to them. */
class Machine {
  readonly instances: Berth[] = [];
  #through: readonly string[] = [];
  #servers: readonly string[] = [];
  #ask!: (order: string) => Promise<unknown>;
  readonly #t: TestContext;

  private constructor(t: TestContext) {
    this.#t = t;
  }

  static async open(t: TestContext): Promise<Machine> {
    const machine = new Machine(t);
    const workspace = openWorkspace();
    t.after(() => workspace.close());
    const namespace = await openNamespace(workspace, { address: '10.78.0.1', script: MIGRATE });
    const [nsenter, ...args] = namespace.through('net');
    machine.#through = [nsenter, ...args];
    const town = spawn(nsenter, [...args, process.execPath, TOWN], { stdio: ['pipe', 'pipe', 'inherit'] });
    t.after(async () => {
      town.stdin.end();
      if (town.exitCode === null) await once(town, 'exit');
    });
    const answers = createInterface(town.stdout)[Symbol.asyncIterator]();
    machine.#ask = async (order) => {
      town.stdin.write(`${order}\n`);
      const { value } = await answers.next();
      return JSON.parse(String(value)) as unknown;
    };
    machine.#servers = (await machine.#ask('servers 3')) as string[];
    for (const instance of [1, 2]) await machine.start(instance);
    return machine;
  }

  async start(instance: number): Promise<Berth> {
    const env = { INSTANCE: String(instance) };
    const berth = await start(this.#t, fileFor(this.#servers), { through: this.#through, env });
    this.instances[instance - 1] = berth;
    return berth;
  }

  async crowd(): Promise<void> {
    await this.#ask(`come ${PORT} ${SIZE}`);
    await this.goesOn();
  }

  /** Until everybody has come again. */
  async goesOn(): Promise<void> {
    const calls = async (): Promise<number> => Number(await this.#ask('calls'));
    const seen = await calls();
    await eventually('the crowd to come again', async () => (await calls()) > seen + 4 * SIZE);
  }

  async sendHome(): Promise<Told> {
    return (await this.#ask('leave')) as Told;
  }
}

const SKIP = noNamespaces('mount', 'net');

if (NODE_SHARES_PORTS) {
  test(
    'two instances, reloaded and restarted one after another: nobody is refused, and each client keeps its server',
    {
      skip: SKIP,
    },
    async (t) => {
      const machine = await Machine.open(t);
      await machine.crowd();
      for (const berth of machine.instances) {
        berth.signal('SIGHUP');
        await berth.line(({ msg }) => msg === 'reloaded');
        await machine.goesOn();
      }
      for (let round = 0; round < 3; round++) {
        for (const [i, berth] of [...machine.instances].entries()) {
          berth.signal('SIGTERM');
          assert.equal(await berth.exited, 0);
          await machine.goesOn();
          await machine.start(i + 1);
        }
      }
      const { calls, failures, clients, split } = await machine.sendHome();
      assert.deepEqual({ failures, split }, { failures: [], split: 0 });
      t.diagnostic(`${calls} connections of ${clients} clients over 2 reloads and 6 restarts`);
    },
  );

  test(
    'one of two instances is killed under load: only who was inside is cut off, the other one serves on',
    {
      skip: SKIP,
    },
    async (t) => {
      const machine = await Machine.open(t);
      await machine.crowd();
      machine.instances[0]?.signal('SIGKILL');
      await machine.instances[0]?.exited;
      await machine.goesOn();
      const during = await machine.sendHome();
      assert.ok(during.failures.length <= SIZE, during.failures.join(', '));
      assert.equal(during.split, 0);
      await machine.crowd();
      const { failures, split } = await machine.sendHome();
      assert.deepEqual({ failures, split }, { failures: [], split: 0 });
      t.diagnostic(`${during.failures.length} of ${SIZE} were inside`);
    },
  );

  test('who does not share the port is named', async (t) => {
    const alone = await start(t, settings(['127.0.0.1:5000']), {});
    const taken = `127.0.0.1:${await alone.port()}`;
    const second = new Berth(settings(['127.0.0.1:5000'], {}, {}, { bind: { address: taken, reusePort: true } }));
    assert.equal(await second.exitCode(), 1);
    assert.match(second.stderr, /a process listens there that does not share the port with this one/);
  });
} else {
  test('an older Node ignores no reusePort: check and start say where it stands', async (t) => {
    const because = `frontends.f.bind.reusePort: needs Node 22.12 or later, and this is Node ${process.versions.node}`;
    const file = join(folderOf(t), 'balancer.yml');
    const berth = new Berth(fileFor(['127.0.0.1:5000']), { file, env: { INSTANCE: '1' } });
    assert.equal(await berth.exitCode(), 1);
    const checked = await commandWith({ through: ['env', 'INSTANCE=1'] }, 'check', file);
    assert.equal(checked.code, 2);
    for (const said of [berth.stderr, checked.out]) assert.match(said, new RegExp(`yml:\\d+:\\d+: ${because}`));
  });
}

/** Several Berths on one port of one machine (`reusePort`), in a network of its own. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { NODE_SHARES_PORTS, noNamespaces } from '../support/able.ts';
import { Berth, start } from '../support/berth.ts';
import { folderOf } from '../support/files.ts';
import { openNamespace } from '../support/namespace.ts';
import { commandWith } from '../support/operator.ts';
import { openWorkspace } from '../support/processes.ts';
import { RemoteTown } from '../support/remote-town.ts';
import { settings } from '../support/settings.ts';

const PORT = 7443;
const SIZE = 12;
/** So that a listener which closes hands its queue over, as docs/two-balancers.md has it. */
const MIGRATE = 'sysctl -qw net.ipv4.tcp_migrate_req=1';

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

/** Two instances, three servers, and who comes to them. */
class Machine {
  readonly instances: Berth[] = [];
  readonly town: RemoteTown;
  readonly #t: TestContext;
  readonly #through: readonly string[];
  readonly #servers: readonly string[];

  private constructor(t: TestContext, town: RemoteTown, through: readonly string[], servers: readonly string[]) {
    this.#t = t;
    this.town = town;
    this.#through = through;
    this.#servers = servers;
  }

  static async open(t: TestContext): Promise<Machine> {
    const workspace = openWorkspace();
    t.after(() => workspace.close());
    const namespace = await openNamespace(workspace, { address: '10.78.0.1', script: MIGRATE });
    const through = namespace.through('net');
    const town = RemoteTown.open(through);
    t.after(() => town.close());
    const machine = new Machine(t, town, through, await town.servers(3));
    for (const instance of [1, 2]) await machine.start(instance);
    return machine;
  }

  async start(instance: number): Promise<Berth> {
    const env = { INSTANCE: String(instance) };
    const berth = await start(this.#t, fileFor(this.#servers), { through: this.#through, env });
    this.instances[instance - 1] = berth;
    return berth;
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
      const { town } = machine;
      await town.come(PORT, SIZE);
      for (const berth of machine.instances) {
        berth.signal('SIGHUP');
        await berth.line(({ msg }) => msg === 'reloaded');
        await town.goesOn();
      }
      for (let round = 0; round < 3; round++) {
        for (const [i, berth] of [...machine.instances].entries()) {
          berth.signal('SIGTERM');
          assert.equal(await berth.exited, 0);
          await town.goesOn();
          await machine.start(i + 1);
        }
      }
      const { calls, failures, clients, split } = await town.sendHome();
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
      const { town } = machine;
      await town.come(PORT, SIZE);
      machine.instances[0]?.signal('SIGKILL');
      await machine.instances[0]?.exited;
      await town.goesOn();
      const during = await town.sendHome();
      assert.ok(during.failures.length <= SIZE, during.failures.join(', '));
      assert.equal(during.split, 0);
      await town.come(PORT, SIZE);
      const { failures, split } = await town.sendHome();
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

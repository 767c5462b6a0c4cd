/** The container image, built twice and run, as far as the docker of this machine goes. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { BASE, copyOfDeploy, nodeImage } from '../support/deployed.ts';
import { DockerHost, NO_DOCKER_HOST } from '../support/docker-host.ts';
import { openWorkspace } from '../support/processes.ts';
import { importImage } from '../support/stand-in.ts';
import { eventually } from '../support/waiting.ts';

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

/** No address of it is Berth's standard. */
const CONFIG = `frontends: { f: { bind: '127.0.0.1:7443', backend: b } }
backends: { b: { servers: { s1: '127.0.0.1:7001' } } }
metrics: { bind: '127.0.0.1:7180' }
admin: { bind: 'unix:/run/berth/admin.sock' }
`;

type Inspected = {
  readonly RootFS: { readonly Layers: readonly string[] };
  readonly Config: {
    readonly Labels: Readonly<Record<string, string>>;
    readonly ExposedPorts: object;
    readonly User: string;
  };
};

test('the image of deploy/Dockerfile', { skip: NO_DOCKER_HOST, timeout: 600_000 }, async (t) => {
  const workspace = openWorkspace();
  t.after(() => workspace.close());
  const host = new DockerHost(workspace);
  await host.start('image.test', '192.0.2.20');
  const dir = copyOfDeploy(workspace.dir);
  await importImage(workspace, host, BASE, await nodeImage(workspace));

  const build = async (name: string, ...more: string[]): Promise<Inspected> => {
    const env = { ...host.env, REVISION: 'abc123', SOURCE_DATE_EPOCH: '1700000000' };
    const script = join(dir, 'build-image.sh');
    await workspace.run('bash', [script, name, ...more], { env, timeoutMs: 300_000 });
    const [seen] = JSON.parse(await host.docker(['image', 'inspect', name])) as Inspected[];
    return seen!;
  };
  const first = await build('berth');

  await t.test('says in labels what it is, and of which commit', async () => {
    const [base] = JSON.parse(await host.docker(['image', 'inspect', BASE])) as Inspected[];
    const { Labels, ExposedPorts, User } = first.Config;
    assert.deepEqual(Labels, {
      'org.opencontainers.image.title': 'Berth',
      'org.opencontainers.image.description':
        'A TCP load balancer with sticky sessions for clusters of Docker registry nodes',
      'org.opencontainers.image.licenses': 'MIT',
      'org.opencontainers.image.base.name': BASE,
      'org.opencontainers.image.version': version,
      'org.opencontainers.image.revision': 'abc123',
      'org.opencontainers.image.created': '2023-11-14T22:13:20Z',
    });
    assert.deepEqual([Object.keys(ExposedPorts), User], [['443/tcp', '9180/tcp'], 'node']);
    assert.deepEqual(first.RootFS.Layers.slice(0, base!.RootFS.Layers.length), base!.RootFS.Layers);
  });

  await t.test('built again from the same source, has the same layers', async () => {
    const again = await build('again', '--no-cache');
    assert.deepEqual(again.RootFS.Layers, first.RootFS.Layers);
  });

  await t.test(
    'runs without a right of root on a root it cannot write to, and is healthy while it answers',
    async () => {
      const config = join(workspace.dir, 'etc/balancer.yml');
      mkdirSync(dirname(config));
      writeFileSync(config, CONFIG, { mode: 0o644 });
      const least = ['--read-only', '--cap-drop=ALL', '--security-opt=no-new-privileges', '--tmpfs=/run/berth'];
      const health = ['--health-interval=1s', '--health-timeout=5s', '--health-retries=1', '--health-start-period=0s'];
      const mount = ['-v', `${dirname(config)}:/etc/berth:ro`];
      const id = (
        await host.docker(['run', '-d', '--network=host', ...least, ...health, ...mount, `berth:${version}`])
      ).trim();
      const inspect = async (what: string): Promise<string> =>
        (await host.docker(['inspect', '--format', `{{${what}}}`, id])).trim();
      const is = (wanted: string): Promise<unknown> =>
        eventually(
          `to be ${wanted}`,
          async () => (await inspect('.State.Health.Status').catch(() => '')) === wanted,
          60_000,
        );
      await is('healthy');
      const pid = await inspect('.State.Pid');
      const status = await host.run('cat', [`/proc/${pid}/status`]);
      for (const line of ['Uid:\t1000\t1000', 'CapBnd:\t0000000000000000', 'NoNewPrivs:\t1']) {
        assert.ok(status.includes(line), status);
      }
      assert.match(await host.run('sh', ['-c', `grep ' / ' /proc/${pid}/mounts`]), / ro,/);
      assert.match(await host.run('curl', ['-s', '127.0.0.1:7180/healthz']), /./);
      // A loop that hangs: the kernel still accepts, and nobody answers.
      await host.docker(['kill', '--signal=STOP', id]);
      await is('unhealthy');
      await host.docker(['kill', '--signal=CONT', id]);
      await is('healthy');
      await host.docker(['stop', id]);
      assert.equal(await inspect('.State.ExitCode'), '0');
    },
  );
});

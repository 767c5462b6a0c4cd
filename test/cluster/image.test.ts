/** The container image, built twice and run, as far as the docker of this machine goes. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { BASE, copyOfDeploy, nodeImage } from '../support/deployed.ts';
import { DockerHost, NO_DOCKER_HOST } from '../support/docker-host.ts';
import { blocksBelow } from '../support/pages.ts';
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

  const config = join(workspace.dir, 'etc/balancer.yml');
  mkdirSync(dirname(config));
  writeFileSync(config, CONFIG, { mode: 0o644 });

  const shell = (text: string): Promise<string> => {
    const env = { ...host.env, REVISION: 'abc123', SOURCE_DATE_EPOCH: '1700000000' };
    return workspace.run('bash', ['-ec', `cd '${dir}/..'; ${text}`], { env, timeoutMs: 300_000 });
  };
  const imageOf = async (name: string): Promise<Inspected> => {
    const [seen] = JSON.parse(await host.docker(['image', 'inspect', name])) as Inspected[];
    return seen!;
  };
  // As the page has it, with a folder of the test's own, and health checks that a test need not wait for.
  const [begin = '', status = ''] = blocksBelow('docs/install.md', 'A container image');
  const health = '--health-interval=1s --health-timeout=5s --health-retries=1 --health-start-period=0s';
  const here = begin.replace('-v /etc/berth:', `-v ${dirname(config)}:`).replace('run -d', `run -d ${health}`);
  const said = await shell(here);
  const first = await imageOf('berth');

  await t.test('says in labels what it is, and of which commit', async () => {
    assert.match(said, new RegExp(`^berth ${version}$`, 'm'));
    const base = await imageOf(BASE);
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
    assert.deepEqual(first.RootFS.Layers.slice(0, base.RootFS.Layers.length), base.RootFS.Layers);
  });

  await t.test('built again from the same source, has the same layers', async () => {
    await shell('bash deploy/build-image.sh again --no-cache');
    assert.deepEqual((await imageOf(`again:${version}`)).RootFS.Layers, first.RootFS.Layers);
  });

  const inspect = async (what: string): Promise<string> =>
    (await host.docker(['inspect', '--format', `{{${what}}}`, 'berth'])).trim();
  const is = (wanted: string): Promise<boolean> =>
    eventually(`it to be ${wanted}`, async () => (await inspect('.State.Health.Status')) === wanted, 60_000);

  await t.test('runs without a right of root, on a root that it cannot write to', async () => {
    await is('healthy');
    assert.match(await shell(status), /^ +s1 +127\.0\.0\.1:7001 +DOWN /m);
    const pid = await inspect('.State.Pid');
    const rights = await host.run('cat', [`/proc/${pid}/status`]);
    for (const line of ['Uid:\t1000\t1000', 'CapBnd:\t0000000000000000', 'NoNewPrivs:\t1']) {
      assert.ok(rights.includes(line), rights);
    }
    assert.match(await host.run('sh', ['-c', `grep ' / ' /proc/${pid}/mounts`]), / ro,/);
  });

  await t.test('is healthy while it answers where balancer.yml says, though no node is up', async () => {
    await is('healthy');
    // A loop that hangs: the kernel still accepts, and nobody answers.
    await host.docker(['kill', '--signal=STOP', 'berth']);
    await is('unhealthy');
    await host.docker(['kill', '--signal=CONT', 'berth']);
    await is('healthy');
    await host.docker(['stop', 'berth']);
    assert.equal(await inspect('.State.ExitCode'), '0');
  });
});

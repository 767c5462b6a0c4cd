import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { noControlGroups, noNamespaces } from '../support/able.ts';
import { Client } from '../support/clients.ts';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { startDocker, type Docker } from '../support/docker.ts';
import { doctor } from '../support/doctor.ts';
import { connectFrom } from '../support/forwarder.ts';
import type { NodeSettings } from '../support/node.ts';
import { failed, frontFor, serversOf, type FrontOptions, type RegistryBerth } from '../support/registry-berth.ts';
import { eventually } from '../support/waiting.ts';

const cannot = noNamespaces('mount') || noControlGroups();
const ifPossible = { skip: cannot };

const NAME = 'registry.test';

suite('a real docker client', { timeout: 240_000 }, () => {
  let cluster: Cluster | undefined;
  let docker: Docker;
  before(async () => {
    if (cannot) return;
    cluster = await startCluster({ names: [NAME, '127.0.0.1'] });
    docker = await startDocker(cluster.workspace, [NAME]);
  });
  after(() => cluster?.close());

  /** Berth, under the name that docker knows it by; trusted unless a test wants otherwise. */
  async function front(
    t: Parameters<typeof frontFor>[0],
    options?: FrontOptions,
  ): Promise<{ berth: RegistryBerth; registry: string }> {
    const berth = await frontFor(t, cluster!, options);
    const registry = `${NAME}:${await berth.port()}`;
    await docker.trust(registry, cluster!.ca);
    return { berth, registry };
  }
  const logIn = (registry: string, password = cluster!.password) => docker.login(registry, cluster!.user, password);
  /** Gives docker an image that nobody has, under that name. */
  async function give(name: string, layers: number, layerBytes: number): Promise<void> {
    const image = await cluster!.makeImage({ layers, layerBytes });
    const flags = ['copy', '-q', '--insecure-policy', '--dest-daemon-host', docker.host];
    await cluster!.workspace.run('skopeo', [...flags, image.source, `docker-daemon:${name}`]);
  }

  test('logs in; with another password it does not, and says 401', ifPossible, async (t) => {
    const { registry } = await front(t);
    assert.match(await logIn(registry), /Login Succeeded/);
    await assert.rejects(logIn(registry, 'swordfish'), /unauthorized|401/i);
  });

  test('pulls what it has pushed, all of its connections on one node', ifPossible, async (t) => {
    const { berth, registry } = await front(t);
    await logIn(registry);
    await berth.newConnections();
    const name = `${registry}/docker/image:1`;
    await give(name, 5, 1_000_000);
    const id = await docker.imageId(name);
    await docker.run('push', name);
    const pushing = await berth.newConnections();
    assert.ok(pushing.length >= 5, `${pushing.length} connections`);
    assert.equal(serversOf(pushing).length, 1);
    assert.deepEqual(failed(pushing), []);

    await docker.run('image', 'rm', name);
    await assert.rejects(docker.imageId(name), /No such image/i);
    await docker.run('pull', name);
    assert.equal(await docker.imageId(name), id);
    assert.deepEqual(serversOf(await berth.newConnections()), serversOf(pushing));
  });

  test('a push whose node is killed in the middle of a layer goes on at the other node', ifPossible, async (t) => {
    const { berth, registry } = await front(t);
    await logIn(registry);
    const [bound] = serversOf(await berth.newConnections());
    const own = cluster!.nodes.find(({ name }) => name === bound)!;
    const repository = 'docker/killed';
    const name = `${registry}/${repository}:1`;
    await give(name, 1, 64_000_000);
    const id = await docker.imageId(name);

    const push = docker.run('push', name);
    await eventually('an upload to flow', async () => (await own.uploaded(repository)) > 4_000_000);
    await own.kill();
    t.after(() => own.running || own.start());
    const said = await push;
    assert.match(said, /Retrying in \d+ second/);

    const connections = await berth.newConnections();
    const broken = connections.findLastIndex(({ server }) => server === own.name);
    assert.ok(connections[broken]!.in > 4_000_000, 'the layer was on its way');
    assert.equal(serversOf(connections.slice(broken + 1)).length, 1);
    await docker.run('image', 'rm', name);
    await docker.run('pull', name);
    assert.equal(await docker.imageId(name), id);
  });

  test(
    'a push whose balancer is killed goes on by the other one at the same node, as their table has it',
    ifPossible,
    async (t) => {
      const shared = { url: `redis://${cluster!.defaults.redis}`, timeout: '3s' };
      const sharing = { backend: { stickTable: { shared } } };
      const [first, second] = [await frontFor(t, cluster!, sharing), await frontFor(t, cluster!, sharing)];
      for (const berth of [first, second]) await berth.line(({ event }) => event === 'shared_table_up');
      const address = await connectFrom('127.0.0.1', await first.port());
      t.after(() => address.close());
      const registry = `${NAME}:${address.port}`;
      await docker.trust(registry, cluster!.ca);
      await logIn(registry);
      const [bound] = serversOf(await first.newConnections());
      // So that the second one, were it alone, would give docker the other node.
      await new Client({ port: await second.port(), from: '127.8.0.1' }).finish();
      assert.deepEqual(serversOf(await second.newConnections()), [bound]);

      const repository = 'docker/two-balancers';
      const name = `${registry}/${repository}:1`;
      await give(name, 1, 64_000_000);
      const id = await docker.imageId(name);
      const push = docker.run('push', name);
      const own = cluster!.nodes.find(({ name: node }) => node === bound)!;
      await eventually('an upload to flow', async () => (await own.uploaded(repository)) > 4_000_000);
      address.leadTo(await second.port());
      await first.stop();
      assert.match(await push, /Retrying in \d+ second/);
      assert.deepEqual(serversOf(await second.newConnections()), [bound]);
      await docker.run('image', 'rm', name);
      await docker.run('pull', name);
      assert.equal(await docker.imageId(name), id);
    },
  );

  suite('says what is wrong in the words that operators look for, and the doctor names the cause', () => {
    const ADVICE: [string, Partial<NodeSettings>, boolean, RegExp, string][] = [
      ['no CA in certs.d', {}, false, /x509: certificate signed by unknown authority/, 'CERT_UNTRUSTED'],
      [
        'a certificate without subjectAltName',
        { certificate: 'no-san' },
        true,
        /x509: certificate relies on legacy Common Name field/,
        'CERT_NO_SAN',
      ],
      [
        'a node without TLS',
        { certificate: null },
        true,
        /server gave HTTP response to HTTPS client/,
        'TLS_PLAIN_HTTP',
      ],
    ];
    for (const [what, settings, trusting, words, code] of ADVICE) {
      test(what, ifPossible, async (t) => {
        const node = await cluster!.addNode(settings);
        t.after(() => node.stop());
        const berth = await frontFor(t, cluster!, { nodes: [node], healthCheck: { type: 'tcp', tls: false } });
        const registry = `${NAME}:${await berth.port()}`;
        if (trusting) await docker.trust(registry, cluster!.ca);
        await assert.rejects(logIn(registry), words);
        const { findings } = await doctor(cluster!, { servers: [node.endpoint], ca: trusting ? cluster!.ca : null });
        assert.ok(
          findings.some((finding) => finding.code === code),
          JSON.stringify(findings),
        );
      });
    }
  });
});

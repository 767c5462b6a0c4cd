import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { CertificateKind } from '../support/certificates.ts';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { failed, frontFor, serversOf } from '../support/registry-berth.ts';

/** Why a check that verifies takes a node with such a certificate out. */
const REASONS: [CertificateKind, RegExp | undefined][] = [
  ['good', undefined],
  ['expired', /^TLS: the certificate, or one that signs it, has expired; renew/],
  ['not-yet-valid', /^TLS: the certificate, or one that signs it, is not yet valid; set the clocks/],
  ['untrusted', /^TLS: the certificate is signed by an unknown authority; set healthCheck\.tls\.ca/],
  ['expires-soon', undefined],
];

suite("a check of a registry node's certificate", { timeout: 120_000 }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster({
      // Not localhost, which Node's own check would fall back to.
      names: ['registry.test', '127.0.0.1'],
      redis: false,
      nodes: REASONS.map(([certificate]) => ({ certificate })),
    });
  });
  after(() => cluster.close());

  test('with ca and serverName takes out what clients would refuse, with the reason, and pushes go elsewhere', async (t) => {
    const berth = await frontFor(t, cluster);
    for (const [i, [kind, wanted]] of REASONS.entries()) {
      const name = `s${i + 1}`;
      if (wanted === undefined) await berth.metricReaches('berth_server_up', (up) => up === 1, name);
      else assert.match(String((await berth.change('server down', name))['reason']), wanted, kind);
    }
    for (const address of ['127.0.0.2', '127.0.0.3', '127.0.0.4']) {
      const image = await cluster.makeImage({ layers: 1, layerBytes: 100_000 });
      await cluster.push(image, `from/${address}:1`, (await cluster.connectFrom(address, await berth.port())).port);
    }
    const connections = await berth.newConnections();
    assert.deepEqual(serversOf(connections), ['s1', 's5']);
    assert.deepEqual(failed(connections), []);
  });

  test('with ca alone looks for the address of the server', async (t) => {
    const berth = await frontFor(t, cluster, { healthCheck: { tls: { ca: cluster.ca } } });
    await berth.metricReaches('berth_server_up', (up) => up === 1, 's1');
    assert.equal(await berth.sum('berth_server_up', 's2'), 0);
  });

  test('with a serverName that is not in the certificate takes every node out', async (t) => {
    const tls = { ca: cluster.ca, serverName: 'elsewhere.test' };
    const berth = await frontFor(t, cluster, { healthCheck: { tls } });
    const { reason } = await berth.change('server down', 's1');
    assert.match(String(reason), /^TLS: .*elsewhere\.test/);
    assert.equal(await berth.sum('berth_server_up'), 0);
  });

  test('without ca does not judge it', async (t) => {
    const berth = await frontFor(t, cluster, { healthCheck: { tls: true } });
    await berth.metricReaches('berth_server_up', (up) => up === REASONS.length);
  });

  test('tells when each expires, the bad ones included, as openssl does', async (t) => {
    const berth = await frontFor(t, cluster);
    for (const [i, [kind]] of REASONS.entries()) {
      const { certificate } = await cluster.certificate(kind);
      const said = await cluster.workspace.run('openssl', ['x509', '-noout', '-enddate', '-in', certificate]);
      const seconds = await berth.sum('berth_server_tls_certificate_expiry_timestamp_seconds', `s${i + 1}`);
      assert.equal(seconds, Date.parse(said.replace('notAfter=', '')) / 1_000, kind);
    }
  });
});

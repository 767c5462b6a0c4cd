import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { Certificate } from '../support/certificates.ts';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { doctor } from '../support/doctor.ts';
import { frontFor } from '../support/registry-berth.ts';

suite('registries that ask their clients for a certificate', { timeout: 120_000 }, () => {
  let cluster: Cluster;
  let shown: Certificate;
  before(async () => {
    cluster = await startCluster({ redis: false, nodes: 0 });
    const tls = { ...(await cluster.certificate('good')), clientcas: [cluster.ca] };
    for (const minimumtls of ['tls1.2', 'tls1.3'])
      await cluster.addNode({ override: { http: { tls: { ...tls, minimumtls } } } });
    shown = await cluster.certificate('client');
  });
  after(() => cluster.close());

  const tls = (more: object = {}) => ({ ca: cluster.ca, serverName: cluster.names[0], ...more });
  const pair = () => ({ cert: shown.certificate, key: shown.key });

  test('a check with the certificate finds them up, and one without says what it lacks', async (t) => {
    const good = await frontFor(t, cluster, { healthCheck: { tls: tls(pair()) } });
    await good.metricReaches('berth_server_up', (up) => up === 2);
    const bare = await frontFor(t, cluster);
    for (const { name } of cluster.nodes) {
      const { reason } = await bare.change('server down', name);
      assert.match(
        String(reason),
        /it asks clients for a certificate; set healthCheck\.tls\.cert and healthCheck\.tls\.key$/,
      );
    }
  });

  test('the doctor shows the certificate of the checks, and audits the nodes to the end', async () => {
    const { code, out } = await doctor(cluster, { healthCheck: { tls: tls(pair()) }, text: true });
    assert.deepEqual([code, out], [0, 'OK 2 nodes consistent\n']);
    const bare = await doctor(cluster);
    assert.deepEqual([bare.code, bare.lines], [1, ['FAIL CLIENT_CERT s1', 'FAIL CLIENT_CERT s2']]);
    assert.match(bare.findings[0]?.mend ?? '', /healthCheck\.tls\.cert/);
  });

  test('a certificate that is for servers is refused, and the reason says what may be wrong', async (t) => {
    const { certificate: cert, key } = await cluster.certificate('good');
    const berth = await frontFor(t, cluster, { healthCheck: { tls: tls({ cert, key }) } });
    const { reason } = await berth.change('server down', 's1');
    assert.match(String(reason), /it refuses the client certificate: .*extendedKeyUsage clientAuth.*; set healthCheck/);
  });

  test('without --name the doctor takes the name that the checks give', async () => {
    const { code, out } = await doctor(cluster, { healthCheck: { tls: tls(pair()) }, name: null, text: true });
    assert.deepEqual([code, out], [0, 'OK 2 nodes consistent\n']);
  });
});

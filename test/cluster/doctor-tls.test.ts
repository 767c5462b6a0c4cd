import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, suite, test } from 'node:test';
import type { CertificateKind } from '../support/certificates.ts';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { doctor } from '../support/doctor.ts';
import { listenBeside } from '../support/tls-proxy.ts';

const KINDS: [CertificateKind, string | undefined, RegExp][] = [
  ['good', undefined, /^$/],
  ['expired', 'FAIL CERT_EXPIRED', /its certificate expired on \d{4}-\d\d-\d\d/],
  ['not-yet-valid', 'FAIL CERT_NOT_YET_VALID', /its certificate is valid from \d{4}-\d\d-\d\d only/],
  ['untrusted', 'FAIL CERT_UNTRUSTED', /signed by an (unknown authority|authority that is not trusted)/],
  ['wrong-name', 'FAIL CERT_WRONG_NAME', /its certificate is for other\.test, not for registry\.test/],
  ['no-san', 'FAIL CERT_NO_SAN', /its certificate has no subjectAltName/],
  ['expires-soon', 'WARN CERT_EXPIRES_SOON', /its certificate expires in \d days, on/],
];

suite('berth doctor and TLS', { timeout: 300_000 }, () => {
  let cluster: Cluster;
  before(async () => {
    const nodes = [...KINDS.map(([certificate]) => ({ certificate })), { certificate: null }];
    cluster = await startCluster({ names: ['registry.test'], redis: false, nodes });
  });
  after(() => cluster.close());

  const endpoint = (kind: CertificateKind): string =>
    cluster.nodes[KINDS.findIndex(([one]) => one === kind)]?.endpoint ?? '';

  for (const [kind, expected, seen] of KINDS) {
    test(`a certificate that is ${kind}`, async () => {
      const { code, lines, findings } = await doctor(cluster, { servers: [endpoint(kind)] });
      assert.deepEqual(lines, expected === undefined ? [] : [`${expected} s1`]);
      assert.match(findings[0]?.seen ?? '', seen);
      assert.equal(code, expected?.startsWith('FAIL') ? 1 : 0);
    });
  }

  test('different certificates on two nodes that are otherwise good are a warning', async () => {
    const { code, lines } = await doctor(cluster, { servers: [endpoint('good'), endpoint('expires-soon')] });
    assert.deepEqual([code, lines], [0, ['WARN CERT_EXPIRES_SOON s2', 'WARN CERT_DIFFERS s1, s2']]);
  });

  test('without --ca a certificate of an authority of one’s own is not trusted, and the remedy names --ca', async () => {
    const { lines, findings } = await doctor(cluster, { servers: [endpoint('good')], ca: null });
    assert.deepEqual(lines, ['FAIL CERT_UNTRUSTED s1']);
    assert.match(findings[0]?.mend ?? '', /--ca FILE/);
  });

  test('the password is not sent to a node that is not trusted, or has another name', async () => {
    const suspects = [endpoint('untrusted'), endpoint('wrong-name')];
    const asked = cluster.nodes.map((node) => node.requests().length);
    await doctor(cluster, { servers: suspects });
    for (const [i, node] of cluster.nodes.entries()) {
      const own = node.requests().slice(asked[i]);
      assert.deepEqual(
        own.filter(({ path }) => path !== '/' && path !== '/v2/'),
        [],
        node.name,
      );
    }
  });

  test('plain HTTP is named, with the answer to what the minimum is', async () => {
    const { code, lines, findings } = await doctor(cluster, { servers: [cluster.nodes.at(-1)!.endpoint] });
    assert.deepEqual([code, lines], [1, ['FAIL TLS_PLAIN_HTTP s1']]);
    assert.match(findings[0]?.users ?? '', /server gave HTTP response to HTTPS client/);
    assert.match(
      findings[0]?.mend ?? '',
      /Is TLS or basic auth the minimum\?.*subjectAltName.*Basic auth is not needed/,
    );
  });

  test('what speaks neither TLS nor HTTP is a handshake that fails', async () => {
    const port = await listenBeside(
      cluster,
      createServer((socket) => socket.end('220 mail.example.com ESMTP\r\n')),
    );
    const { lines } = await doctor(cluster, { servers: [port] });
    assert.deepEqual(lines, ['FAIL TLS_HANDSHAKE s1']);
  });

  test('a node that is down and a name that leads nowhere are named, and the others audited', async () => {
    const port = await cluster.workspace.freePort();
    const { code, lines, findings } = await doctor(cluster, {
      servers: [port, endpoint('good'), 'nowhere.invalid:5000'],
    });
    assert.deepEqual([code, lines.toSorted()], [1, ['FAIL TCP s1', 'FAIL TCP s3']]);
    assert.deepEqual(findings.map(({ seen }) => seen.replace(/(does not resolve): .*/, '$1')).toSorted(), [
      'connection refused',
      'nowhere.invalid does not resolve',
    ]);
  });

  test('a node that is frozen costs a finding and some seconds', async (t) => {
    const frozen = cluster.nodes[0]!;
    frozen.freeze();
    t.after(() => frozen.thaw());
    const { lines, seconds } = await doctor(cluster, { servers: [frozen.endpoint] });
    assert.deepEqual(lines, ['FAIL TLS_HANDSHAKE s1']);
    assert.ok(seconds < 15, `${seconds} s`);
  });
});

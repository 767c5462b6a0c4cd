/** The doctor on a timer, beside a balancer that serves registry nodes. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { start, type LogLine } from '../support/berth.ts';
import { startCluster } from '../support/cluster.ts';
import { api, reload, setState } from '../support/operator.ts';
import { settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

type Seen = { readonly doctor: { readonly skipped: string | null; readonly findings: readonly object[] } | null };

test(
  'rounds find a node with another HTTP secret, say so once, and that it is mended',
  { timeout: 180_000 },
  async (t) => {
    const cluster = await startCluster({ names: ['registry.test'] });
    t.after(() => cluster.close());
    const passwordFile = join(cluster.workspace.dir, 'password');
    await writeFile(passwordFile, `${cluster.password}\n`);
    const servers = cluster.nodes.map(({ name, endpoint }) => ({ name, address: endpoint }));
    const tls = { ca: cluster.ca, serverName: 'registry.test' };
    const healthCheck = { type: 'registry', tls, interval: '200ms', fastInterval: '100ms' };
    const doctor = { interval: '1s', ca: cluster.ca, user: cluster.user, passwordFile };
    const config = settings(servers, { healthCheck }, { doctor });
    const berth = await start(t, config);
    const seen = async (): Promise<Seen['doctor']> => ((await api(berth, 'GET', '/api/v1/status')).body as Seen).doctor;
    const told = (event: string, from = 0) => berth.line((line) => line['event'] === event, from);
    // Between a stop and the check that sees it, a round may find that a node does not answer.
    const isOfSecret = (line: LogLine): boolean => line['code'] === 'SECRET_DIFFERS';
    const count = (event: string): number =>
      berth.lines.filter((line) => line['event'] === event && isOfSecret(line)).length;
    const metric = 'berth_doctor_findings{backend="b",code="SECRET_DIFFERS",level="FAIL"}';

    assert.equal((await told('doctor_clean'))['nodes'], 2);
    assert.deepEqual((await seen())?.findings, []);
    assert.equal(await berth.metric(metric), undefined);
    await berth.metricIs(
      'berth_doctor_last_run_timestamp_seconds{backend="b"}',
      (at) => Math.abs(at - Date.now() / 1e3) < 60,
    );

    const s2 = cluster.nodes[1]!;
    await s2.stop();
    assert.deepEqual((await told('doctor_skipped'))['reason'], 's2 is down');
    await eventually('a skipped round', async () => (await seen())?.skipped === 's2 is down');
    await s2.start({ secret: 'another' });
    const { gravity, where, mend } = await berth.line(isOfSecret);
    assert.equal(gravity, 'FAIL');
    assert.match(String(where), /^s\d → s\d$/);
    assert.match(String(mend), /secret/i);
    assert.equal(await berth.metricIs(metric, 2), 2);
    assert.equal((await seen())?.findings.length, 2);
    const lastRun = (await berth.metric('berth_doctor_last_run_timestamp_seconds{backend="b"}')) ?? 0;
    await berth.metricIs('berth_doctor_last_run_timestamp_seconds{backend="b"}', (at) => at > lastRun);
    assert.equal(count('doctor_finding'), 2, 'the same findings in the next round are not told again');

    const from = berth.lines.length;
    await s2.stop();
    await s2.start({ secret: cluster.defaults.secret });
    await told('doctor_clean', from);
    assert.equal(count('doctor_cleared'), 2);
    assert.equal(await berth.metric(metric), undefined);

    // What is gentle: no login is measured, and nothing but given-up uploads is asked for.
    const agents = cluster.nodes.flatMap((node) =>
      node.requests().filter(({ agent }) => agent.startsWith('berth-doctor')),
    );
    assert.ok(agents.length > 0);
    assert.deepEqual([...new Set(agents.map(({ method }) => method))].toSorted(), ['DELETE', 'GET', 'PATCH', 'POST']);

    await setState(berth, 's1', 'drain');
    const last = await berth.line((line) => line['event'] === 'doctor_skipped' && line['reason'] === 's1 is in drain');
    const after = berth.lines.indexOf(last);
    await setState(berth, 's1', 'ready');
    await told('doctor_clean', after);

    assert.equal((await reload(berth, { ...config, doctor: { ...doctor, interval: '0s' } })).msg, 'reloaded');
    assert.equal(await seen(), null);
    assert.equal(await berth.metric('berth_doctor_last_run_timestamp_seconds{backend="b"}'), undefined);
    const text = berth.lines.map((line) => JSON.stringify(line)).join('\n');
    assert.ok(!text.includes(cluster.password));
  },
);

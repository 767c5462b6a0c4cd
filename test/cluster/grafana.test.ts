/** The dashboard and the alert rules of deploy/, by a real Prometheus that scrapes a real Berth in front of real nodes. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import type { Dashboard } from '@grafana/schema';
import { rules } from '../support/alerts-page.ts';
import { start, type Berth } from '../support/berth.ts';
import { Client } from '../support/clients.ts';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { DASHBOARD } from '../support/grafana-dashboard.ts';
import { Prometheus } from '../support/prometheus.ts';
import { refusing, serve } from '../support/servers.ts';
import type { Settings } from '../support/settings.ts';
import { eventually } from '../support/waiting.ts';

/** What a panel asks, with what Grafana puts in the place of its variables. */
type Asked = { readonly panel: string; readonly query: string };

const RATE_INTERVAL = '10s';
/** Waits for sessions to end and for scrapes to see it. */
const SOON_MS = 60_000;

/** Counters that are 0 in a Berth that is well; nothing that a test could do to it in a minute raises them. */
const RIGHTLY_ZERO = [/berth_log_lines_dropped_total/];

const model = JSON.parse(readFileSync(DASHBOARD, 'utf8')) as Dashboard;

function asked(): Asked[] {
  const panels = (model.panels ?? []).flatMap((panel) =>
    ('targets' in panel ? (panel.targets ?? []) : []).map((target) => ({
      panel: String(panel.title),
      query: inserted(String(target['expr'])),
    })),
  );
  const marks = (model.annotations?.list ?? []) as readonly { name: string; expr?: string }[];
  return [...panels, ...marks.map(({ name, expr = '' }) => ({ panel: `mark: ${name}`, query: inserted(expr) }))];
}

/** 'All' is all values of a variable, as a regular expression. */
function inserted(expr: string): string {
  return expr
    .replaceAll('"$instance"', '"127\\\\.0\\\\.0\\\\.1:[0-9]+"')
    .replaceAll('"$backend"', '"(docker_registry|flaky|full|crowded)"')
    .replaceAll('$__rate_interval', RATE_INTERVAL)
    .replaceAll('$__range', '5m');
}

suite('the dashboard and the alerts', { timeout: 240_000 }, () => {
  let cluster: Cluster;
  before(async () => {
    // Another secret is what the doctor finds; the client's stickiness hides it from pushes.
    cluster = await startCluster({ nodes: [{}, { secret: 'another' }] });
  });
  after(() => cluster.close());

  test('every panel, mark and variable of the dashboard, and every metric of an alert, has data', async (t) => {
    const berth = await start(t, await settingsFor(t, cluster), { within: cluster.workspace.dir });
    const { address } = await berth.line(({ msg }) => msg === 'metrics listening');
    const prometheus = await Prometheus.start(cluster.workspace, String(address));
    await prometheus.seen('berth_server_up', (up) => up === 1, SOON_MS);
    await trouble(t, berth, cluster);

    let missing = asked();
    const look = async (): Promise<boolean> => {
      const shown = await Promise.all(missing.map(({ query }) => prometheus.history(query)));
      missing = missing.filter(({ query }, i) => {
        const isGood = (value: number): boolean => value > 0 || RIGHTLY_ZERO.some((one) => one.test(query));
        return !shown[i]!.some(({ values }) => values.some(isGood));
      });
      return missing.length === 0;
    };
    await eventually(() => `data for ${JSON.stringify(missing, null, 2)}`, look, SOON_MS);

    const variables = (model.templating?.list ?? []).flatMap(({ query }) =>
      typeof query === 'object' ? [String(query['query'])] : [],
    );
    assert.equal(variables.length, 2);
    for (const query of variables) {
      const [, match = '', label = ''] = /^label_values\((.*), (\w+)\)$/.exec(query) ?? [];
      assert.notDeepEqual(await prometheus.labels(label, inserted(match)), [], query);
    }

    const names = new Set(rules().flatMap(({ expr }) => expr.match(/\b(?:berth|process)_\w+/g) ?? []));
    for (const name of names) await prometheus.seen(`count(${name})`, (count) => count > 0, SOON_MS);
    for (const alert of [
      'BerthServerDown',
      'BerthQueueBuilds',
      'BerthConnectErrors',
      'BerthClientHoldsMost',
      'BerthDoctorFinds',
    ])
      await prometheus.seen(`ALERTS{alertname="${alert}", alertstate="firing"}`, (value) => value === 1, SOON_MS);
  });
});

/** In front of the nodes, of a server that refuses, of one that takes a connection at a time, and of one for a crowd. */
async function settingsFor(t: TestContext, cluster: Cluster): Promise<Settings> {
  const [good, slow, crowded] = await serve(t, ['good', 'slow', 'crowded']);
  const passwordFile = join(cluster.workspace.dir, 'probe-password');
  writeFileSync(passwordFile, cluster.password);
  const user = { user: cluster.user, passwordFile };
  const frontend = (backend: string, more: object = {}): object => ({ bind: '127.0.0.1:0', backend, ...more });
  return {
    frontends: {
      registry: frontend('docker_registry'),
      flaky: frontend('flaky', { deny: ['127.0.9.9'] }),
      full: frontend('full'),
      crowded: frontend('crowded'),
    },
    backends: {
      docker_registry: {
        servers: Object.fromEntries(cluster.nodes.map(({ name, port }) => [name, `localhost:${port}`])),
        healthCheck: {
          type: 'registry',
          tls: { ca: cluster.ca, serverName: 'registry.test' },
          storage: { repository: 'berth/probe', ...user },
          interval: '500ms',
        },
      },
      flaky: {
        servers: { s1: await refusing(), s2: good!.address },
        healthCheck: false,
        stickTable: { size: 2, expire: '2s' },
      },
      full: { servers: { s1: { address: slow!.address, maxConnections: 1 } } },
      crowded: { servers: { s1: crowded!.address } },
    },
    timeouts: { queue: '4s' },
    doctor: { interval: '1s', backend: 'docker_registry', ca: cluster.ca, ...user },
    metrics: { bind: '127.0.0.1:0' },
    admin: { bind: '127.0.0.1:0' },
  };
}

/** Whatever the dashboard has a panel for happens, for long enough to be scraped. */
async function trouble(t: TestContext, berth: Berth, cluster: Cluster): Promise<void> {
  const clients: Client[] = [];
  const come = async (frontend: string, from: string): Promise<Client> => {
    const client = new Client({ port: await berth.port(frontend), from });
    t.after(() => client.socket.destroy());
    clients.push(client);
    return client;
  };
  // Of the one place of `full`, one client has it, and waits for it a second time; another waits for any.
  await (await come('full', '127.0.9.1')).line();
  await come('full', '127.0.9.1');
  await come('full', '127.0.9.2');
  for (let i = 0; i < 120; i++) await come('crowded', '127.0.9.3');
  await (
    await come('flaky', '127.0.9.9')
  ).ended;

  const image = await cluster.makeImage({ layers: 3, layerBytes: 500_000 });
  const port = await berth.port('registry');
  await cluster.push(image, 'some/image:1', port);
  // Another client: a push and a pull of one client soon after each other are one session.
  const puller = await cluster.connectFrom('127.0.9.4', port);
  await cluster.pull('some/image:1', puller.port);

  for (let i = 0; i < 30; i++) {
    const client = await come('flaky', `127.0.10.${i + 1}`);
    await client.line();
    await client.finish();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  berth.signal('SIGHUP');
  await berth.line(({ msg }) => msg === 'reloaded');
  // While a node is down there is no audit.
  await berth.line(({ event }) => event === 'doctor_finding');
  await cluster.nodes[1]?.kill();
  await berth.change('server down', 's2');
}

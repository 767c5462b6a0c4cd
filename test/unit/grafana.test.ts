/** What deploy/ gives Grafana: that it is laid out, and that one file names what another has. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Dashboard, Panel, RowPanel } from '@grafana/schema';
import { parse } from 'yaml';
import { dashboard, DASHBOARD } from '../support/grafana-dashboard.ts';

const read = (file: string): unknown => parse(readFileSync(file, 'utf8'), { merge: true });
const model = JSON.parse(readFileSync(DASHBOARD, 'utf8')) as Dashboard;
const panels = model.panels ?? [];
const isShown = (panel: Panel | RowPanel): panel is Panel => panel.type !== 'row';

type Service = { image: string; environment: Record<string, string>; volumes: string[]; command: string[] };
const { services } = read('deploy/compose.yml') as { services: { grafana: Service; prometheus: Service } };
/** Where each file or folder of deploy/ is in the container. */
const mounts = new Map(services.grafana.volumes.map((volume) => volume.split(':', 2) as [string, string]));

test('the dashboard is what test/support/grafana-dashboard.ts says (npm run reference)', async () => {
  assert.equal(readFileSync(DASHBOARD, 'utf8'), await dashboard());
});

test('every panel has a place and a number of its own, a title, and words on what it shows', () => {
  const taken = new Map<string, string>();
  for (const { id, title = '', gridPos } of panels) {
    const { x, y, w, h } = gridPos!;
    assert.ok(x >= 0 && x + w <= 24, `${title} is within the 24 columns`);
    for (let column = x; column < x + w; column++) {
      for (let line = y; line < y + h; line++) {
        assert.equal(taken.get(`${column} ${line}`), undefined, `${title} overlaps another panel`);
        taken.set(`${column} ${line}`, title);
      }
    }
    assert.equal(panels.filter((other) => other.id === id).length, 1, title);
  }
  for (const { title, description } of panels.filter(isShown)) assert.match(description ?? '', /^[A-Z].*\.$/, title);
});

test('every query asks the chosen Prometheus about the chosen balancers', () => {
  for (const { title, datasource, targets = [] } of panels.filter(isShown)) {
    assert.equal(datasource?.uid, '${datasource}', title);
    assert.ok(targets.length > 0, title);
    for (const { expr, legendFormat } of targets) {
      assert.match(String(expr), /instance=~"\$instance"/, title);
      for (const [, metric, labels = ''] of String(expr).matchAll(
        /(berth_(?:server|backend|stick|session)\w+)\{(.*?)\}/g,
      ))
        assert.match(labels, /backend=~"\$backend"/, `${title}: ${metric}`);
      assert.ok(String(legendFormat).length > 0, title);
    }
  }
});

test('the model is that of the version of Grafana that the compose file starts', () => {
  const { devDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    devDependencies: Record<string, string>;
  };
  assert.equal(services.grafana.image, `grafana/grafana:${devDependencies['@grafana/schema']}`);
});

test('Grafana finds the dashboard, its folder and the Prometheus where the compose file puts them', () => {
  const { providers } = read('deploy/grafana/provisioning/dashboards/berth.yml') as {
    providers: readonly { options: { path: string } }[];
  };
  assert.deepEqual(
    providers.map(({ options }) => options.path),
    [mounts.get('./grafana/dashboards')],
  );
  assert.equal(mounts.get('./grafana/provisioning'), '/etc/grafana/provisioning');
  const { environment } = services.grafana;
  assert.equal(environment['GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH'], '/etc/grafana/dashboards/berth.json');

  const { datasources } = read('deploy/grafana/provisioning/datasources/prometheus.yml') as {
    datasources: readonly { url: string; type: string; jsonData: { timeInterval: string } }[];
  };
  const { global } = read('deploy/prometheus/prometheus.yml') as { global: { scrape_interval: string } };
  const listens = services.prometheus.command.find((word) => word.startsWith('--web.listen-address='));
  assert.deepEqual(
    datasources.map(({ type, url, jsonData }) => [type, url, jsonData.timeInterval]),
    [['prometheus', `http://${listens?.split('=')[1]}`, global.scrape_interval]],
  );
});

test('Grafana listens on loopback alone, and its password is the one that make-secrets.sh makes', () => {
  const { environment } = services.grafana;
  assert.equal(environment['GF_SERVER_HTTP_ADDR'], '127.0.0.1');
  assert.equal(environment['GF_SECURITY_ADMIN_PASSWORD__FILE'], `${mounts.get('./secrets/grafana')}/admin-password`);
  const opens = Object.keys(environment).filter((key) => /ANONYMOUS|SIGN_UP|ADMIN_PASSWORD$/.test(key));
  assert.deepEqual(opens, []);
  assert.match(readFileSync('deploy/make-secrets.sh', 'utf8'), /random >"\$drafts\/admin-password"/);
});

/** deploy/kubernetes: as the published API has it, and agreed within itself. No cluster runs here. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Deployment } from 'kubernetes-models/apps/v1';
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1';
import { ConfigMap, Service } from 'kubernetes-models/v1';
import { parseAllDocuments } from 'yaml';
import { loadText } from '../../src/config/load.ts';
import type { Config } from '../../src/config/schema.ts';
import type { Bind } from '../../src/config/values.ts';
import { folderOf } from '../support/files.ts';

const FILE = 'deploy/kubernetes/berth.yml';
type Manifest = { readonly apiVersion: string; readonly kind: string; readonly metadata: { readonly name: string } };

const manifests = parseAllDocuments(readFileSync(FILE, 'utf8')).map((document) => {
  assert.deepEqual(document.errors, []);
  return document.toJS() as Manifest;
});

/** Their types and their validators are both made from the schemas that Kubernetes publishes. */
const KINDS = { ConfigMap, Deployment, NetworkPolicy, PodDisruptionBudget, Service };
type Kinds = { readonly [Kind in keyof typeof KINDS]: InstanceType<(typeof KINDS)[Kind]> };

function manifest<Kind extends keyof Kinds>(kind: Kind, name = 'berth'): Kinds[Kind] {
  const found = manifests.filter((one) => one.kind === kind && one.metadata.name === name);
  assert.equal(found.length, 1, `${kind} ${name}`);
  return found[0] as unknown as Kinds[Kind];
}

/** What the schema says of the values; a key that it does not have is nothing to it. */
function faultsOf(one: Manifest): string {
  try {
    new KINDS[one.kind as keyof Kinds](one).validate();
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

/** What the compiler says of the keys. */
function problemsOf(t: TestContext, all: readonly Manifest[]): string[] {
  // Not in this folder, whose tsconfig.json is about something else.
  const folder = folderOf(t);
  const lines = all.map((one, i) => {
    const types = resolve('node_modules/kubernetes-models', one.apiVersion);
    return `export const manifest${i}: import('${types}').I${one.kind} = ${JSON.stringify(one)};\n`;
  });
  writeFileSync(join(folder, 'manifests.ts'), lines.join(''));
  const how = ['--noEmit', '--strict', '--module', 'esnext', '--moduleResolution', 'bundler', '--types', ''];
  const { stdout, error } = spawnSync(resolve('node_modules/.bin/tsc'), [...how, 'manifests.ts'], {
    cwd: folder,
    encoding: 'utf8',
  });
  assert.equal(error, undefined);
  return stdout.split('\n').filter((line) => line !== '');
}

test('every manifest is of the kind that it says, with no key that the kind does not have', (t) => {
  assert.deepEqual(manifests.map(faultsOf).filter(Boolean), []);
  assert.deepEqual(problemsOf(t, manifests), []);
});

/** The manifest of that kind with a text of it changed. */
function spoilt(kind: keyof Kinds, right: string, instead: string): Manifest {
  const text = JSON.stringify(manifest(kind));
  assert.ok(text.includes(right), right);
  return JSON.parse(text.replace(right, instead)) as Manifest;
}

test('a wrong key in a manifest would be seen', (t) => {
  const wrong: [string, string, RegExp][] = [
    ['"replicas":2', '"replica":2', /"replica"' does not exist in type/],
    ['"containerPort":8443', '"port":8443', /"port"' does not exist in type/],
    ['"httpGet":', '"httpget":', /"httpget"' does not exist in type/],
  ];
  const said = problemsOf(
    t,
    wrong.map(([right, instead]) => spoilt('Deployment', right, instead)),
  ).join('\n');
  for (const [, , wanted] of wrong) assert.match(said, wanted);
});

test('a wrong value in a manifest would be seen', () => {
  const wrong: [keyof Kinds, string, string, RegExp][] = [
    ['Deployment', '"replicas":2', '"replicas":"2"', /spec\/replicas must be integer/],
    ['Deployment', '"cpu":"100m"', '"cpu":"100mm"', /requests\/cpu must match format "quantity"/],
    ['Deployment', '"sizeLimit":"1Mi"', '"sizeLimit":"1MB"', /sizeLimit must match format "quantity"/],
    ['Deployment', '"RuntimeDefault"', '"Runtime"', /seccompProfile\/type must be equal to one of the allowed values/],
    ['Deployment', '["ALL"]', '"ALL"', /capabilities\/drop must be array/],
    ['NetworkPolicy', '"TCP"', '"TPC"', /protocol must be equal to one of the allowed values/],
    ['Service', '"Local"', '"Lokal"', /externalTrafficPolicy must be equal to one of the allowed values/],
  ];
  for (const [kind, right, instead, wanted] of wrong) assert.match(faultsOf(spoilt(kind, right, instead)), wanted);
});

function balancer(): Config {
  const { data } = manifest('ConfigMap');
  const loaded = loadText(data?.['balancer.yml'] ?? '', 'balancer.yml', 'balancer.yml', {});
  assert.deepEqual(loaded.kind === 'config' ? loaded.warnings : loaded.problems, []);
  return (loaded as { config: Config }).config;
}

const portOf = (bind: Bind | undefined): number => (bind?.kind === 'tcp' ? bind.port : 0);
const deployment = manifest('Deployment').spec!;
const pod = deployment.template.spec!;
const container = pod.containers[0]!;

test('its balancer.yml is valid, and the ports of the manifests are those of the file', () => {
  const { frontends, metrics } = balancer();
  const wanted = { https: portOf(frontends['https_frontend']?.bind[0]), metrics: portOf(metrics.bind) };
  const ports = container.ports?.map(({ name, containerPort }) => [name, containerPort]) ?? [];
  assert.deepEqual(Object.fromEntries(ports), wanted);
  assert.ok(wanted.https >= 1024, 'a port that needs no right');
  assert.equal(deployment.template.metadata?.annotations?.['prometheus.io/port'], String(wanted.metrics));
  const { ports: served } = manifest('Service').spec!;
  assert.deepEqual(
    served?.map(({ port, targetPort }) => [port, targetPort]),
    [[443, 'https']],
  );
  assert.deepEqual(
    [container.readinessProbe?.httpGet, container.livenessProbe?.httpGet],
    [
      { path: '/readyz', port: 'metrics' },
      { path: '/healthz', port: 'metrics' },
    ],
  );
});

test('the servers and the shared table are those that the Services and the NetworkPolicy name', () => {
  const { docker_registry: backend } = balancer().backends;
  const [server] = Object.values(backend?.servers ?? {});
  const nodes = manifest('Service', 'registry-nodes').spec!;
  assert.deepEqual(server?.address, { discover: 'dns', name: 'registry-nodes', port: nodes.ports?.[0]?.port });
  assert.equal(nodes.clusterIP, 'None');
  const { ingress = [], egress = [] } = manifest('NetworkPolicy').spec!;
  const open = (rules: readonly { ports?: { port?: number | string }[] }[]): unknown[] =>
    rules.map(({ ports }) => ports?.map(({ port }) => port));
  assert.deepEqual(open(ingress), [['https'], ['metrics']]);
  assert.deepEqual(open(egress), [[5000], [6379], [53, 53]]);
  assert.deepEqual(egress[0]?.to?.[0]?.podSelector?.matchLabels, nodes.selector);
  assert.match(manifest('ConfigMap').data?.['balancer.yml'] ?? '', /shared: 'redis:\/\/redis:6379\/0'/);
});

test('every selector finds the pods of the Deployment', () => {
  const labels = deployment.template.metadata?.labels;
  const { spec: budget } = manifest('PodDisruptionBudget');
  assert.deepEqual(deployment.selector.matchLabels, labels);
  assert.deepEqual(manifest('Service').spec?.selector, labels);
  assert.deepEqual(budget?.selector?.matchLabels, labels);
  assert.deepEqual(manifest('NetworkPolicy').spec?.podSelector?.matchLabels, labels);
  assert.deepEqual(pod.topologySpreadConstraints?.[0]?.labelSelector?.matchLabels, labels);
  assert.ok((deployment.replicas ?? 0) > Number(budget?.minAvailable), 'one may go');
});

test('the image is that of this version', () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  assert.match(container.image ?? '', new RegExp(`/berth:${version}$`));
});

test('clients keep their addresses, and a pod that stops has the time that its balancer takes', () => {
  assert.equal(manifest('Service').spec?.externalTrafficPolicy, 'Local');
  const { lameDuck, drain } = balancer().timeouts;
  assert.ok((pod.terminationGracePeriodSeconds ?? 0) * 1_000 > lameDuck + drain);
  const { periodSeconds = 0, failureThreshold = 0 } = container.readinessProbe!;
  assert.ok(periodSeconds * failureThreshold * 1_000 < lameDuck, 'known not to be ready before it refuses');
});

test('a pod has no right of root, writes to nothing but its own socket, and has the files where Berth looks', () => {
  assert.deepEqual(pod.securityContext?.runAsNonRoot, true);
  assert.ok((pod.securityContext?.runAsUser ?? 0) > 0);
  assert.deepEqual(container.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  });
  const mounts = container.volumeMounts?.map(({ mountPath, readOnly = false }) => [mountPath, readOnly]);
  assert.deepEqual(mounts, [
    ['/etc/berth', true],
    ['/run/berth', false],
  ]);
  const { admin } = balancer();
  assert.equal(admin?.bind.kind === 'unix' ? admin.bind.path : '', '/run/berth/admin.sock');
});

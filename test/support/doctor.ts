/** Runs `berth doctor` as an operator does, against the nodes of a test. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import type { Finding } from '../../src/doctor/findings.ts';
import type { Cluster } from './cluster.ts';
import { commandWith } from './operator.ts';
import { settings, yaml } from './settings.ts';

export type DoctorCall = {
  /** host:port of each server, or a port of 127.0.0.1; default: the cluster's nodes. They are called s1, s2, … */
  readonly servers?: readonly (string | number)[];
  readonly args?: readonly string[];
  /** null: no user at all. Default: the cluster's. */
  readonly user?: string | null;
  readonly password?: string;
  /** null: none given. Default: the cluster's. */
  readonly ca?: string | null;
  readonly text?: boolean;
  /** null: none given. Default: the cluster's first. */
  readonly name?: null;
  /** Of the backend, such as the client certificate that nodes are shown. */
  readonly healthCheck?: object;
  /** No output may hold one of these. */
  readonly secrets?: () => readonly string[];
};
export type Diagnosis = {
  readonly code: number | null;
  readonly findings: readonly Finding[];
  readonly out: string;
  readonly seconds: number;
  /** `LEVEL CODE where` of each finding, in the order of the report. */
  readonly lines: readonly string[];
};

export async function doctor(cluster: Cluster, call: DoctorCall = {}): Promise<Diagnosis> {
  const { servers = cluster.nodes.map(({ endpoint }) => endpoint), args = [], text = false } = call;
  const { user = cluster.user, password = cluster.password, ca = cluster.ca } = call;
  const file = join(cluster.workspace.dir, `doctor-${randomBytes(4).toString('hex')}.yml`);
  const { healthCheck, secrets = () => [] } = call;
  await writeFile(file, yaml(settings(servers, healthCheck && { healthCheck })));
  const flags = [
    ...(args.includes('--name') || call.name === null ? [] : ['--name', cluster.names[0] ?? '']),
    ...(ca === null ? [] : ['--ca', ca]),
    ...(user === null ? [] : ['--user', user, '--password-stdin']),
    ...(text ? [] : ['--json']),
  ];
  const input = user === null ? '' : `${password}\n`;
  const started = performance.now();
  const { code, out, err } = await commandWith({ input }, 'doctor', '-c', file, ...flags, ...args);
  const base64 = Buffer.from(`${user}:${password}`).toString('base64');
  for (const secret of [...(user === null ? [] : [password, base64]), ...secrets()]) {
    assert.equal(`${out}${err}`.includes(secret), false, 'a password in the output');
  }
  assert.equal(err, '');
  const { findings } = text ? { findings: [] } : (JSON.parse(out) as { findings: Finding[] });
  const seconds = (performance.now() - started) / 1_000;
  const lines = findings.map((finding) => `${finding.level} ${finding.code} ${finding.where}`);
  return { code, out, seconds, findings, lines };
}

/** Runs `berth doctor` as an operator does, against the nodes of a test. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import type { Finding } from '../../src/doctor/findings.ts';
import { CLI } from './berth.ts';
import type { Cluster } from './cluster.ts';
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
};
export type Diagnosis = {
  readonly code: number | null;
  readonly findings: readonly Finding[];
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
  /** `LEVEL CODE where` of each finding, in the order of the report. */
  readonly lines: readonly string[];
};

export async function doctor(cluster: Cluster, call: DoctorCall = {}): Promise<Diagnosis> {
  const { servers = cluster.nodes.map(({ endpoint }) => endpoint), args = [], text = false } = call;
  const { user = cluster.user, password = cluster.password, ca = cluster.ca } = call;
  const file = join(cluster.workspace.dir, `doctor-${randomBytes(4).toString('hex')}.yml`);
  await writeFile(file, yaml(settings(servers)));
  const flags = [
    ...(args.includes('--name') ? [] : ['--name', cluster.names[0] ?? '']),
    ...(ca === null ? [] : ['--ca', ca]),
    ...(user === null ? [] : ['--user', user, '--password-stdin']),
    ...(text ? [] : ['--json']),
  ];
  const run = await runDoctor(['-c', file, ...flags, ...args], user === null ? '' : `${password}\n`);
  const base64 = Buffer.from(`${user}:${password}`).toString('base64');
  for (const secret of user === null ? [] : [password, base64]) {
    assert.equal(`${run.stdout}${run.stderr}`.includes(secret), false, 'a password in the output');
  }
  assert.equal(run.stderr, '');
  const { findings } = text ? { findings: [] } : (JSON.parse(run.stdout) as { findings: Finding[] });
  return { ...run, findings, lines: findings.map(({ level, code, where }) => `${level} ${code} ${where}`) };
}

/** The bare call: exit code and output. It must end by itself. */
export async function runDoctor(
  args: readonly string[],
  input = '',
  /** Resolves when it should be interrupted, as by Ctrl-C. */
  interrupt?: Promise<void>,
): Promise<{ code: number | null; stdout: string; stderr: string; seconds: number }> {
  const started = performance.now();
  const child = spawn(process.execPath, [CLI, 'doctor', ...args], { timeout: 120_000 });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => (output[name] += chunk));
  }
  child.stdin.on('error', () => {}); // it may end without reading
  child.stdin.end(input);
  void interrupt?.then(() => child.kill('SIGINT'));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  assert.equal(output.stderr.includes('    at '), false, output.stderr);
  return { code, ...output, seconds: (performance.now() - started) / 1_000 };
}

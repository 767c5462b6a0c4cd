/** The alert rules of deploy/, by Prometheus's own tool. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { RULES, rules } from '../support/alerts-page.ts';
import { anchorsOf, readPage } from '../support/pages.ts';

const TESTS = RULES.replace(/\.yml$/, '.test.yml');

const NO_PROMTOOL = spawnSync('promtool', ['--version']).error
  ? 'promtool (Debian package prometheus) is not installed'
  : false;

function promtool(...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8' });
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  return stdout;
}

test('promtool accepts the rules, and the configuration that names them', { skip: NO_PROMTOOL }, () => {
  assert.match(promtool('check', 'rules', RULES), new RegExp(`SUCCESS: ${rules().length} rules found`));
  promtool('check', 'config', join(dirname(RULES), 'prometheus.yml'));
});

test('each alert fires when it should and is silent when it should be', { skip: NO_PROMTOOL }, () => {
  assert.match(promtool('test', 'rules', TESTS), /SUCCESS/);
});

test('there is a scene for each alert in which it fires, and one in which it is silent to the end', () => {
  type Question = { expr: string; exp_samples: readonly unknown[] };
  const { tests } = parse(readFileSync(TESTS, 'utf8')) as {
    tests: readonly { name: string; promql_expr_test: readonly Question[] }[];
  };
  for (const { name, promql_expr_test: questions } of tests) {
    const [, alert, kind] = /^(\w+) (fires|is silent): /.exec(name) ?? [];
    for (const { expr } of questions) assert.equal(expr, `ALERTS{alertname="${alert}", alertstate="firing"}`, name);
    assert.equal((questions.at(-1)?.exp_samples.length ?? 0) > 0, kind === 'fires', name);
  }
  const scenes = (kind: string): string[] => {
    const told = tests.flatMap(({ name }) => (name.includes(` ${kind}: `) ? [name.split(' ', 1)[0] ?? ''] : []));
    return [...new Set(told)];
  };
  const all = rules().map(({ alert }) => alert);
  assert.deepEqual(scenes('fires'), all);
  assert.deepEqual(scenes('is silent'), all);
});

test('each alert says how grave it is, what it means, what users see and what to do, and where that stands', () => {
  for (const { alert, labels, annotations } of rules()) {
    assert.match(labels.severity, /^(critical|warning|info)$/, alert);
    const lines = annotations.description.split('\n');
    assert.equal(lines.length, 3, alert);
    for (const line of lines) assert.match(line, /^\S.*\.$/, alert);
    const [page = '', anchor] = annotations.runbook.split('#');
    assert.ok(anchorsOf(readPage(page)).includes(anchor ?? ''), annotations.runbook);
  }
});

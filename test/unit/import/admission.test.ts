import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { parse } from 'yaml';
import { importHaproxy } from '../../../src/import/haproxy.ts';
import { Access, accessRules } from '../../../src/proxy/admission/access.ts';
import { AROUND } from '../../support/corpus.ts';

type Frontend = {
  allow?: string[];
  deny?: string[];
  perSource?: object;
  backend?: string;
  sni?: Record<string, string>;
};

function frontend(...lines: readonly string[]): { f: Frontend; lost: string[] } {
  const rest = 'backend b\n  server s1 10.0.0.1:80\nbackend c\n  server s1 10.0.0.2:80\n';
  const text = `frontend f\n  bind :443\n  default_backend b\n${lines.map((line) => `  ${line}\n`).join('')}${rest}`;
  const imported = importHaproxy(text, 'test.cfg', AROUND);
  assert.ok(imported.kind === 'imported');
  const { frontends } = parse(imported.yaml) as { frontends: { f: Frontend } };
  return { f: frontends.f, lost: imported.items.filter(({ is }) => is === 'lost').map(({ what }) => what) };
}

const address = fc.nat(15).map((last) => `10.0.0.${last}`);
const network = fc.tuple(address, fc.integer({ min: 28, max: 32 })).map((parts) => parts.join('/'));
const term = fc.tuple(fc.boolean(), fc.array(network, { minLength: 1, maxLength: 2 }));
const rule = fc.record({
  layer: fc.constantFrom('connection', 'content'),
  admits: fc.boolean(),
  how: fc.constantFrom('if', 'unless'),
  alternatives: fc.array(fc.array(term, { minLength: 1, maxLength: 2 }), { maxLength: 2 }),
});

/** What HAProxy does: in each layer the first rule that holds decides, and whoever no rule decides on is let in. */
function admits(rules: readonly (typeof rule extends fc.Arbitrary<infer R> ? R : never)[], from: string): boolean {
  const last = Number(from.split('.')[3]);
  const isIn = (cidr: string): boolean => {
    const [base = '', bits] = cidr.split('/');
    const shift = 32 - Number(bits);
    return last >> shift === Number(base.split('.')[3]) >> shift;
  };
  return ['connection', 'content'].every((layer) => {
    const decided = rules.find(({ layer: own, how, alternatives }) => {
      if (own !== layer) return false;
      if (alternatives.length === 0) return true;
      const holds = alternatives.some((terms) => terms.every(([not, all]) => all.some(isIn) !== not));
      return holds === (how === 'if');
    });
    return decided?.admits ?? true;
  });
}

test('whoever the rules of HAProxy let in is let in by allow and deny, and nobody else', () => {
  fc.assert(
    fc.property(fc.array(rule, { minLength: 1, maxLength: 4 }), (rules) => {
      const lines = rules.map(({ layer, admits: yes, how, alternatives }) => {
        const terms = alternatives.map((all) =>
          all.map(([not, cidrs]) => `${not ? '!' : ''}{ src ${cidrs.join(' ')} }`).join(' '),
        );
        const condition = terms.length > 0 ? ` ${how} ${terms.join(' || ')}` : '';
        return `tcp-request ${layer} ${yes ? 'accept' : 'reject'}${condition}`;
      });
      const { f, lost } = frontend(...lines);
      assert.deepEqual(lost, []);
      const none = { connections: 0, rate: { count: 0, windowMs: 1_000 } };
      const perSource = { ...none, prefix: { ipv4: 32, ipv6: 64 } };
      const access = accessRules({ allow: f.allow ?? [], deny: f.deny ?? [], perSource });
      for (let last = 0; last < 32; last++) {
        const from = `10.0.0.${last}`;
        const refusal = new Access().admit(access, from);
        assert.equal(refusal === undefined, admits(rules, from), `${from}\n${lines.join('\n')}`);
      }
    }),
    { numRuns: 400 },
  );
});

test('lists stay as they were written where they come to the same', () => {
  const { f } = frontend(
    'acl inside src 10.0.0.0/8 192.168.0.0/16',
    'tcp-request connection reject if { src 10.9.0.0/16 }',
    'tcp-request connection accept if inside',
    'tcp-request connection reject',
  );
  assert.deepEqual([f.allow, f.deny], [['10.0.0.0/8', '192.168.0.0/16'], ['10.9.0.0/16']]);
});

test('a rule on something else than addresses is told, and lets in', () => {
  const { f, lost } = frontend('tcp-request connection reject if { dst_port 22 }');
  assert.deepEqual(
    [f.allow, f.deny, lost],
    [undefined, undefined, ['tcp-request connection reject if { dst_port 22 }']],
  );
});

test('names that alone are let in leave no backend for others', () => {
  const wanted = { 'a.example': 'c', 'b.example': 'b' };
  for (const rules of [
    ['tcp-request content accept if { req.ssl_sni a.example b.example }', 'tcp-request content reject'],
    ['acl known req_ssl_sni -i a.example b.example', 'tcp-request content reject unless known'],
  ]) {
    const { f, lost } = frontend(...rules, 'use_backend c if { req.ssl_sni -i a.example }');
    assert.deepEqual([f.backend, f.sni, lost], [undefined, wanted, []]);
  }
});

test('limits of a source become perSource', () => {
  const { f, lost } = frontend(
    'stick-table type ip size 1k expire 1m store conn_cur,conn_rate(3s)',
    'tcp-request connection track-sc0 src',
    'tcp-request connection reject if { src_conn_cur ge 11 } || { sc_conn_rate(0) gt 20 }',
  );
  assert.deepEqual([f.perSource, lost], [{ connections: 10, rate: '20/3s' }, []]);
});

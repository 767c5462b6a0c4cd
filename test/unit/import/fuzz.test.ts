import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { GLOBAL, PROXY } from '../../../src/import/directives.ts';
import { importHaproxy } from '../../../src/import/haproxy.ts';
import { importNginx } from '../../../src/import/nginx.ts';
import { STREAM } from '../../../src/import/nginx-directives.ts';
import { BIND, SERVER } from '../../../src/import/options.ts';
import { reportLines, reportPage } from '../../../src/import/report.ts';
import { ConfigFile } from '../../support/config-file.ts';
import { AROUND, specimens } from '../../support/corpus.ts';

const file = new ConfigFile();

/** A valid balancer.yml or a reason, and in either case lines that a terminal can show. */
function judge(text: string, read: typeof importHaproxy | typeof importNginx = importHaproxy): void {
  const imported = read(text, 'any.cfg', AROUND);
  for (const line of reportLines('any.cfg', imported.items)) assert.match(line, /^[^\p{Cc}\u2028\u2029]+$/u);
  assert.notEqual(reportPage('any.cfg', imported.items), '');
  if (imported.kind === 'unreadable') {
    assert.notEqual(imported.faults.length, 0);
    for (const { line, message } of imported.faults) assert.ok(line >= 1 && message !== '');
    return;
  }
  const missing = /no such file|cannot be used|: is missing/;
  assert.deepEqual(
    file.problems(imported.yaml).filter((problem) => !missing.test(problem)),
    [],
    `${text}\n${imported.yaml}`,
  );
}

const VALUES =
  '0 1 -1 5s 99999999999 x *:443 :1-3 10.0.0.1:80 [::1]:80 /a src if { } ! || req.ssl_sni -i -m end .x.y a.example ' +
  '10.0.0.0/8 backend s1 b f type ip size expire store conn_rate(10s) layer4 GET /v2/ status 200 __proto__ constructor';
const NGINX_VALUES =
  '{ } ; stream server upstream map u $x $ssl_preread_server_name 10.0.0.1:80 443 all 10.0.0.0/8 default .a.example ' +
  'a.example on off 5s 1 -1 weight=2 down backup ssl udp proxy_protocol "';
const HEADS = 'frontend f,backend b,listen l,defaults,global,server s,use_backend b,frontend __proto__'.split(',');

test('no text makes the import throw', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      judge(text);
      judge(text, importNginx);
    }),
    { numRuns: 300 },
  );
});

test('no line of words that HAProxy knows makes a file that Berth does not take', () => {
  const value = fc.constantFrom('', ...VALUES.split(' '));
  const words = fc.constantFrom(...HEADS, ...Object.keys(PROXY).map((word) => word.replace('*', '0')));
  const option = fc.constantFrom(...Object.keys(SERVER), ...Object.keys(BIND), ...Object.keys(GLOBAL));
  const line = fc
    .tuple(words, fc.array(fc.oneof(value, value, option), { maxLength: 8 }))
    .map(([word, rest]) => `${word} ${rest.join(' ')}`);
  const base = 'frontend f\nbind :443\ndefault_backend b\nbackend b\nserver s1 10.0.0.1:80 check\n';
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), fc.boolean(), (lines, before) => {
      judge(before ? `${lines.join('\n')}\n${base}` : `${base}${lines.join('\n')}`);
    }),
    { numRuns: 200 },
  );
});

test('no mutation of a file of the corpus makes the import throw or write what Berth does not take', () => {
  const texts = specimens('cfg').map(({ text }) => text);
  const piece = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 3 }),
    fc.constantFrom(
      '',
      ' ',
      '\n',
      '"',
      "'",
      '\\',
      '$',
      '{',
      '}',
      '#',
      '!',
      '0',
      ':',
      '/',
      '*',
      '-',
      '%',
      ',',
      '(',
      ')',
    ),
  );
  const cuts = fc.array(fc.tuple(fc.nat(800), fc.nat(12), piece), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(fc.constantFrom(...texts), cuts, (text, all) => {
      judge(all.reduce((done, [at, length, put]) => done.slice(0, at) + put + done.slice(at + length), text));
    }),
    { numRuns: 250 },
  );
});

test('no words of nginx make a file that Berth does not take', () => {
  const word = fc.constantFrom(...NGINX_VALUES.split(' '), ...Object.keys(STREAM));
  const base = 'stream { upstream u { server 10.0.0.1:80; } server { listen 443; proxy_pass u; } ';
  fc.assert(
    fc.property(fc.array(word, { maxLength: 30 }), (words) => judge(`${base}${words.join(' ')}}`, importNginx)),
    { numRuns: 150 },
  );
});

test('no mutation of an nginx.conf of the corpus makes the import throw or write what Berth does not take', () => {
  const texts = specimens('conf').map(({ text }) => text);
  const cut = fc.tuple(
    fc.nat(900),
    fc.nat(12),
    fc.constantFrom('', '{', '}', ';', '"', '\\', '$', ' ', '\n', '[', ':'),
  );
  fc.assert(
    fc.property(fc.constantFrom(...texts), fc.array(cut, { minLength: 1, maxLength: 4 }), (text, all) => {
      judge(
        all.reduce((done, [at, length, put]) => done.slice(0, at) + put + done.slice(at + length), text),
        importNginx,
      );
    }),
    { numRuns: 300 },
  );
});

test('conditions that multiply are given up', () => {
  const or = Array.from({ length: 40 }, (_, i) => `acl a${i % 4} src 10.0.0.${i}`);
  const rule = `tcp-request connection reject if ${'a0 a1 a2 a3 '.repeat(6)}`;
  const not = `tcp-request connection reject unless ${Array.from({ length: 30 }, () => 'a0 a1').join(' or ')}`;
  judge(
    ['frontend f', 'bind :443', 'default_backend b', ...or, rule, not, 'backend b', 'server s1 10.0.0.1:80'].join('\n'),
  );
});

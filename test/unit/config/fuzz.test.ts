import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { formatProblem } from '../../../src/config/locate.ts';
import { ConfigFile, SHORTEST } from '../../support/config-file.ts';

const file = new ConfigFile();

/** Neither throws nor says anything that is not one line at a place in the file. */
function judge(content: string | Uint8Array): void {
  const loaded = file.load(content);
  if (loaded.kind === 'config') return;
  assert.notEqual(loaded.problems.length, 0);
  const heights = Buffer.from(content).toString().split('\n').length;
  for (const problem of loaded.problems) {
    assert.ok(problem.line >= 1 && problem.line <= heights, formatProblem(problem));
    assert.ok(problem.column >= 1 && Number.isInteger(problem.column), formatProblem(problem));
    assert.notEqual(problem.message, '');
    assert.match(formatProblem(problem), /^[^\p{Cc}\u2028\u2029]+$/u);
    assert.ok(problem.path.length <= 400 && problem.message.length <= 400);
  }
}

const ALL = `x-more: &more { fall: 4 }
${SHORTEST}      s2: { <<: { weight: 2 }, address: "[::1]:\${PORT_OF_NOBODY:-5000}" }
    stickTable: { size: 1k, expire: 5m, prefix: { ipv4: 24 } }
    healthCheck: { <<: *more, type: http, path: /, expect: [200-399, 404], tls: { serverName: a.example } }
timeouts: { connect: 1s, idle: 1h }
metrics: { bind: "127.0.0.1:9180" }
log: { level: debug }
`;

test('the file that the mutations start from is good', () => {
  assert.deepEqual(file.problems(ALL), []);
});

test('no text makes loading throw', () => {
  const yaml = fc.constantFrom(
    ...'&a *a : - ? | > { } [ ] , # ! !! % @ ` " \' << null ~ 1 --- ... x \\ <<: *a ${ ${PATH} ${a:-b} x-a:'.split(' '),
    '\n',
    '  ',
    '\t',
    '\r\n',
  );
  const soup = fc.array(yaml, { maxLength: 60, size: 'max' }).map((all) => all.join(''));
  fc.assert(fc.property(fc.oneof(fc.string({ unit: 'binary' }), soup), judge), { numRuns: 400 });
});

test('no bytes make loading throw', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), judge), { numRuns: 300 });
});

test('no mutation of a good file makes loading throw', () => {
  const piece = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 3 }),
    fc.constantFrom(
      '',
      ':',
      '"',
      '\n',
      '\n  ',
      '{',
      ']',
      '*x',
      '&x ',
      '__proto__: 1\n',
      'null',
      '- ',
      '? ',
      '\t',
      '-1',
      '0s',
      '"\\n"',
    ),
  );
  const cuts = fc.array(fc.tuple(fc.nat(ALL.length), fc.nat(12), piece), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(cuts, (all) => {
      judge(all.reduce((text, [at, length, put]) => text.slice(0, at) + put + text.slice(at + length), ALL));
    }),
    { numRuns: 1_500 },
  );
});

test('no value in the place of another makes loading throw', () => {
  const key = fc.constantFrom(
    'f',
    'bind',
    'backend',
    'servers',
    's1',
    'weight',
    'size',
    'tls',
    'expect',
    'connect',
    'metrics',
    'log',
    'idle',
  );
  const names = fc.constantFrom('__proto__', 'constructor', 'bind', 'a\nb', '', '.', 'token');
  const { tree } = fc.letrec((tie) => ({
    leaf: fc.oneof(fc.string(), fc.double(), fc.boolean(), fc.constant(null), fc.constantFrom('*:443', 'h:1', '5s')),
    tree: fc.oneof(
      { maxDepth: 3 },
      tie('leaf'),
      fc.array(tie('tree'), { maxLength: 3 }),
      fc.dictionary(names, tie('tree'), { maxKeys: 3 }),
    ),
  }));
  fc.assert(
    fc.property(key, tree, (name, value) => {
      const text = JSON.stringify(value) ?? 'null';
      judge(ALL.replace(new RegExp(`(\\b${name}: )([^,\\n}]+|$)`, 'm'), (_, before: string) => before + text));
    }),
    { numRuns: 1_000 },
  );
});

test('nesting of any depth ends in a configuration or in problems', () => {
  for (const [open, close] of [
    ['[', ']'],
    ['{ a: ', '}'],
    ['- ', ''],
    ['? ', ''],
  ] as const) {
    for (const depth of [10, 60, 200, 500, 1_000, 3_000, 20_000]) {
      judge(open.repeat(depth) + close.repeat(depth));
      judge(`${ALL}x: ${open.repeat(depth)}${close.repeat(depth)}\n`);
    }
  }
  judge(Array.from({ length: 2_000 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n'));
});

/** What balancer.yml has beyond plain YAML: variables, merges, keys of the operator's own, files of networks. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { parseCidrs } from '../../../src/config/cidr-file.ts';
import { expand, spelledValue, type Environment } from '../../../src/config/environment.ts';
import { loadAdmin, loadConfig } from '../../../src/config/load.ts';
import { formatProblem } from '../../../src/config/locate.ts';
import { isNameMap } from '../../../src/config/rules.ts';
import { schema, type Config } from '../../../src/config/schema.ts';
import { readTree, retype } from '../../../src/config/tree.ts';
import { isCidr } from '../../../src/config/values.ts';
import { ConfigFile, lines, SHORTEST } from '../../support/config-file.ts';

const file = new ConfigFile();

function problems(content: string, env: Environment): string[] {
  writeFileSync(file.path, content);
  return lines(loadConfig(file.path, env), file.path);
}

function config(content: string, env: Environment = {}): Config {
  writeFileSync(file.path, content);
  const loaded = loadConfig(file.path, env);
  assert.deepEqual(lines(loaded, file.path), []);
  assert.ok(loaded.kind === 'config');
  return loaded.config;
}

const FRONTEND = SHORTEST.slice(0, SHORTEST.indexOf('backends:'));
const withFrontend = (line: string): string => SHORTEST.replace('backends:', `    ${line}\nbackends:`);

test('a variable stands for its value, a default for one that is not set or empty, $${ for itself', () => {
  const env = { A: 'x', EMPTY: '', BRACES: '${A}', __proto__: undefined };
  const texts: [string, string][] = [
    ['${A}', 'x'],
    ['-${A}-${A}-', '-x-x-'],
    ['${EMPTY}', ''],
    ['${EMPTY:-d}', 'd'],
    ['${NO:-}', ''],
    ['${NO:-a:-b c}', 'a:-b c'],
    ['${A:-d}', 'x'],
    ['${BRACES}', '${A}'],
    ['$${A}', '${A}'],
    ['$$${A}', '$${A}'],
    ['$A $ $$ {A} $', '$A $ $$ {A} $'],
  ];
  for (const [text, expected] of texts) assert.deepEqual(expand(text, env), { text: expected }, text);
  for (const text of ['${NO}', 'a${NO}b${NO2}']) {
    assert.deepEqual(expand(text, env), {
      fault: 'the environment has no NO; set it, or give a default: ${NO:-…}',
    });
  }
  assert.match(JSON.stringify(expand('${__proto__}', {})), /the environment has no __proto__/);
  for (const text of ['${', '${}', '${1A}', '${A', '${A-d}', '${A:d}', '${ A }', 'x${A B}']) {
    assert.match(JSON.stringify(expand(text, env)), /begins neither/, text);
  }
});

test('whatever a text is, its expansion is that of its parts, and a text escaped is itself', () => {
  const name = fc.constantFrom('A', 'B_1', 'nowhere');
  const part = fc.oneof(
    fc.string().filter((text) => !text.includes('$') && !text.includes('{')),
    name.map((one) => `\${${one}}`),
    fc
      .tuple(
        name,
        fc.string().filter((text) => !text.includes('}')),
      )
      .map(([one, text]) => `\${${one}:-${text}}`),
    fc.constant('$${'),
  );
  const value = fc.string();
  fc.assert(
    fc.property(fc.array(part), value, value, (parts, A, B_1) => {
      const env = { A, B_1 };
      const whole = expand(parts.join(''), env);
      const each = parts.map((one) => expand(one, env));
      const fault = each.find((one) => 'fault' in one);
      const text = each.map((one) => ('text' in one ? one.text : '')).join('');
      assert.deepEqual(whole, fault ?? { text });
    }),
  );
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('$', '{', '}', 'A', ':', '-') }), (text) => {
      // A $ before ${ would escape in its turn.
      if (text.includes('$${')) return;
      assert.deepEqual(
        expand(
          text.replaceAll('${', () => '$${'),
          {},
        ),
        { text },
      );
    }),
  );
});

test('a variable may stand in any value, and has the type that the key wants', () => {
  const env = { PORT: '444', HOST: 'registry1', MOST: '7', YES: 'true', TOKEN: '1234567890123456', OFF: 'false' };
  const { frontends, backends, admin, log, timeouts } = config(
    `${FRONTEND.replace('"*:443"', '"*:${PORT}"')}    maxConnections: \${MOST}
backends:
  b:
    stickTable: \${OFF}
    servers:
      s1: \${HOST}:5000
      s2: { address: "\${HOST}:\${PORT}", weight: "\${MOST}", backup: "\${YES}" }
admin: { token: "\${TOKEN}" }
timeouts: { idle: "\${IDLE:-5m}" }
log: { connections: "\${LINES:-false}" }
`,
    env,
  );
  assert.equal(frontends['f']?.maxConnections, 7);
  assert.deepEqual(frontends['f'].bind, [{ kind: 'tcp', host: '*', port: 444, text: '*:444' }]);
  const { s1, s2 } = backends['b']?.servers ?? {};
  assert.deepEqual(s1?.address, { host: 'registry1', port: 5000 });
  assert.deepEqual([s2?.address, s2?.weight, s2?.backup], [{ host: 'registry1', port: 444 }, 7, true]);
  assert.equal(backends['b']?.stickTable, false);
  assert.equal(admin?.token, '1234567890123456', 'digits of a token are a text');
  assert.deepEqual([timeouts.idle, log.connections], [300_000, false]);
});

test('what is wrong with a variable is a problem at its place', () => {
  const given = `${withFrontend('maxConnections: ${MOST}')}log: { level: "\${LEVEL}", connections: "\${NO" }
"\${KEY}": 1
admin: { token: "\${SECRET}" }
`;
  assert.deepEqual(problems(given, { MOST: '7.5', SECRET: 'too short' }), [
    'FILE:5:21: frontends.f.maxConnections: expected a whole number from 0 to 10000000, got 7.5',
    'FILE:10:15: log.level: the environment has no LEVEL; set it, or give a default: ${LEVEL:-…}',
    'FILE:10:40: log.connections: "${" begins neither ${NAME} nor ${NAME:-default}; to have the two characters, write "$${"',
    'FILE:11:1: ${KEY}: unknown key. Known here: frontends, backends, timeouts, metrics, admin, state, log, doctor',
    'FILE:12:17: admin.token: expected at least 16 characters',
  ]);
});

test('commands that ask a running balancer read variables of the admin address too', () => {
  writeFileSync(file.path, 'x-a: 1\nadmin: { bind: "127.0.0.1:${PORT}" }\nfrontends: nonsense\n');
  assert.deepEqual(loadAdmin(file.path, { PORT: '9999' })?.bind.text, '127.0.0.1:9999');
});

test("keys that begin with x- are the operator's own in every map of keys, and names in a map of names", () => {
  const plain = config(SHORTEST);
  const more = SHORTEST.replace('  f:\n', '  f:\n    x-note: { any: [thing] }\n')
    .replace('  b:\n', '  b:\n    x-note: null\n    healthCheck: { x-note: 1 }\n')
    .replace('backend: b\n', 'backend: b\n    perSource: { x-note: 1 }\n')
    .replace('registry1:5000', '{ address: registry1:5000, x-rack: 7 }');
  assert.deepEqual(config(`x-top: 1\n${more}x-y: 2\ntimeouts: { x-note: 1 }\n`), plain);
  const named = config(
    'frontends: { x-f: { bind: ":1", backend: x-b, sni: { x-ray.example.com: x-b } } }\n' +
      'backends: { x-b: { servers: { x-1: h:1 } } }\n',
  );
  assert.deepEqual(Object.keys(named.frontends['x-f']?.sni ?? {}), ['x-ray.example.com']);
  assert.deepEqual(Object.keys(named.backends['x-b']?.servers ?? {}), ['x-1']);
});

test('the keys of frontends, backends, server names and servers are names, and no others', () => {
  const names = ['frontends', 'backends', 'frontends f sni', 'backends b servers'];
  const others = ['', 'timeouts', 'frontends f', 'backends b', 'frontends f perSource', 'backends b healthCheck'];
  others.push('frontends b servers', 'backends f sni', 'metrics m sni', 'metrics m servers', 'backends b servers s1');
  const pathOf = (keys: string): string[] => keys.split(' ').filter((key) => key !== '');
  for (const keys of names) assert.equal(isNameMap(pathOf(keys)), true, keys);
  for (const keys of others) assert.equal(isNameMap(pathOf(keys)), false, keys);
});

test('<< merges maps, of which the first has it, and what stands in the map itself before all', () => {
  const { backends } = config(`x-slow: &slow { interval: 9s, timeout: 8s }
x-tcp: &tcp { type: tcp, interval: 7s }
${FRONTEND}backends:
  b: &b
    healthCheck: { <<: [*slow, *tcp], timeout: 1s }
    servers: { s1: h:1 }
  c:
    <<: *b
    retries: 7
`);
  const check = backends['b']?.healthCheck;
  assert.ok(check !== false && check !== undefined);
  assert.deepEqual([check.type, check.interval, check.timeout], ['tcp', 9_000, 1_000]);
  assert.deepEqual(backends['c'], { ...backends['b'], retries: 7 });
});

test('a file of networks stands for its networks, beside others, and is found from balancer.yml', () => {
  mkdirSync(join(file.folder, 'lists'), { recursive: true });
  writeFileSync(
    join(file.folder, 'lists', 'office'),
    '# offices\r\n10.1.0.0/16\r\n\r\n  10.2.0.7 # the boss\r\n2001:db8::/32',
  );
  writeFileSync(join(file.folder, 'empty'), '# nobody\n');
  const { frontends } = config(
    withFrontend('{ }').replace(
      '    { }\n',
      '    allow: [192.0.2.1, "file:lists/office"]\n    deny: ["file:empty"]\n    acceptProxy: ["file:lists/office"]\n',
    ),
  );
  const office = ['10.1.0.0/16', '10.2.0.7', '2001:db8::/32'];
  const { allow, deny, acceptProxy } = frontends['f']!;
  assert.deepEqual([allow, deny, acceptProxy], [['192.0.2.1', ...office], [], office]);
});

test('what is wrong with a file of networks is a problem with the line of that file', () => {
  const list = join(file.folder, 'list');
  const missing = join(file.folder, 'missing');
  rmSync(missing, { force: true });
  writeFileSync(list, '10.0.0.0/8\n10.0.0.0/33\n\nlocalhost # here\n');
  assert.deepEqual(problems(withFrontend(`deny: ["file:list", "file:${missing}"]`), {}), [
    'FILE:5:25: frontends.f.deny.1: cannot be used: no such file',
    `${list}:2:1: frontends.f.deny.0: expected an address or a network such as 10.0.0.0/8, got "10.0.0.0/33"`,
    `${list}:4:1: frontends.f.deny.0: expected an address or a network such as 10.0.0.0/8, got "localhost"`,
  ]);
  writeFileSync(list, '# all have left\n');
  assert.deepEqual(problems(withFrontend('allow: ["file:list"]'), {}), [
    'FILE:5:5: frontends.f.allow: its files name no network, and an empty allow lets everyone in',
  ]);
  writeFileSync(list, 'x\n'.repeat(1_000));
  const many = problems(withFrontend('allow: ["file:list"]'), {});
  assert.deepEqual([many.length, many.at(-1)], [11, `${list}:10:1: frontends.f.allow.0: and 990 more such lines`]);
});

test('of any lines the networks are taken, in their order, and each other line is a fault', () => {
  const network = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    fc.nat(32).map((bits) => `10.0.0.0/${bits}`),
  );
  const line = fc.oneof(
    fc.record({ network, pad: fc.constantFrom('', ' ', '\t'), comment: fc.constantFrom('', '#', ' # x 10.0.0.1') }),
    fc.string().filter((text) => !/[\r\n]/.test(text)),
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 10 }), fc.constantFrom('\n', '\r\n'), (all, end) => {
      const texts = all.map((one) =>
        typeof one === 'string' ? one : `${one.pad}${one.network}${one.pad}${one.comment}`,
      );
      const bare = texts.map((text) => (text.split('#')[0] ?? '').trim());
      const { cidrs, faults } = parseCidrs(texts.join(end));
      assert.deepEqual(cidrs, bare.filter(isCidr));
      const wrong = bare.flatMap((text, i) => (text === '' || isCidr(text) ? [] : [i + 1]));
      assert.deepEqual(
        faults.map(({ line: at }) => at),
        wrong,
      );
    }),
  );
});

test('what is allowed and probably not meant is a warning', () => {
  writeFileSync(
    file.path,
    `${SHORTEST}      s2: Registry1:5000
      s3: dns:registry.internal:5000
      s4: dns:registry.internal:5000
      s5: dns:registry.internal:5001
  spare: { servers: { s1: registry1:5000 } }
`,
  );
  const loaded = loadConfig(file.path);
  assert.ok(loaded.kind === 'config');
  assert.deepEqual(
    loaded.warnings.map((one) => formatProblem(one).replace(file.path, 'FILE')),
    [
      'FILE:9:7: backends.b.servers.s2: registry1:5000 is the address of s1 too; a node that is to have more clients takes a weight',
      'FILE:11:7: backends.b.servers.s4: dns:registry.internal:5000 is the address of s3 too; a node that is to have more clients takes a weight',
      'FILE:13:3: backends.spare: no frontend sends clients here',
    ],
  );
});

test('what a variable holds is a number or a truth value where a schema would read it as such', () => {
  const table: Record<string, number | boolean | undefined> = {
    '7': 7,
    '-7': -7,
    '007': 7,
    '7.5': 7.5,
    '-0.25': -0.25,
    '123456789012345': 123_456_789_012_345,
    '1234567890123456': undefined,
    '1.123456': 1.123_456,
    '1.1234567': undefined,
    true: true,
    false: false,
  };
  for (const [text, value] of Object.entries(table)) assert.equal(spelledValue(text), value, text);
  for (const text of [
    '',
    ' ',
    '-',
    'x7',
    '7x',
    ' 7',
    '7 ',
    '.5',
    '5.',
    '1..2',
    '1.2.3',
    '--7',
    '+7',
    '1e3',
    '0x7',
    'True',
    'yes',
  ])
    assert.equal(spelledValue(text), undefined, JSON.stringify(text));
});

test('a variable in a value with several forms has the type of the form that takes it', () => {
  const text = `${SHORTEST}    healthCheck: { port: "\${P}", tls: "\${TLS}" }\n    stickTable: { size: "\${SIZE}" }\n`;
  const values = (env: Environment): unknown[] => {
    const { healthCheck, stickTable } = config(text, env).backends['b']!;
    assert.ok(healthCheck !== false && stickTable !== false);
    return [healthCheck.port, healthCheck.tls, stickTable.size];
  };
  assert.deepEqual(values({ P: '5001', TLS: 'true', SIZE: '7' }), [5001, { verify: false }, 7]);
  assert.deepEqual(values({ P: 'same', TLS: 'false', SIZE: '7k' }), ['same', false, 7_000]);
});

test('file: names no file; ten wrong lines are all told, and a long one is cut', () => {
  assert.deepEqual(problems(withFrontend('deny: ["file:"]'), {}), [
    'FILE:5:12: frontends.f.deny.0: expected an address, a network such as 10.0.0.0/8, or file:PATH, got "file:"',
  ]);
  assert.equal(parseCidrs('x\n'.repeat(10)).faults.length, 10);
  assert.match(parseCidrs('x\n'.repeat(11)).faults.at(-1)?.message ?? '', /^and 1 more /);
  const shown = (network: string): string => parseCidrs(network).faults[0]?.message.replace(/.*, got /, '') ?? '';
  assert.equal(shown('x'.repeat(60)), `"${'x'.repeat(60)}"`);
  assert.equal(shown('x'.repeat(61)), `"${'x'.repeat(59)}…"`);
});

test('an empty standard input is not taken for an empty file', () => {
  const said = (name: string): string => {
    const tree = readTree(name, '', {});
    assert.ok('problems' in tree);
    return tree.problems.map(({ message }) => message).join();
  };
  assert.match(said('-'), /^standard input is empty; /);
  assert.match(said('a.yml'), /^the file is empty; /);
});

test('fifty levels are read, and one more is not', () => {
  const nested = (levels: number): string => `x-deep: ${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}\n${SHORTEST}`;
  assert.deepEqual(problems(nested(50), {}), []);
  assert.deepEqual(problems(nested(50).replace('[]', '[ ]'), {}), [], 'a space is no level');
  assert.deepEqual(problems(nested(51), {}), ['FILE:1:1: the file is nested too deeply; it may have 50 levels']);
});

test('a variable of digits is a text where a text is wanted, and what is no number is shown as it is', () => {
  const given = `${withFrontend('maxConnections: ${A}')}    healthCheck: { type: http, path: "\${P}" }\nlog: { level: "\${P}" }\n`;
  const said = problems(given, { A: 'x7', P: '7' });
  assert.deepEqual(
    said.map((line) => /^FILE:(\d+).*, got (.*?)$/.exec(line)?.slice(1)),
    [
      ['5', '"x7"'],
      ['10', '"7"'],
      ['11', '"7"'],
    ],
  );
});

test('a variable in the place of a map or a list is shown as the text that it is', () => {
  const said = problems(withFrontend('perSource: ${A}\n    allow: ${A}'), { A: '7' });
  assert.deepEqual(
    said.map((line) => line.replace(/^.*?: /, '')),
    ['frontends.f.perSource: expected a map, got "7"', 'frontends.f.allow: expected a list, got "7"'],
  );
});

test('values are given other types only where a variable has one that a key wants', () => {
  const changes = (text: string): boolean => {
    const tree = readTree('balancer.yml', text, { A: '7' });
    assert.ok(!('problems' in tree));
    return retype(schema.safeParse(tree.raw).error?.issues ?? [], tree);
  };
  assert.equal(changes(withFrontend('maxConnections: ${A}')), true);
  assert.equal(changes(withFrontend('maxConnections: "7"')), false);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explain } from '../../../src/config/explain.ts';
import { printable } from '../../../src/config/locate.ts';
import { jsonSchema } from '../../../src/config/schema.ts';
import { ConfigFile, SHORTEST } from '../../support/config-file.ts';

const file = new ConfigFile();
const check = (title: string, text: string, ...expected: string[]): void =>
  void test(title, () => assert.deepEqual(file.problems(text), expected));

const BIND = 'expected "*:PORT", "ADDRESS:PORT", "[IPv6]:PORT" or "unix:/PATH"';
const DURATION = 'expected a duration from 1ms to 24d, such as 500ms, 2s, 30m or 7d';
const NAME = 'a name starts with a letter or digit and goes on with letters, digits and _ . : -';
const TOP = 'frontends, backends, timeouts, metrics, admin, state, log, doctor';

/** The shortest file with another line in the place of `line`. */
const instead = (line: string, other: string): string => {
  assert.ok(SHORTEST.includes(line));
  return SHORTEST.replace(line, other);
};
/** The shortest file with more in its backend. */
const backend = (line: string): string => `${SHORTEST}    ${line}\n`;

check(
  'everything that is wrong is reported at once, in the order of the file',
  `frontends:
  f:
    bind: "*:44e3"
    backend: backup
    maxConnection: 5
  g: { bind: ["*:443", "10.0.0.1:443"] }
backends:
  b:
    retries: many
    stickTable: { expire: 0s }
    servers:
      s1: registry1
      s1: registry2:5000
  _c: { servers: {} }
timeout: 5s
`,
  `FILE:3:11: frontends.f.bind: ${BIND}, got "*:44e3"`,
  'FILE:4:14: frontends.f.backend: there is no backend "backup".',
  'FILE:5:5: frontends.f.maxConnection: unknown key. Did you mean "maxConnections"?',
  'FILE:6:3: frontends.g: names no backend; add "backend: b"',
  'FILE:6:24: frontends.g.bind.1: 10.0.0.1:443 collides with *:443 of frontend g',
  'FILE:9:14: backends.b.retries: expected a whole number from 0 to 100, got "many"',
  'FILE:10:27: backends.b.stickTable.expire: expected a duration from 1ms to 365d, such as 500ms, 2s, 30m or 7d, got "0s"',
  'FILE:13:7: backends.b.servers.s1: this name stands here twice',
  `FILE:14:3: backends._c: ${NAME}`,
  'FILE:15:1: timeout: unknown key. Did you mean "timeouts"?',
);

check('an empty file', '', 'FILE:1:1: the file is empty; it needs frontends and backends');
check('a file of comments', '# nothing\n', 'FILE:1:1: the file is empty; it needs frontends and backends');
check('a file of null', 'null\n', 'FILE:1:1: the file is empty; it needs frontends and backends');
check('a text', 'hello\n', 'FILE:1:1: expected a map with the keys frontends and backends');
check('a list', '- frontends\n', 'FILE:1:1: expected a map with the keys frontends and backends');
check('an empty map', '{}\n', 'FILE:1:1: frontends: is missing', 'FILE:1:1: backends: is missing');
check(
  'frontends and backends of nothing',
  'frontends: {}\nbackends:\n',
  'FILE:1:1: frontends: expected at least one frontend, got a map',
  'FILE:2:1: backends: expected a map, got nothing',
);

check('a tab', 'frontends:\n\tf: 1\n', 'FILE:2:1: not valid YAML: tabs are not allowed as indentation');
check('an open quote', 'a: "b\n', 'FILE:2:1: not valid YAML: missing closing "quote');
check('two colons', 'a: b: c\n', 'FILE:1:4: not valid YAML: nested mappings are not allowed in compact mappings');
check(
  'an open bracket',
  'frontends: [\n',
  'FILE:2:1: not valid YAML: flow sequence in block collection must be sufficiently indented and end with a ]',
);
check('two documents', `${SHORTEST}---\na: 1\n`, 'FILE:9:1: a second YAML document starts here; there can be one');
check('brackets without end', '['.repeat(20_000), 'FILE:1:1: the file is nested too deeply; it may have 50 levels');
check('maps without end', '{ a: '.repeat(20_000), 'FILE:1:1: the file is nested too deeply; it may have 50 levels');
check(
  'an unquoted *:443 is told from what YAML makes of it',
  instead('"*:443"', '*:443'),
  'FILE:3:11: *:443 is a YAML alias of nothing; text that starts with * needs quotes: "*:443"',
);
check(
  'aliases that expand to billions',
  [
    'a: &a [x, x, x]',
    ...'bcdefghijk'.split('').map((key, i) => `${key}: &${key} [${`*${'abcdefghij'[i]}, `.repeat(9)}]`),
  ].join('\n'),
  'FILE:1:1: the aliases of the file expand to too much; write the values out',
);
check(
  'an alias of what holds it',
  'frontends: &f { x: *f }\nbackends: { b: { servers: { s: "h:1" } } }\n',
  `FILE:1:17: frontends.x.bind: is missing; ${BIND} or a map or a list`,
  'FILE:1:17: frontends.x.x: unknown key. Known here: bind, backend, sni, prefaceTimeout, waitForClient, maxConnections, acceptProxy, allow, deny, perSource',
  'FILE:1:17: frontends.x: names no backend; add "backend: b"',
);
check(
  'a fault in a map that is merged stands where that map has it',
  `x-common: &common\n  backend: c\n  deny: [10.0.0.0/99]\n${instead('    backend: b\n', '    <<: [{ allow: x }, *common]\n')}`,
  'FILE:2:12: frontends.f.backend: there is no backend "c". Did you mean "b"?',
  'FILE:3:10: frontends.f.deny.0: expected an address, a network such as 10.0.0.0/8, or file:PATH, got "10.0.0.0/99"',
  'FILE:7:19: frontends.f.allow: expected a list, got "x"',
);
/** A map with `backend: c`, merged into a map, which is merged into a map, and so on. */
const merged = (times: number): string => `${'{ <<: '.repeat(times)}{ backend: c }${' }'.repeat(times)}`;
check(
  'a fault is found where it stands through twenty-one merges',
  instead('backend: b', `<<: ${merged(20)}`),
  'FILE:4:140: frontends.f.backend: there is no backend "c". Did you mean "b"?',
);
check(
  'a fault further in than twenty-one merges is told of what merges',
  instead('backend: b', `<<: ${merged(21)}`),
  'FILE:2:3: frontends.f.backend: there is no backend "c". Did you mean "b"?',
);
check(
  'a merge of what is no map',
  instead('    backend: b\n', '    <<: b\n    sni: { <<: [{ a: b }, 7] }\n'),
  'FILE:4:9: << merges a map or a list of maps, such as <<: *anchor',
  'FILE:5:27: << merges a map or a list of maps, such as <<: *anchor',
);
check(
  'a merge of what holds it',
  `x-a: &a { <<: *a }\n${SHORTEST}`,
  'FILE:1:1: the aliases of the file expand to too much; write the values out',
);
check(
  'a key of the operator where names stand is a name',
  backend('servers: { x-1: nowhere }').replace('    servers:\n      s1: registry1:5000\n', ''),
  'FILE:7:21: backends.b.servers.x-1: expected HOST:PORT, [IPv6]:PORT, dns:NAME:PORT or srv:NAME, got "nowhere"',
);

check('an unknown key', `${SHORTEST}metric: {}\n`, 'FILE:9:1: metric: unknown key. Did you mean "metrics"?');
check('an unknown key like none', `${SHORTEST}x1: 1\n`, `FILE:9:1: x1: unknown key. Known here: ${TOP}`);
check('a key that is no text', `${SHORTEST}1: 1\n`, `FILE:9:1: 1: unknown key. Known here: ${TOP}`);
check(
  'two letters exchanged, in another case',
  backend('stickTable: { SZIE: 1k }'),
  'FILE:9:19: backends.b.stickTable.SZIE: unknown key. Did you mean "size"?',
);
check(
  'a key with what a terminal would obey',
  `${SHORTEST}"a\\nb\\e[31m\\u2028": 1\n`,
  `FILE:9:1: a\\nb\\u001b[31m\\u2028: unknown key. Known here: ${TOP}`,
);
check('a name twice', `${SHORTEST}      s1: h:1\n`, 'FILE:9:7: backends.b.servers.s1: this name stands here twice');
check(
  'a name twice below a key that is a list, of which the path says nothing',
  `${SHORTEST}? [a, b]\n: { s: 1, s: 2 }\n`,
  `FILE:1:1: [ a, b ]: unknown key. Known here: ${TOP}`,
  'FILE:10:11: s: this name stands here twice',
);
check('a name with a space', instead('  f:', '  "a b":'), `FILE:2:3: frontends.a b: ${NAME}`);
check(
  'a very long value is cut',
  instead('"*:443"', 'x'.repeat(1_000_000)),
  `FILE:3:11: frontends.f.bind: ${BIND}, got "${'x'.repeat(76)}…"`,
);
check(
  'a very long key is cut',
  `${SHORTEST}${'y'.repeat(1_000)}: 1\n`,
  `FILE:9:1: ${'y'.repeat(399)}…: unknown key. Known here: ${TOP}`,
);

check(
  'a bind that is a number',
  instead('"*:443"', '443'),
  `FILE:3:11: frontends.f.bind: ${BIND} or a map or a list, got 443`,
);
check(
  'a bind that is a map of something else',
  instead('"*:443"', '{ a: 1 }'),
  'FILE:3:5: frontends.f.bind.address: is missing',
  'FILE:3:13: frontends.f.bind.a: unknown key. Known here: address, reusePort, mode, group',
);
check(
  'options of another kind of bind',
  instead('"*:443"', '[{ address: "*:443", mode: "0660" }, { address: "unix:/s", reusePort: true, group: 12 }]'),
  'FILE:3:38: frontends.f.bind.0.mode: belongs to a unix socket, got "0660"',
  'FILE:3:81: frontends.f.bind.1.reusePort: belongs to a TCP address, got true',
);
check(
  'a mode that YAML reads as a decimal number, and one that is no mode',
  instead('"*:443"', '[{ address: "unix:/s", mode: 0660 }, { address: "unix:/t", mode: "0888", group: "a b" }]'),
  'FILE:3:40: frontends.f.bind.0.mode: expected a mode in octal digits and quotes, such as "0660", got 660',
  'FILE:3:76: frontends.f.bind.1.mode: expected a mode in octal digits and quotes, such as "0660", got "0888"',
  'FILE:3:91: frontends.f.bind.1.group: expected a group, by name or number, got "a b"',
);
check(
  'a group that is neither a name nor a number',
  instead('"*:443"', '{ address: "unix:/s", group: true }'),
  'FILE:3:40: frontends.f.bind.group: expected a group, by name or number, got true',
);
check(
  'a bind that is a map where others have one',
  instead('"*:443"', '{ address: "*:443" }').replace(
    'backends:',
    '  g: { bind: [{ address: ":443" }], backend: b }\nbackends:',
  ),
  'FILE:5:15: frontends.g.bind.0: :443 collides with *:443 of frontend f',
);
check(
  'a bind of nothing',
  instead('"*:443"', ''),
  `FILE:3:5: frontends.f.bind: ${BIND} or a map or a list, got nothing`,
);
check(
  'no bind',
  instead('    bind: "*:443"\n', ''),
  `FILE:2:3: frontends.f.bind: is missing; ${BIND} or a map or a list`,
);
check(
  'no bind, and further in a key of that name',
  instead('    bind: "*:443"\n    backend: b\n', '    backend: b\n    sni: { bind: b }\n'),
  `FILE:2:3: frontends.f.bind: is missing; ${BIND} or a map or a list`,
);
check(
  'a list of pairs, in which a place is not known',
  instead('"*:443"', '!!pairs [address: x, colour: y]'),
  `FILE:3:5: frontends.f.bind.0.address: ${BIND}, got "x"`,
  'FILE:3:5: frontends.f.bind.1.address: is missing',
  'FILE:3:5: frontends.f.bind.1.colour: unknown key. Known here: address, reusePort, mode, group',
);
check(
  'an empty list of binds',
  instead('"*:443"', '[]'),
  'FILE:3:5: frontends.f.bind: expected at least one address, got a list',
);
check('one bad bind of a list', instead('"*:443"', '["*:443", x]'), `FILE:3:21: frontends.f.bind.1: ${BIND}, got "x"`);
check(
  'a frontend of nothing',
  'frontends: { f: }\nbackends: { b: { servers: { s: "h:1" } } }\n',
  'FILE:1:14: frontends.f: expected a map, got nothing',
);
check(
  'a frontend without a backend',
  instead('    backend: b\n', ''),
  'FILE:2:3: frontends.f: names no backend; add "backend: b"',
);
check(
  'an empty sni routes nothing',
  instead('backend: b', 'sni: {}'),
  'FILE:2:3: frontends.f: names no backend; add "backend: b"',
);
check(
  'server names that differ in case alone',
  instead(
    '    backend: b\n',
    '    sni:\n      a.example: b\n      "*.b.example": b\n      A.Example: b\n      "*.B.example": b\n',
  ),
  'FILE:7:7: frontends.f.sni.A.Example: is a.example again; upper and lower case are the same',
  'FILE:8:7: frontends.f.sni.*.B.example: is *.b.example again; upper and lower case are the same',
);
check(
  'a server name to route by that is none',
  instead('backend: b', 'sni: { "*": b }'),
  'FILE:4:12: frontends.f.sni.*: expected a name such as registry.example.com or *.example.com',
);
check(
  'a null backend',
  instead('backend: b', 'backend:'),
  'FILE:4:5: frontends.f.backend: expected the name of a backend, got nothing',
);
check(
  'a backend that is not there',
  instead('backend: b', 'backend: bb'),
  'FILE:4:14: frontends.f.backend: there is no backend "bb". Did you mean "b"?',
);

const collide = (title: string, first: string, second: string): void =>
  check(
    `${title}: ${first} and ${second}`,
    instead('"*:443"', `"${first}"`).replace('backends:', `  g: { bind: "${second}", backend: b }\nbackends:`),
    `FILE:5:14: frontends.g.bind: ${second} collides with ${first} of frontend f`,
  );
collide('one address twice', '10.0.0.1:443', '10.0.0.1:443');
collide('a wildcard covers', '*:443', '10.0.0.1:443');
collide('a wildcard is covered', '[::1]:443', '*:443');
collide('IPv4', '0.0.0.0:443', '10.0.0.1:443');
collide('IPv6', '[::1]:443', '[::]:443');
collide('two spellings', '[::1]:443', '[0:0::1]:443');
collide('mapped', '10.0.0.1:443', '[::ffff:10.0.0.1]:443');
collide('a name', 'localhost:443', 'LOCALHOST:443');
collide('a socket', 'unix:/run/a.sock', 'unix:/run/a.sock');
check(
  'the families, the ports and port 0 do not collide',
  instead('"*:443"', '["0.0.0.0:443", "[::]:443", "*:444", "*:0", "*:0", "unix:/a"]'),
);
check(
  'a frontend on the default metrics address',
  instead('*:443', '127.0.0.1:9180'),
  'FILE:3:11: frontends.f.bind: 127.0.0.1:9180 collides with *:9180 of metrics, by default',
);
check(
  'metrics on the address of a frontend',
  `${SHORTEST}metrics: { bind: "[::]:443" }\n`,
  'FILE:9:18: metrics.bind: [::]:443 collides with *:443 of frontend f',
);

check(
  'durations of 0 where they mean nothing, and only there',
  `${SHORTEST}timeouts: { connect: 0s, idle: 0m, halfClosed: 0ms, drain: 0s }\n`,
  `FILE:9:22: timeouts.connect: ${DURATION}, got "0s"`,
  `FILE:9:32: timeouts.idle: ${DURATION}, got "0m"`,
  `FILE:9:48: timeouts.halfClosed: ${DURATION}, got "0ms"`,
);
check(
  'metrics at a list of addresses, which collide with nobody',
  `${SHORTEST}metrics: { bind: ["*:443"] }\n`,
  `FILE:9:12: metrics.bind: ${BIND} or a map, got a list`,
);

check(
  'durations that may be 0 say so',
  `${SHORTEST}timeouts: { drain: 5, keepAlive: 5 }\n`,
  `FILE:9:20: timeouts.drain: ${DURATION.replace('1ms', '0s')}, got 5`,
  `FILE:9:34: timeouts.keepAlive: ${DURATION.replace('1ms to 24d', '0s to 9h')}, got 5`,
);
check(
  'a duration without a unit',
  `${SHORTEST}timeouts: { idle: 5 }\n`,
  `FILE:9:19: timeouts.idle: ${DURATION}, got 5`,
);
check(
  'a duration that a timer cannot keep',
  `${SHORTEST}timeouts: { idle: 25d }\n`,
  `FILE:9:19: timeouts.idle: ${DURATION}, got "25d"`,
);

const healthCheck = (text: string, ...expected: string[]): void =>
  check(
    `healthCheck: ${text}`,
    backend(`healthCheck: ${text}`),
    ...expected.map((line) => line.replace(/^/, 'FILE:9:').replace(': ', ': backends.b.healthCheck')),
  );
healthCheck('true', '18: : expected false or a map, got true');
healthCheck('{ type: htp }', '26: .type: expected one of tcp, http, registry, got "htp". Did you mean "http"?');
healthCheck(
  '{ interval: 0s, rise: 0, port: 0 }',
  `30: .interval: ${DURATION}, got "0s"`,
  '40: .rise: expected a whole number from 1 to 1000, got 0',
  '49: .port: expected a whole number from 1 to 65535, got 0',
);
healthCheck('{ type: http, expect: [] }', '32: .expect: expected at least one status, got a list');
healthCheck('{ type: http, path: 7 }', '38: .path: expected text, got 7');
healthCheck(
  '{ type: registry, storage: { repository: a, user: "u:v", passwordFile: balancer.yml } }',
  '68: .storage.user: expected a user name, without a colon, got "u:v"',
);
healthCheck('{ port: sam }', '26: .port: expected same or a port, got "sam"');
healthCheck('{ storage: false, host: "" }');
healthCheck('{ path: /x }', '26: .path: belongs to "type: http"; this check has type "tcp"');
healthCheck(
  '{ type: http, path: "/a b" }',
  '38: .path: expected a path that starts with /, its spaces and letters beyond ASCII as %XX, got "/a b"',
);
healthCheck(
  '{ type: http, expect: [99, 300-200, 2xx] }',
  '41: .expect.0: expected a whole number from 100 to 599, got 99',
  '45: .expect.1: expected a status or a range such as 200-399, got "300-200"',
  '54: .expect.2: expected a status or a range such as 200-399, got "2xx"',
);
healthCheck(
  '{ type: registry, storage: { repository: A, user: u } }',
  '36: .storage: user and passwordFile go together',
  '59: .storage.repository: expected a repository name such as library/probe, got "A"',
);
healthCheck(
  '{ tls: { cert: c } }',
  '20: .tls: cert and key go together',
  '33: .tls.cert: cannot be used: no such file',
);
healthCheck(
  '{ host: registry.example.com }',
  '26: .host: belongs to "type: http" or "type: registry"; this check has type "tcp"',
);
healthCheck(
  '{ type: http, host: "https://a" }',
  '38: .host: expected HOST or HOST:PORT, such as registry.example.com, got "https://a"',
);
healthCheck('{ tls: yes }', '25: .tls: expected true or false or a map, got "yes"');
healthCheck(
  '{ tls: { serverName: "a b", verify: 1 } }',
  '39: .tls.serverName: expected a host name, got "a b"',
  '54: .tls.verify: expected true or false, got 1',
);

check(
  'a size of 0',
  backend('stickTable: { size: 0 }'),
  'FILE:9:25: backends.b.stickTable.size: expected a number of entries from 1 to 16m, such as 200k, got 0',
);
check(
  'a size that is neither a number nor a text',
  backend('stickTable: { size: [] }'),
  'FILE:9:19: backends.b.stickTable.size: expected a number of entries, such as 200k, got a list',
);
check(
  'a prefix that is too long',
  backend('stickTable: { prefix: { ipv4: 33 } }'),
  'FILE:9:35: backends.b.stickTable.prefix.ipv4: expected a whole number from 1 to 32, got 33',
);
check(
  'stickTable: true',
  backend('stickTable: true'),
  'FILE:9:17: backends.b.stickTable: expected false or a map, got true',
);
check(
  'no servers',
  instead('servers:\n      s1: registry1:5000', 'servers: {}'),
  'FILE:7:5: backends.b.servers: expected at least one server, got a map',
);
check(
  'a server without an address',
  instead('registry1:5000', '{ weigt: 1 }'),
  'FILE:8:7: backends.b.servers.s1.address: is missing',
  'FILE:8:13: backends.b.servers.s1.weigt: unknown key. Did you mean "weight"?',
);
check(
  'a weight that is text',
  instead('registry1:5000', '{ address: "h:1", weight: "1" }'),
  'FILE:8:37: backends.b.servers.s1.weight: expected a whole number from 0 to 256, got "1"',
);
check(
  'lines for something that has none',
  `${SHORTEST}log: { connections: session }\n`,
  'FILE:9:21: log.connections: expected true, false or sessions, got "session"',
);
check(
  'a log level',
  `${SHORTEST}log: { level: inf }\n`,
  'FILE:9:15: log.level: expected one of trace, debug, info, warn, error, fatal, silent, got "inf". Did you mean "info"?',
);
check(
  'a route by server name to a backend that is not there',
  instead('    backend: b', '    sni:\n      a.test: b\n      b.test: c'),
  'FILE:6:15: frontends.f.sni.b.test: there is no backend "c". Did you mean "b"?',
);
check(
  'a server name that is __proto__',
  instead('    backend: b', '    backend: b\n    sni: { __proto__: b }'),
  `FILE:5:12: frontends.f.sni.__proto__: ${NAME}`,
);
check(
  'admin, metrics and a frontend at one address, each told of the first',
  `${SHORTEST}admin: { bind: "*:443", token: 0123456789abcdef }\nmetrics: { bind: "*:443" }\n`,
  'FILE:9:16: admin.bind: *:443 collides with *:443 of frontend f',
  'FILE:10:18: metrics.bind: *:443 collides with *:443 of frontend f',
);
check(
  'admin and metrics at one address',
  `${SHORTEST}admin: { bind: "127.0.0.1:9" }\nmetrics: { bind: "*:9" }\n`,
  'FILE:10:18: metrics.bind: *:9 collides with 127.0.0.1:9 of admin',
);
check('a size of the largest table', backend('stickTable: { size: 16m }'));
check(
  'a size beyond the largest table',
  backend('stickTable: { size: 16000001 }'),
  'FILE:9:25: backends.b.stickTable.size: expected a number of entries from 1 to 16m, such as 200k, got 16000001',
);
check(
  'an alias of nothing in the place of a secret, which is not repeated',
  `${SHORTEST}admin: { bind: "*:9", token: *abc }\n`,
  'FILE:9:30: *… is a YAML alias of nothing; text that starts with * needs quotes: "*…"',
);
check(
  'an alias of nothing beside a secret',
  `${SHORTEST}admin: { token: abc, bind: *abc }\n`,
  'FILE:9:28: *abc is a YAML alias of nothing; text that starts with * needs quotes: "*abc"',
);
check(
  'what is wrong behind an alias is told at its anchor',
  SHORTEST.replace('frontends:', 'frontends:\n  e: &f { bind: "*:80", backend: c }\n  g: *f'),
  'FILE:2:17: frontends.g.bind: *:80 collides with *:80 of frontend e',
  'FILE:2:34: frontends.e.backend: there is no backend "c". Did you mean "b"?',
  'FILE:2:34: frontends.g.backend: there is no backend "c". Did you mean "b"?',
);
check(
  'a control character in a name, which no terminal is to obey',
  instead('      s1: registry1:5000', '      "s\\u007f": registry1:5000'),
  `FILE:8:7: backends.b.servers.s\\u007f: ${NAME}`,
);

check(
  'a name twice beside what the schema does not see',
  `${instead('    backend: b\n', '    backend: b\n    sni: { a.test: c }\n')}      s1: h:1\n`,
  'FILE:5:20: frontends.f.sni.a.test: there is no backend "c". Did you mean "b"?',
  'FILE:10:7: backends.b.servers.s1: this name stands here twice',
);
check(
  'an unknown key of a map in a list',
  instead('"*:443"', '[{ address: "*:443", colour: x }]'),
  'FILE:3:32: frontends.f.bind.0.colour: unknown key. Known here: address, reusePort, mode, group',
);
check(
  'a value of eighty characters stands whole, and a longer one is cut',
  instead('"*:443"', `[${'x'.repeat(78)}, ${'x'.repeat(79)}]`),
  `FILE:3:12: frontends.f.bind.0: ${BIND}, got "${'x'.repeat(78)}"`,
  `FILE:3:92: frontends.f.bind.1: ${BIND}, got "${'x'.repeat(76)}…"`,
);
check(
  'source addresses: neither a name nor every address',
  backend('source: [10.0.0.1, localhost, 0.0.0.0, "0:0::0"]'),
  'FILE:9:24: backends.b.source.1: expected an IP address of this machine, got "localhost"',
  'FILE:9:35: backends.b.source.2: expected an IP address of this machine, got "0.0.0.0"',
  'FILE:9:44: backends.b.source.3: expected an IP address of this machine, got "0:0::0"',
);

const accepted = (title: string, text: (value: string) => string, right: string[], wrong: string[]): void => {
  test(title, () => {
    for (const value of right) assert.deepEqual(file.problems(text(JSON.stringify(value))), [], value);
    for (const value of wrong)
      assert.match(file.problems(text(JSON.stringify(value))).join('\n'), /^FILE:\d+:\d+: [^\n]+$/, value);
  });
};
accepted(
  'Host headers',
  (value) => backend(`healthCheck: { type: http, host: ${value} }`),
  ['', 'a', 'a.example', 'a.example:5000', '10.0.0.1', '[::1]', '[::1]:5000', '[2001:db8::12]'],
  ['::1', 'a:', 'a:0', 'a:b', '[a]', '[::1', '::1]', 'x[::1]', '[::1]x', '[]', '[10.0.0.1]', 'a b'],
);
accepted(
  'server names to route by',
  (value) => instead('    backend: b\n', `    backend: b\n    sni: { ${value}: b }\n`),
  ['a', 'A.b', '*.a', '*.a-b.c_d.e0', 'x'.repeat(63), `a.${'x'.repeat(63)}`],
  ['*', '*.', '*a', 'a.*', 'a.*.b', '**.a', 'a..b', '.a', 'a.', 'a b', 'x'.repeat(64), `a.${'x'.repeat(64)}`, 'ä'],
);
accepted(
  'names',
  (value) => `${SHORTEST}      ${value}: h:1\n`,
  ['a', '9', 'A_.:-', 'x'.repeat(128)],
  ['', '_a', '.a', '-a', 'a/b', 'a b', 'x'.repeat(129), 'a\n', 'ä'],
);
accepted(
  'repositories',
  (value) => backend(`healthCheck: { type: registry, storage: { repository: ${value} } }`),
  ['a', 'a/b', 'a0/b-c_d.e', 'a__b', 'library/probe'],
  ['', '/a', 'a/', 'A', 'a b', '-a', 'a:1'],
);
accepted(
  'users',
  (value) =>
    backend(`healthCheck: { type: registry, storage: { repository: a, user: ${value}, passwordFile: balancer.yml } }`),
  ['u', 'u v', '@'],
  ['', ':', 'a:b', ':a', 'a:'],
);
accepted(
  'paths',
  (value) => backend(`healthCheck: { type: http, path: ${value} }`),
  ['/', '/a?b=~!'],
  ['', 'a', 'a/', '/a b', '/\x7f', '/ä', '/a\n'],
);
accepted(
  'statuses',
  (value) => backend(`healthCheck: { type: http, expect: [${value}] }`),
  ['100', '599', '200-200', '100-599'],
  ['099', '600', '20', '2000', '200-', '-200', '200-600', '201-200', 'x200', '200-299x', '200-2990', '200-099'],
);
accepted(
  'modes',
  (value) => instead('"*:443"', `{ address: "unix:/s", mode: ${value} }`),
  ['000', '0660', '660', '0777'],
  ['', '66', '06600', '1660', '0680', 'x660', '660x', '0x1b'],
);
accepted(
  'groups by number, of which the last means none',
  (value) => instead('"*:443"', `{ address: "unix:/s", group: ${JSON.parse(value)} }`),
  ['0', '4294967294'],
  ['-1', '4294967295', '1.5'],
);
accepted(
  'groups by name',
  (value) => instead('"*:443"', `{ address: "unix:/s", group: ${value} }`),
  ['docker', '12', 'a-b'],
  ['', 'a:b', ':a', 'a:', ' a', 'a '],
);

test('the JSON Schema leaves the operator his own keys in a map of keys, and not in a map of names', () => {
  type Part = { patternProperties?: object; additionalProperties?: unknown; properties?: Record<string, Part> };
  const { title, ...top } = jsonSchema() as Part & { title: string };
  const { frontends, timeouts } = top.properties!;
  assert.equal(title, 'balancer.yml');
  for (const part of [top, timeouts!, frontends!.additionalProperties as Part]) {
    assert.deepEqual(part.patternProperties, { '^x-': {} });
    assert.equal(part.additionalProperties, false);
  }
  assert.equal(frontends!.patternProperties, undefined);
});

test('a text of four hundred characters is one line whole, and a longer one is cut', () => {
  assert.equal(printable('x'.repeat(400)), 'x'.repeat(400));
  assert.equal(printable('x'.repeat(401)), `${'x'.repeat(399)}…`);
});

/** The shortest file with this doctor: its problems, by their columns. */
const doctor = (keys: string, ...expected: string[]): void =>
  check(`doctor: ${keys}`, `${SHORTEST}doctor: ${keys}\n`, ...expected.map((one) => `FILE:${LINES}:${one}`));
const LINES = SHORTEST.split('\n').length;

doctor('{ interval: 1h, name: registry.test }');
doctor('{ interval: 0s }');
doctor('{ interval: 500ms, name: r.test }', '21: doctor.interval: expected 0s, or at least 1s, got "500ms"');
doctor('{ interval: 1h }', '1: doctor: name is missing: the public name of the registry, as in docker pull NAME/…');
doctor('{ backend: c }', '20: doctor.backend: there is no backend "c". Did you mean "b"?');
doctor('{ user: u }', '1: doctor: user and passwordFile go together');
doctor('{ user: "u:v", passwordFile: f }', '17: doctor.user: expected a user name, without a colon, got "u:v"');
doctor('{ user: u, passwordFile: f }', '34: doctor.passwordFile: cannot be used: no such file');
doctor('{ ca: f }', '15: doctor.ca: cannot be used: no such file');
doctor(
  '{ repository: Upper }',
  '23: doctor.repository: expected a repository name such as berth-doctor/probe, got "Upper"',
);
doctor(
  '{ name: "https://registry.test" }',
  '17: doctor.name: expected HOST or HOST:PORT, such as registry.example.com, got "https://registry.test"',
);
check(
  'the doctor of several backends has to be told whose nodes to look at; a health check may know the name',
  `${SHORTEST}  c: { servers: { s1: h:1 }, healthCheck: { type: http, host: r.test } }\ndoctor: { interval: 1h, name: r.test }\n`,
  `FILE:${LINES + 1}:1: doctor: names no backend; add "backend: b"`,
);
check(
  'the doctor takes the name of the health check',
  `${SHORTEST}  c: { servers: { s1: h:1 }, healthCheck: { type: http, host: r.test } }\ndoctor: { interval: 1h, backend: c }\n`,
);

test('an issue about a value that is not there shows no value', () => {
  const issue = { code: 'custom', message: 'expected a name', input: undefined } as const;
  assert.deepEqual(explain({ ...issue, path: ['a'] }, {}), [{ path: ['a'], message: 'expected a name' }]);
  assert.deepEqual(explain({ ...issue, path: ['a', 0] }, { a: 'text' }), [
    { path: ['a', 0], message: 'expected a name' },
  ]);
});

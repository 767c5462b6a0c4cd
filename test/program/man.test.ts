/** The manual pages, as the programs that show them take them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { manPages } from '../../deploy/packaging/man-pages.ts';
import { sections } from '../../deploy/packaging/keys.ts';
import { manual, paragraph, plain } from '../../deploy/packaging/roff.ts';
import { COMMANDS } from '../../src/cli/commands.ts';
import { usageOf } from '../../src/cli/help.ts';
import { jsonSchema } from '../../src/config/schema.ts';
import { folderOf } from '../support/files.ts';

const folder = folderOf();
const pages = manPages({ version: '1.2.3', date: new Date('2026-02-03T04:05:06Z') });
/** What is shown does not depend on who runs the test: wide enough that no line is broken, and without overstriking. */
const env = { ...process.env, MANWIDTH: '1000', LC_ALL: 'C.UTF-8', MAN_KEEP_FORMATTING: '' };

/** What a command says of a page, once it has said nothing on standard error. */
function shown(name: string, text: string, command: string, ...args: string[]): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  const { stdout, stderr, status } = spawnSync(command, [...args, file], { encoding: 'utf8', env });
  assert.deepEqual([stderr, status], ['', 0], `${command} ${args.join(' ')} ${name}: ${stdout}`);
  return stdout;
}

/** As `man` shows a page: it says on standard error what groff warns of. */
const read = (name: string, text: string): string => shown(name, text, 'man', '--warnings', '--local-file');

for (const [name, text] of Object.entries(pages)) {
  test(`man, groff and mandoc show ${name} and warn of nothing`, () => {
    assert.match(read(name, text), /Berth 1\.2\.3 +2026-02-03/);
    shown(name, text, 'groff', '-ww', '-man', '-Tutf8');
    assert.equal(shown(name, text, 'mandoc', '-Tlint', '-Wwarning'), '');
  });
}

/** What stands below a heading, up to the next one. */
function below(page: string, heading: string): string {
  const from = page.indexOf(`\n${heading}\n`);
  assert.ok(from > 0, heading);
  return page.slice(from + heading.length + 2).split(/\n(?: {3})?(?=\S)/)[0] ?? '';
}

describe('what the pages say', () => {
  test('berth(1) has every command with its arguments and every option that the command takes', () => {
    const page = read('berth.1', pages['berth.1']!);
    for (const [name, command] of Object.entries(COMMANDS)) {
      const own = below(page, `   ${usageOf(name, command)}`);
      for (const option of command.options) assert.match(own, new RegExp(`--${option}\\b`), `${name} --${option}`);
    }
  });

  test('balancer.yml(5) has every key in the section of its place, with its default', () => {
    const page = read('balancer.yml.5', pages['balancer.yml.5']!);
    for (const { path, keys } of sections(jsonSchema())) {
      const lines = below(page, path === '' ? 'KEYS' : `   ${path}`).split('\n');
      for (const { key, standard } of keys) {
        const line = lines.find((one) => one.trim().split(' ')[0] === key) ?? '';
        assert.ok(line !== '', `${path}.${key}`);
        if (standard !== undefined) assert.ok(line.includes(`default: ${standard}`), `${path}.${key}: ${line}`);
      }
    }
  });

  test('a text is shown as it is, whatever it has of what roff reads as its own', () => {
    const nasty = '.SH no\n\'br \\fBno\\fR \\n(.$ `a\' ^ ~ - -- "x" é … 漢 😀 \\';
    const summary = 'as it is';
    const blocks = nasty.split('\n').map((line) => paragraph(plain(line)));
    const page = manual({ name: 'x', section: 1, summary, source: 'x', date: new Date(0), blocks });
    const text = read('x.1', page);
    for (const line of nasty.split('\n')) assert.ok(text.includes(line.trim()), `${line}\n${text}`);
  });
});

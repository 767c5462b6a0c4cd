import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { isNginx } from '../../../src/import/nginx-words.ts';
import { reportLines } from '../../../src/import/report.ts';
import { ConfigFile } from '../../support/config-file.ts';
import { importSpecimen, specimens } from '../../support/corpus.ts';

const file = new ConfigFile();
/** The lists of the corpus are at /etc/haproxy on no machine. */
const NOT_HERE = /cannot be used: no such file/;

for (const specimen of [...specimens('cfg'), ...specimens('conf')]) {
  const { name, text, wanted } = specimen;
  test(`${name} becomes the balancer.yml beside it, which is valid`, () => {
    const imported = importSpecimen(specimen);
    assert.ok(imported.kind === 'imported');
    assert.equal(isNginx(text), name.endsWith('.conf'));
    assert.equal(imported.yaml, readFileSync(wanted, 'utf8'));
    const problems = file.problems(imported.yaml).filter((problem) => !NOT_HERE.test(problem));
    assert.deepEqual(problems, []);
  });

  if (name.endsWith('.conf')) continue;

  test(`${name}: every line has an answer, or its whole section has`, () => {
    const { items } = importSpecimen(specimen);
    const answered = new Set(items.map(({ line }) => line));
    let whole = false;
    for (const [i, line] of text.split('\n').entries()) {
      const [word = ''] = line.trim().split(/\s+/);
      // A section that is carried over is answered line by line, as `.if` is up to its `.endif`.
      const mine = items.filter((item) => item.line === i + 1 && item.of === '');
      if (/^\S/.test(line) || word.startsWith('.')) whole = mine.length > 0 && mine.every(({ is }) => is !== 'carried');
      if (['', 'global', 'defaults', '.endif'].includes(word)) continue;
      assert.ok(whole || answered.has(i + 1), `${i + 1}: ${line}`);
    }
    for (const line of reportLines(name, items)) assert.match(line, /^[^\p{Cc}]+$/u);
  });
}

test('there are at least 25 of HAProxy, and at least 8 of nginx', () => {
  assert.ok(specimens('cfg').length >= 25);
  assert.ok(specimens('conf').length >= 8);
});

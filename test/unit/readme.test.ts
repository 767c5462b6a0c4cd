import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { format, resolveConfig } from 'prettier';
import { loadConfig } from '../../src/config/load.ts';
import { STANDARD_ADMIN } from '../../src/config/schema.ts';
import { withReference } from '../support/reference.ts';

const readme = readFileSync('README.md', 'utf8');

test('the configuration reference in the README is what the schema says (npm run reference)', async () => {
  const options = await resolveConfig('README.md');
  assert.equal(await format(withReference(readme), { ...options, filepath: 'README.md' }), readme);
});

test('every configuration in the README is valid', () => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-readme-'));
  try {
    const samples = [...readme.matchAll(/^```yaml\n(.*?)^```/gms)].map(([, text = '']) => text);
    const whole = samples.filter((text) => text.startsWith('frontends:'));
    assert.ok(whole.length > 0);
    for (const [i, text] of whole.entries()) {
      const file = join(folder, `${i}.yml`);
      writeFileSync(file, text);
      assert.deepEqual(loadConfig(file).kind, 'config', text);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the shipped balancer.yml is valid, and changes nothing but what it says is not the default', () => {
  assert.equal(execFileSync('node', ['dist/cli.js', 'check'], { encoding: 'utf8' }).includes('is valid'), true);
  const full = loadConfig('balancer.yml');
  const folder = mkdtempSync(join(tmpdir(), 'berth-shipped-'));
  try {
    const file = join(folder, 'balancer.yml');
    writeFileSync(
      file,
      'frontends: { https_frontend: { bind: "*:443", backend: docker_registry } }\n' +
        'backends:\n  docker_registry:\n    healthCheck: { type: registry, tls: true }\n' +
        '    servers: { s1: "docker_registry_server1:5000", s2: "docker_registry_server2:5000" }\n',
    );
    const short = loadConfig(file);
    if (full.kind !== 'config' || short.kind !== 'config') throw new TypeError('not valid');
    // Only written out is the admin address asked for; left out, it is done without where it is taken.
    assert.deepEqual(full.config, { ...short.config, admin: STANDARD_ADMIN });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** Which test files have to notice the mutants of a room of src/. */
import { readdirSync } from 'node:fs';

/**
 * Files that judge pages and the state file, where each would run for many mutants and notice few, and the file that
 * judges the sources, which are not the same with mutants in them.
 */
const BESIDE = /readme|state-file|sources/;
/** In test/program for the sake of openssl alone: its tests call the check of a node, and start no program. */
const CHECKS_OVER_TLS = 'program/probe-tls.test.js';

/**
 * A room's own tests have to notice, and those that stand beside the rooms. Every other test would run too for what
 * every test loads, as the configuration, and a room that only its users notice has too few tests.
 *
 * @param {string} room
 */
export function judges(room) {
  const files = readdirSync('test/unit', { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.ts') && !BESIDE.test(file))
    .filter((file) => file.startsWith(`${room}/`) || !file.includes('/'))
    .map((file) => `unit/${file.replace(/\.ts$/, '.js')}`);
  return [...files, ...(room === 'pool' ? [CHECKS_OVER_TLS] : [])].map((file) => `.build/test/${file}`).toSorted();
}

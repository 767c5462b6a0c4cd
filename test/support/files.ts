/** Folders that go with a test, and the files that a process has open. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext } from 'node:test';

/** A new folder, removed with the test, or without one with all tests of the file. */
export function folderOf(t?: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'berth-test-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  if (t) t.after(remove);
  else after(remove);
  return folder;
}

/** How many descriptors a process has open. */
export function openFilesOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

import { copyFileSync, createReadStream, readlinkSync, realpathSync, renameSync } from 'node:fs';
import { access, constants, copyFile, open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setImmediate as nextTurn } from 'node:timers/promises';
import * as z from 'zod';
import { StartError } from './errors.ts';
import type { Backend } from './pool/backend.ts';
import { ADMIN_STATES, spellSaid } from './pool/said.ts';
import type { Server } from './pool/server.ts';
import type { Binding } from './pool/binding.ts';

/** Lines between two turns of the event loop: a millisecond of work or less. */
const LINES_A_TURN = 250;
export const FORMAT = 'berth state 1';
/** The file is lines of JSON: a head, then admin states and bindings, then their count, which a torn file lacks. */
const head = z.object({ format: z.literal(FORMAT), savedAt: z.number() });
// Nearly all lines are bindings, and the first that fits is taken.
const line = z.union([
  z.object({
    backend: z.string(),
    server: z.string(),
    client: z.string(),
    ms: z.number(),
    home: z.string().optional(),
  }),
  z.object({
    backend: z.string(),
    server: z.string(),
    state: z.enum(ADMIN_STATES),
    /** The operator's weight, and the configured one that it stands in for. */
    weight: z.object({ own: z.number(), instead: z.number() }).optional(),
    /** Who said so, and when, as `spellSaid` has it: a file of former versions does not say. */
    said: z.object({ state: z.string(), weight: z.string() }).partial().optional(),
  }),
  z.object({ lines: z.number() }),
]);

/** An admin state, or a binding, whose `ms` is the life that it has left. */
export type StateLine = Exclude<z.output<typeof line>, { lines: number }>;
export type StateOf = Extract<StateLine, { state: unknown }>;

/** What a state file is. `unreadable` content is to be set aside; what the system did not let Berth read stays. */
export type Read =
  { readonly kind: 'none' | 'read' } | { readonly kind: 'unreadable' | 'unread'; readonly reason: string };

/**
 * Writes admin states and bindings to a draft, then renames the draft to `file`, so that `file` is whole at any moment.
 */
export async function saveState(named: string, backends: readonly Backend[]): Promise<void> {
  const file = whereItLies(named);
  const draft = `${file}.new`;
  const handle = await open(draft, 'w', 0o600);
  try {
    try {
      await write(handle, backends);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, file).catch(async (error: unknown) => {
      if (!isMounted(error)) throw error;
      await copyFile(draft, file);
      await rm(draft);
    });
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

/** Puts a damaged file aside, so that it is not written over. Returns where it is kept; throws where it cannot be. */
export function setAside(named: string): string {
  const file = whereItLies(named);
  const aside = `${file}.bad`;
  try {
    renameSync(file, aside);
  } catch (error) {
    if (!isMounted(error)) throw error;
    copyFileSync(file, aside);
  }
  return aside;
}

/** Whether the file can be written at all. Rejects with a StartError. */
export async function checkStateFile(file: string): Promise<void> {
  // Not the draft: a save may be writing the draft during a reload.
  const attempt = `${whereItLies(file)}.try`;
  try {
    await mustBeFile(file);
    await (await open(attempt, 'a', 0o600)).close();
    await rm(attempt);
  } catch (error) {
    throw cannotWrite(file, error);
  }
}

/** The same without a trace: whether the folder lets this process write. Rejects with a StartError. */
export async function rehearseStateFile(file: string): Promise<void> {
  try {
    await mustBeFile(file);
    const folder = dirname(whereItLies(file));
    if (!(await stat(folder)).isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' });
    await access(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw cannotWrite(file, error);
  }
}

/** A device or a socket would be renamed, and another file put in its place: /dev/null is everybody's. */
async function mustBeFile(file: string): Promise<void> {
  const there = await stat(file).catch(() => undefined);
  if (there?.isDirectory() === true) throw Object.assign(new Error(), { code: 'EISDIR' });
  if (!there || there.isFile() || there.isFIFO()) return;
  throw new Error(`it is a ${there.isSocket() ? 'socket' : 'device'}; leave state.file empty to keep no state`);
}

/** What a link leads to: the link is the operator's, and stays. A link that leads nowhere is a file yet to be. */
function whereItLies(file: string): string {
  try {
    return realpathSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return file;
  }
  try {
    return resolve(dirname(file), readlinkSync(file));
  } catch {
    return file;
  }
}

/** A file that is mounted by itself, as a container may have it, can be neither renamed nor replaced. */
function isMounted(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EBUSY';
}

function cannotWrite(file: string, error: unknown): StartError {
  const { code = '', message } = error as NodeJS.ErrnoException;
  const known: Record<string, string> = {
    EACCES: 'permission denied',
    EISDIR: 'it is a folder',
    ENOENT: 'its folder does not exist',
    ENOTDIR: 'its folder is a file',
    EROFS: 'its file system is read-only',
  };
  return new StartError(code, `cannot write the state file ${file}: ${known[code] ?? message}`, error);
}

/**
 * Hands over what a state file says, line by line and a few lines a turn of the event loop. Bindings have aged by the
 * time since the file was written. Unless the file turns out to be whole, nothing of it counts. Never rejects.
 */
export async function readState(file: string, take: (line: StateLine) => void): Promise<Read> {
  let agedMs: number | undefined;
  let taken = 0;
  let isWhole = false;
  try {
    for await (const text of createInterface({ input: createReadStream(file, 'utf8'), crlfDelay: Infinity })) {
      const json: unknown = JSON.parse(text);
      if (agedMs === undefined) {
        // Once for all: by the time of reading, the last bindings would be older than the first. A clock that was set
        // back must not lengthen the life of a binding.
        agedMs = Math.max(0, Date.now() - head.parse(json).savedAt);
        continue;
      }
      const record = line.parse(json);
      isWhole = 'lines' in record && record.lines === taken;
      taken++;
      if (!('lines' in record)) take('ms' in record ? { ...record, ms: record.ms - agedMs } : record);
    }
    if (isWhole) return { kind: 'read' };
    throw new SyntaxError('it ends too early');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return { kind: 'none' };
    if (error instanceof z.ZodError) return { kind: 'unreadable', reason: 'it is not a state file of this version' };
    return { kind: error instanceof SyntaxError ? 'unreadable' : 'unread', reason: message };
  }
}

async function write(handle: FileHandle, backends: readonly Backend[]): Promise<void> {
  let chunk = `${JSON.stringify({ format: FORMAT, savedAt: Date.now() })}\n`;
  let [lines, steps] = [0, 0];
  for (const record of records(backends)) {
    if (record) {
      chunk += `${JSON.stringify(record)}\n`;
      lines++;
    }
    if (++steps % LINES_A_TURN !== 0) continue;
    await handle.write(chunk);
    chunk = '';
    await nextTurn();
  }
  await handle.write(`${chunk}${JSON.stringify({ lines })}\n`);
}

/** Undefined for a step without a line. */
function* records(backends: readonly Backend[]): Generator<object | undefined> {
  for (const { name: backend, servers, table } of backends) {
    for (const server of servers) {
      const { name, admin: state, ownWeight: own, config } = server;
      const weight = own === undefined ? undefined : { own, instead: config.weight };
      const said = saidOf(server);
      if (state !== 'ready' || weight || said) yield { backend, server: name, state, weight, said };
    }
    for (const binding of table?.walk() ?? []) yield binding && lineOf(backend, binding);
  }
}

/** That somebody has said 'ready' is kept, too: it may be later than what other balancers have. */
function saidOf({ said: { state, weight } }: Server): StateOf['said'] {
  if (!state && !weight) return undefined;
  return { ...(state && { state: spellSaid(state) }), ...(weight && { weight: spellSaid(weight) }) };
}

function lineOf(backend: string, { client, server, home, remainingMs }: Binding<Server>): StateLine {
  const ms = Math.ceil(remainingMs * 1_000) / 1_000;
  return { backend, server: server.name, client, ms, home: home?.name };
}

import { createReadStream } from 'node:fs';
import { open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { z } from 'zod';
import type { Config } from './config/schema.ts';
import { StartError } from './errors.ts';
import type { Backend } from './pool/backend.ts';
import { ADMIN_STATES, type Server } from './pool/server.ts';

/** Lines between two turns of the event loop: a millisecond of work or less. */
const LINES_A_TURN = 250;
const FORMAT = 'berth state 1';

/** The file is lines of JSON: a head, then admin states and bindings, then their count: one that is torn lacks that. */
const head = z.object({ format: z.literal(FORMAT), savedAt: z.number() });
const line = z.union([
  z.object({ backend: z.string(), server: z.string(), state: z.enum(ADMIN_STATES) }),
  z.object({
    backend: z.string(),
    server: z.string(),
    client: z.string(),
    ms: z.number(),
    home: z.string().optional(),
  }),
  z.object({ lines: z.number() }),
]);

export type Restored =
  | { readonly kind: 'none' }
  | { readonly kind: 'restored'; readonly bindings: number; readonly states: number }
  | { readonly kind: 'unreadable'; readonly reason: string };

/** Writes admin states and bindings beside `file`, then puts that in its place, so that `file` is whole at any moment. */
export async function saveState(file: string, backends: readonly Backend[]): Promise<void> {
  const draft = `${file}.new`;
  const handle = await open(draft, 'w', 0o600);
  try {
    await write(handle, backends);
    await handle.sync();
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
  await rename(draft, file);
}

/** Whether the file can be written at all. Rejects with a StartError. */
export async function checkStateFile(file: string): Promise<void> {
  // Not the draft: at a reload that may be under way.
  const attempt = `${file}.try`;
  try {
    const there = await stat(file).catch(() => undefined);
    if (there?.isDirectory() === true) throw Object.assign(new Error(), { code: 'EISDIR' });
    await (await open(attempt, 'a', 0o600)).close();
    await rm(attempt);
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    const known: Record<string, string> = {
      EACCES: 'permission denied',
      EISDIR: 'it is a folder',
      ENOENT: 'its folder does not exist',
      ENOTDIR: 'its folder is a file',
      EROFS: 'its file system is read-only',
    };
    throw new StartError(code, `cannot write the state file ${file}: ${known[code] ?? message}`, error);
  }
}

/** Writes the state again and again, from the first `keep` on. */
export class StateKeeper {
  readonly #backends: () => readonly Backend[];
  readonly #failed: (file: string, reason: string) => void;
  #file = '';
  #timer: NodeJS.Timeout | undefined;
  #saved: Promise<void> = Promise.resolve();
  #saving = false;

  /** A file that cannot be written costs a call of `failed`, not a connection. */
  constructor(backends: () => readonly Backend[], failed: (file: string, reason: string) => void) {
    this.#backends = backends;
    this.#failed = failed;
  }

  keep({ file, interval }: Config['state']): void {
    this.#file = file;
    clearInterval(this.#timer);
    if (file === '') return;
    this.#timer = setInterval(() => {
      // A large table on a slow disk may take longer than the interval.
      if (!this.#saving) void this.save();
    }, interval);
  }

  /** After what is being written; there is nothing to write before `keep`. */
  save(): Promise<void> {
    this.#saved = this.#saved.then(() => this.#save(this.#file));
    return this.#saved;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #save(file: string): Promise<void> {
    if (file === '') return;
    this.#saving = true;
    await saveState(file, this.#backends()).catch(({ message }: Error) => this.#failed(file, message));
    this.#saving = false;
  }
}

async function write(handle: FileHandle, backends: readonly Backend[]): Promise<void> {
  let chunk = `${JSON.stringify({ format: FORMAT, savedAt: Date.now() })}\n`;
  let lines = 0;
  for (const record of records(backends)) {
    chunk += `${JSON.stringify(record)}\n`;
    if (++lines % LINES_A_TURN !== 0) continue;
    await handle.write(chunk);
    chunk = '';
    await nextTurn();
  }
  await handle.write(`${chunk}${JSON.stringify({ lines })}\n`);
}

function* records(backends: readonly Backend[]): Generator<object> {
  for (const { name: backend, servers, table } of backends) {
    for (const { name: server, admin: state } of servers) {
      if (state !== 'ready') yield { backend, server, state };
    }
    for (const { client, server, home, remainingMs } of table?.bindings() ?? []) {
      yield { backend, server: server.name, client, ms: Math.ceil(remainingMs), home: home?.name };
    }
  }
}

/**
 * Brings back what the file says of servers that are still configured; the time that has passed since counts. A file that is
 * torn or not ours is set aside under another name.
 */
export async function restoreState(file: string, backends: readonly Backend[]): Promise<Restored> {
  const kept = await read(file);
  if (!Array.isArray(kept)) return kept;
  const byName = new Map(backends.map((backend) => [backend.name, backend]));
  const counts = { bindings: 0, states: 0 };
  for (const record of kept) {
    if ('lines' in record) continue;
    const backend = byName.get(record.backend);
    const named = (name: string | undefined): Server | undefined => backend?.servers.find((one) => one.name === name);
    const server = named(record.server);
    if (!server) continue;
    if ('state' in record) {
      server.setAdmin(record.state);
      counts.states++;
    } else if (backend?.table) {
      const { client, home, ms } = record;
      if (backend.table.restore({ client, server, home: named(home), remainingMs: ms })) counts.bindings++;
    }
  }
  return { kind: 'restored', ...counts };
}

type Line = z.output<typeof line>;

async function read(file: string): Promise<Line[] | Extract<Restored, { kind: 'none' | 'unreadable' }>> {
  const lines: Line[] = [];
  try {
    let savedAt: number | undefined;
    const stream = createReadStream(file, 'utf8');
    for await (const text of createInterface({ input: stream, crlfDelay: Infinity })) {
      const json: unknown = JSON.parse(text);
      if (savedAt === undefined) {
        ({ savedAt } = head.parse(json));
        continue;
      }
      const record = line.parse(json);
      // A clock that was set back has not given time back.
      const passedMs = Math.max(0, Date.now() - savedAt);
      lines.push('ms' in record ? { ...record, ms: record.ms - passedMs } : record);
    }
    const last = lines.at(-1);
    if (last && 'lines' in last && last.lines === lines.length - 1) return lines;
    throw new SyntaxError('it ends too early');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return { kind: 'none' };
    const aside = `${file}.bad`;
    await rename(file, aside).catch(() => {});
    const why = error instanceof z.ZodError ? 'it is not a state file of this version' : (error as Error).message;
    return { kind: 'unreadable', reason: `${why}; it is kept as ${aside}` };
  }
}

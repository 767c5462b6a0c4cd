import { createReadStream, renameSync } from 'node:fs';
import { open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { z } from 'zod';
import type { Config } from './config/schema.ts';
import { StartError } from './errors.ts';
import type { Backend } from './pool/backend.ts';
import type { Teller } from './log.ts';
import { ADMIN_STATES, type Server } from './pool/server.ts';
import type { Step } from './step.ts';

/** Lines between two turns of the event loop: a millisecond of work or less. */
const LINES_A_TURN = 250;
export const FORMAT = 'berth state 1';
/** The file is lines of JSON: a head, then admin states and bindings, then their count, which a torn file lacks. */
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

/** What a state file says. `unreadable` content is to be set aside; what the system did not let Berth read stays. */
export type Kept =
  | { readonly kind: 'none' }
  | { readonly kind: 'read'; readonly lines: readonly Line[] }
  | { readonly kind: 'unreadable' | 'unread'; readonly reason: string };

type Line = z.output<typeof line>;
const byLife = (a: Line, b: Line): number => ('ms' in a ? a.ms : 0) - ('ms' in b ? b.ms : 0);

/**
 * Writes admin states and bindings to a draft, then renames the draft to `file`, so that `file` is whole at any moment.
 */
export async function saveState(file: string, backends: readonly Backend[]): Promise<void> {
  const draft = `${file}.new`;
  const handle = await open(draft, 'w', 0o600);
  try {
    try {
      await write(handle, backends);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

/** Whether the file can be written at all. Rejects with a StartError. */
export async function checkStateFile(file: string): Promise<void> {
  // Not the draft: a save may be writing the draft during a reload.
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

/** Reads the state when a file is named, and writes it again and again from then on. */
export class StateKeeper {
  readonly #backends: () => readonly Backend[];
  readonly #log: Teller;
  #state: Config['state'] = { file: '', interval: 0 };
  /** A file that could not be read: its content must not be written over. */
  #spared = '';
  #timer: NodeJS.Timeout | undefined;
  #saved: Promise<void> = Promise.resolve();
  #saving = false;

  /** Saves the state of `backends`. A file that cannot be written costs a line of the log, not a connection. */
  constructor(backends: () => readonly Backend[], log: Teller) {
    this.#backends = backends;
    this.#log = log;
  }

  /**
   * Reads the file where it is named newly; the commit gives what it says to `backends`, whose own bindings and states
   * stand, and begins to write. Rejects with a StartError where the file cannot be written.
   */
  async plan(state: Config['state'], backends: readonly Backend[]): Promise<Step> {
    const { file, interval } = state;
    if (file !== '') await checkStateFile(file);
    const kept = file !== '' && file !== this.#state.file ? await readState(file) : undefined;
    return {
      commit: () => {
        if (kept) this.#restore(file, kept, backends);
        // An unchanged timer goes on: reloads that come sooner than the interval would keep a new timer from firing.
        if (state === this.#state) return;
        this.#state = state;
        clearInterval(this.#timer);
        // A large table on a slow disk may take longer than the interval.
        const saveUnlessSaving = (): void => void (this.#saving || this.save());
        if (file !== '') this.#timer = setInterval(saveUnlessSaving, interval);
      },
      rollback() {},
    };
  }

  /** Saves after the save that is under way; does nothing before a commit has named a file. */
  save(): Promise<void> {
    this.#saved = this.#saved.then(() => this.#save(this.#state.file));
    return this.#saved;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #restore(file: string, kept: Kept, backends: readonly Backend[]): void {
    const log = this.#log;
    this.#spared = '';
    switch (kept.kind) {
      case 'none':
        return log.tell('state_none', { file, kind: 'none' });
      case 'read':
        return log.tell('state_restored', { file, kind: 'restored', ...restoreState(kept.lines, backends) });
      case 'unreadable': {
        const aside = `${file}.bad`;
        try {
          renameSync(file, aside);
          return log.tell('state_set_aside', { file, reason: `${kept.reason}; it is kept as ${aside}` });
        } catch (error) {
          return this.#spare(file, `${kept.reason}; it cannot be set aside: ${(error as Error).message}`);
        }
      }
      case 'unread':
        return this.#spare(file, kept.reason);
    }
  }

  #spare(file: string, reason: string): void {
    this.#spared = file;
    this.#log.tell('state_not_read', { file, reason });
  }

  async #save(file: string): Promise<void> {
    if (file === '' || file === this.#spared) return;
    this.#saving = true;
    await saveState(file, this.#backends()).catch(({ message: reason }: Error) =>
      this.#log.tell('state_not_saved', { file, reason }),
    );
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
      yield { backend, server: server.name, client, ms: Math.ceil(remainingMs * 1_000) / 1_000, home: home?.name };
    }
  }
}

/**
 * Brings back the states and bindings of servers that are in force. A server whose state somebody has said already, and
 * a client that has a binding already, keep theirs.
 */
export function restoreState(
  lines: readonly Line[],
  backends: readonly Backend[],
): { readonly bindings: number; readonly states: number } {
  const byName = new Map(backends.map((backend) => [backend.name, backend]));
  const counts = { bindings: 0, states: 0 };
  for (const record of lines) {
    if ('lines' in record) continue;
    const backend = byName.get(record.backend);
    const named = (name: string | undefined): Server | undefined => backend?.servers.find((one) => one.name === name);
    const server = named(record.server);
    if (!server) continue;
    if ('state' in record) {
      if (server.isTold) continue;
      server.setAdmin(record.state);
      counts.states++;
    } else if (backend?.table) {
      const { client, home, ms } = record;
      if (backend.restore({ client, server, home: named(home), remainingMs: ms })) counts.bindings++;
    }
  }
  return counts;
}

/**
 * Reads a state file, whole or not at all. Bindings have aged by the time since the file was written; the oldest come
 * first. Never rejects.
 */
export async function readState(file: string): Promise<Kept> {
  const lines: Line[] = [];
  try {
    let agedMs: number | undefined;
    for await (const text of createInterface({ input: createReadStream(file, 'utf8'), crlfDelay: Infinity })) {
      const json: unknown = JSON.parse(text);
      if (agedMs === undefined) {
        // Once for all: by the time of reading, the last bindings would be older than the first. A clock that was set
        // back must not lengthen the life of a binding.
        agedMs = Math.max(0, Date.now() - head.parse(json).savedAt);
        continue;
      }
      const record = line.parse(json);
      lines.push('ms' in record ? { ...record, ms: record.ms - agedMs } : record);
    }
    const last = lines.at(-1);
    const isWhole = last && 'lines' in last && last.lines === lines.length - 1;
    if (isWhole === true) return { kind: 'read', lines: lines.toSorted(byLife) };
    throw new SyntaxError('it ends too early');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return { kind: 'none' };
    if (error instanceof z.ZodError) return { kind: 'unreadable', reason: 'it is not a state file of this version' };
    return { kind: error instanceof SyntaxError ? 'unreadable' : 'unread', reason: message };
  }
}

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Config } from './config/schema.ts';
import type { Backend } from './pool/backend.ts';
import type { Collection } from './pool/collection.ts';
import { hear, parseSaid, weightWord, type Said } from './pool/said.ts';
import type { Server } from './pool/server.ts';
import {
  checkStateFile,
  readState,
  rehearseStateFile,
  saveState,
  setAside,
  type Read,
  type StateOf,
} from './state-file.ts';
import type { Teller } from './log.ts';
import type { Step } from './step.ts';

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
   * Reads the file where it is named newly, for `backends` as they will be under `config`; the commit gives them what
   * it says, while their own bindings and states stand, and begins to write. Rejects with a StartError where the file
   * cannot be written.
   */
  async plan({ state, backends: configs }: Planned, backends: readonly Backend[]): Promise<Step> {
    const { file, interval } = state;
    if (file !== '') await checkStateFile(file);
    const kept = file !== '' && file !== this.#state.file ? new KeptState(backends) : undefined;
    const read = await kept?.read(file, configs);
    return {
      commit: () => {
        if (kept && read) this.#restore(file, read, kept);
        // An unchanged timer goes on: reloads that come sooner than the interval would keep a new timer from firing.
        if (state === this.#state) return;
        this.#state = state;
        clearInterval(this.#timer);
        // A large table on a slow disk may take longer than the interval.
        const saveUnlessSaving = (): void => void (this.#saving || this.save());
        if (file !== '') this.#timer = setInterval(saveUnlessSaving, interval);
      },
      rollback: () => kept?.rollback(),
    };
  }

  /** Whether a plan could write the file, without touching it. Rejects with a StartError. */
  async rehearse({ file }: Config['state']): Promise<void> {
    if (file !== '' && file !== this.#state.file) await rehearseStateFile(file);
  }

  /** Saves after the save that is under way; does nothing before a commit has named a file. */
  save(): Promise<void> {
    this.#saved = this.#saved.then(() => this.#save(this.#state.file));
    return this.#saved;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #restore(file: string, read: Read, kept: KeptState): void {
    const log = this.#log;
    this.#spared = '';
    if (read.kind !== 'read') kept.rollback();
    switch (read.kind) {
      case 'none':
        return log.tell('state_none', { file, kind: 'none' });
      case 'read':
        return log.tell('state_restored', { file, kind: 'restored', ...kept.commit() });
      case 'unreadable': {
        try {
          const aside = setAside(file);
          return log.tell('state_set_aside', { file, reason: `${read.reason}; it is kept as ${aside}` });
        } catch (error) {
          return this.#spare(file, `${read.reason}; it cannot be set aside: ${(error as Error).message}`);
        }
      }
      case 'unread':
        return this.#spare(file, read.reason);
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

/** What is planned for the backends that a state is restored to. */
type Planned = Pick<Config, 'state' | 'backends'>;

/** What a state file says, on its way into backends. */
class KeptState {
  readonly #backends: readonly Backend[];
  readonly #collections = new Map<string, Collection>();
  readonly #states: StateOf[] = [];

  constructor(backends: readonly Backend[]) {
    this.#backends = backends;
  }

  async read(file: string, configs: Config['backends']): Promise<Read> {
    for (const backend of this.#backends) {
      const config = configs[backend.name];
      const collection = config && backend.collect(config);
      if (collection) this.#collections.set(backend.name, collection);
    }
    const read = await readState(file, (line) => {
      if ('state' in line) this.#states.push(line);
      else this.#collections.get(line.backend)?.add(line.client, line.server, line.home, line.ms);
    });
    if (read.kind !== 'read') return read;
    for (const collection of this.#collections.values()) {
      for (const _ of collection.sorting()) await nextTurn();
    }
    return read;
  }

  /** Brings back states and bindings of servers that are in force. What was said of one later stands. */
  commit(): { readonly bindings: number; readonly states: number } {
    let [bindings, states] = [0, 0];
    for (const line of this.#states) {
      const of = this.#backends.find(({ name }) => name === line.backend);
      const server = of?.servers.find(({ name }) => name === line.server);
      if (server && restored(server, line)) states++;
    }
    for (const collection of this.#collections.values()) bindings += collection.commit();
    return { bindings, states };
  }

  rollback(): void {
    for (const collection of this.#collections.values()) collection.rollback();
  }
}

/** Says of a server what its line says. Returns whether there is anything to restore, and it counts. */
function restored(server: Server, { state, weight, said = {} }: StateOf): boolean {
  // By nobody, and before anything that has a time.
  const untold = (word: string): Said => ({ word, who: '', by: undefined, atMs: 0 });
  const heard = hear(server, 'state', parseSaid('state', said.state ?? '') ?? untold(state));
  const ofWeight = parseSaid('weight', said.weight ?? '') ?? (weight && untold(weightWord(weight.own, weight.instead)));
  if (ofWeight) hear(server, 'weight', ofWeight);
  return heard && (state !== 'ready' || weight !== undefined);
}

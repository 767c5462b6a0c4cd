import { loadConfig, loadText, type Loaded } from './config/load.ts';
import { readAtOnce } from './config/named-files.ts';
import type { Draft } from './control.ts';

/** How a load went; `problems` are none where the configuration came into force. */
export type Load = { readonly atMs: number; readonly problems: readonly string[] };

/** The balancer.yml that a balancer runs with, and what came of loading it last. */
export class ConfigFile {
  readonly path: string;
  /** When the configuration in force was loaded, in milliseconds since 1970. */
  #loadedMs = Date.now();
  #last: Load = { atMs: this.#loadedMs, problems: [] };

  constructor(path: string) {
    this.path = path;
  }

  get loadedMs(): number {
    return this.#loadedMs;
  }

  get last(): Load {
    return this.#last;
  }

  /** Loads the file, or a draft of it, whose relative files lie where those of the file do. */
  load(draft?: Draft): Loaded {
    const { path } = this;
    return draft
      ? loadText(draft.text, draft.name, path, process.env, readAtOnce)
      : loadConfig(path, process.env, readAtOnce);
  }

  /** A load has ended, with these problems. */
  loaded(problems: readonly string[]): void {
    this.#last = { atMs: Date.now(), problems };
    if (problems.length === 0) this.#loadedMs = this.#last.atMs;
  }
}

/** A balancer in the process of the test: real sockets, no program. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { Balancer } from '../../src/balancer.ts';
import { ConfigFile } from '../../src/config-file.ts';
import { Log } from '../../src/log.ts';
import { onreadSockets } from '../../src/proxy/relay/sockets.ts';
import { folderOf } from './files.ts';
import { readLine, type LogLine } from './log-lines.ts';
import { yaml, type Settings } from './settings.ts';
import { Changes } from './waiting.ts';

export class Inside {
  readonly lines: LogLine[] = [];
  readonly folder: string;
  readonly file: string;
  readonly pid = process.pid;
  readonly #changes = new Changes();
  readonly #log: Log;
  readonly #balancer: Balancer;
  #stopped: Promise<void> | undefined;

  private constructor(folder: string, config: Settings) {
    this.folder = folder;
    this.file = join(folder, 'balancer.yml');
    writeFileSync(this.file, yaml(config));
    const file = new ConfigFile(this.file);
    const loaded = file.load();
    assert.ok(loaded.kind === 'config', JSON.stringify(loaded));
    const told = (text: string, done: () => void): void => {
      for (const line of text.split('\n')) if (line !== '') this.lines.push(readLine(line));
      this.#changes.tell();
      done();
    };
    this.#log = new Log(loaded.config.log, told, { terminal: false, journal: false, colours: false });
    this.#balancer = new Balancer(loaded.config, this.#log, onreadSockets, file);
  }

  /** It is stopped with the test. */
  static async start(t: TestContext, config: Settings): Promise<Inside> {
    const inside = new Inside(folderOf(t), config);
    t.after(() => inside.stop());
    await inside.#balancer.start();
    return inside;
  }

  until<T>(look: () => T): Promise<Exclude<T, undefined | false>> {
    const log = (): string => `a line of the log: ${this.lines.map((line) => JSON.stringify(line)).join('\n')}`;
    return this.#changes.until(log, look, () => false);
  }

  line(wanted: (line: LogLine) => boolean, from = 0): Promise<LogLine> {
    return this.until(() => this.lines.slice(from).find(wanted));
  }

  async port(frontend = 'f'): Promise<number> {
    const { address } = await this.line((line) => line.msg === 'listening' && line['frontend'] === frontend);
    return Number(/(\d+)$/.exec(String(address))?.[1]);
  }

  async metrics(): Promise<string> {
    const { address } = await this.line(({ msg }) => msg === 'metrics listening');
    return (await fetch(`http://${String(address)}/metrics`)).text();
  }

  /** Ends it for good, whoever is connected. */
  async stop(): Promise<void> {
    const first = this.#stopped === undefined;
    this.#stopped ??= this.#balancer.stop('the test is over');
    if (first) void this.#balancer.stop('at once');
    await this.#stopped;
    await this.#log.close();
  }
}

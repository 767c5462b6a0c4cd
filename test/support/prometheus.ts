/** A real Prometheus, as deploy/ configures it, that scrapes what a test runs. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Workspace } from './processes.ts';
import { eventually } from './waiting.ts';

const DEPLOYED = 'deploy/prometheus';

/** A series of an answer: its labels, and its values that are numbers. */
export type Series = { readonly metric: Readonly<Record<string, string>>; readonly values: readonly number[] };

type Answer = {
  readonly status: string;
  readonly error?: string;
  readonly data: {
    readonly result: readonly { metric: Record<string, string>; values: readonly [number, string][] }[];
  };
};

export class Prometheus {
  readonly #url: string;
  readonly #startedMs = Date.now();

  private constructor(port: number) {
    this.#url = `http://127.0.0.1:${port}`;
  }

  /** Scrapes `target` and evaluates the deployed rules once a second; an alert fires as soon as its condition holds. */
  static async start(workspace: Workspace, target: string): Promise<Prometheus> {
    const folder = join(workspace.dir, 'prometheus');
    mkdirSync(folder);
    cpSync(DEPLOYED, folder, { recursive: true });
    const change = (file: string, by: (text: string) => string): void =>
      writeFileSync(join(folder, file), by(readFileSync(join(DEPLOYED, file), 'utf8')));
    change('prometheus.yml', (text) => text.replaceAll('15s', '1s').replace('127.0.0.1:9180', target));
    change('alerts.yml', (text) => text.replaceAll(/^ +for: .*\n/gm, ''));
    const port = await workspace.freePort();
    const program = workspace.start({
      name: 'prometheus',
      command: 'prometheus',
      args: [
        `--config.file=${join(folder, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(folder, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      expendable: true,
    });
    const prometheus = new Prometheus(port);
    await program.waitFor('is not ready', () => prometheus.#isReady());
    return prometheus;
  }

  /** What a query would have shown each second since the start. Throws with Prometheus's words where it is wrong. */
  async history(query: string): Promise<readonly Series[]> {
    const range = { start: String(this.#startedMs / 1_000), end: String(Date.now() / 1_000), step: '1' };
    const { data } = await this.#ask('query_range', { query, ...range });
    return data.result.map(({ metric, values }) => ({
      metric,
      values: values.map(([, value]) => Number(value)).filter(Number.isFinite),
    }));
  }

  /** As soon as a series of the query has a value that is `good`. */
  async seen(query: string, good: (value: number) => boolean, ms: number): Promise<void> {
    let last: readonly Series[] = [];
    const look = async (): Promise<boolean> => {
      last = await this.history(query);
      return last.some(({ values }) => values.some(good));
    };
    await eventually(() => `a good value of ${query}; there is ${JSON.stringify(last).slice(0, 400)}`, look, ms);
  }

  /** The values of a label, as a variable of Grafana asks for them. */
  async labels(label: string, match: string): Promise<readonly string[]> {
    const search = new URLSearchParams({ 'match[]': match });
    const response = await fetch(`${this.#url}/api/v1/label/${label}/values?${search.toString()}`);
    return ((await response.json()) as { data: readonly string[] }).data;
  }

  async #ask(what: string, parameters: Record<string, string>): Promise<Answer> {
    const response = await fetch(`${this.#url}/api/v1/${what}`, {
      method: 'POST',
      body: new URLSearchParams(parameters),
    });
    const answer = (await response.json()) as Answer;
    if (answer.status !== 'success') throw new Error(`${parameters['query']}: ${answer.error}`);
    return answer;
  }

  #isReady(): Promise<boolean> {
    return fetch(`${this.#url}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  }
}

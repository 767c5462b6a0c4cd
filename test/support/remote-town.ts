/** Servers and a crowd in a network of their own: the program town.ts, told what to do. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { eventually } from './waiting.ts';

const TOWN = fileURLToPath(new URL('town.js', import.meta.url));

type Told = { calls: number; failures: string[]; clients: number; split: number };

export class RemoteTown {
  readonly #ask: (order: string) => Promise<unknown>;
  readonly close: () => Promise<void>;
  #size = 0;

  private constructor(ask: (order: string) => Promise<unknown>, close: () => Promise<void>) {
    this.#ask = ask;
    this.close = close;
  }

  /** `through` leads into its network. */
  static open(through: readonly [string, ...string[]]): RemoteTown {
    const [command, ...args] = through;
    const town = spawn(command, [...args, process.execPath, TOWN], { stdio: ['pipe', 'pipe', 'inherit'] });
    const answers = createInterface(town.stdout)[Symbol.asyncIterator]();
    const ask = async (order: string): Promise<unknown> => {
      town.stdin.write(`${order}\n`);
      const { value } = await answers.next();
      return JSON.parse(String(value)) as unknown;
    };
    const close = async (): Promise<void> => {
      town.stdin.end();
      if (town.exitCode === null) await once(town, 'exit');
    };
    return new RemoteTown(ask, close);
  }

  /** Opens so many servers, s1, s2, …, and resolves to their addresses. */
  async servers(count: number): Promise<string[]> {
    return (await this.#ask(`servers ${count}`)) as string[];
  }

  /** A crowd comes to this port; resolves when everybody has come again. */
  async come(port: number, size: number): Promise<void> {
    this.#size = size;
    await this.#ask(`come ${port} ${size}`);
    await this.goesOn();
  }

  /** Until everybody has come again. */
  async goesOn(): Promise<void> {
    const calls = async (): Promise<number> => Number(await this.#ask('calls'));
    const seen = await calls();
    await eventually('the crowd to come again', async () => (await calls()) > seen + 4 * this.#size);
  }

  async sendHome(): Promise<Told> {
    return (await this.#ask('leave')) as Told;
  }
}

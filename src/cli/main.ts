import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { printable } from '../config/locate.ts';
import { version } from '../version.ts';
import { didYouMean } from '../config/suggest.ts';
import { COMMANDS, unknownCommand, type Command } from './commands.ts';
import { help } from './help.ts';
import { OPTIONS, type Option, type OptionName } from './options.ts';
import type { Signals } from './signals.ts';

const HERE = 'balancer.yml';
/** Where a package or a container image has its file. */
const INSTALLED = '/etc/berth/balancer.yml';

/** Arguments in, exit code out: 2 where the call itself is wrong. */
export async function main(args: string[], signals: Signals): Promise<number> {
  const parsed = parseArgs({ args, options: OPTIONS, strict: false, allowPositionals: true, tokens: true });
  const { tokens, values, positionals } = parsed;
  const [name, ...given] = positionals;
  const command = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const fault = optionFault(command, token.name, token.rawName, token.value, token.inlineValue);
    if (fault !== undefined) return complain(fault);
  }
  // A balancer's log and signals are its own matter.
  const starts = name === 'start' && values.help !== true && values.version !== true;
  if (!starts) {
    signals.release();
    forgiveClosedPipe();
  }
  if (values.version === true) {
    process.stdout.write(`berth ${version}\n`);
    return 0;
  }
  if (values.help === true && (name === undefined || command)) {
    process.stdout.write(help(COMMANDS, name));
    return 0;
  }
  if (name === undefined) {
    return complain(`a command is missing; one of ${Object.keys(COMMANDS).join(', ')}. See berth --help`);
  }
  if (!command) return complain(unknownCommand(name));
  const fault = tooMany(name, command, given);
  if (fault !== undefined) return complain(`${fault}. See berth ${name} --help`);
  const foreign = Object.keys(values).find((option) => !command.options.includes(option as OptionName));
  if (foreign !== undefined) {
    const own = command.options.map((option) => `--${option}`).join(', ');
    return complain(`${name} takes no --${foreign}${own === '' ? ', nor any other option' : `; it takes ${own}`}`);
  }
  const wrong = command.fault?.(given, values);
  if (wrong !== undefined) return complain(`${wrong}. See berth ${name} --help`);
  const { config: file = standardFile(), json = false } = values as { config?: string; json?: boolean };
  return command.run({ file, argument: given[0], given, json, values, signals });
}

const NUMBERS = ['no argument', 'one argument, and not also', 'two arguments, and not also'];

function tooMany(name: string, { arguments: takes = [] }: Command, given: readonly string[]): string | undefined {
  if (takes.at(-1)?.many === true) return undefined;
  const { length } = takes;
  const extra = given[length];
  return extra === undefined ? undefined : `${name} takes ${NUMBERS[length] ?? ''} ${JSON.stringify(extra)}`;
}

/** The file of a call without `-c`. */
function standardFile(): string {
  const named = process.env['BERTH_CONFIG'];
  if (named !== undefined && named !== '') return named;
  return !existsSync(HERE) && existsSync(INSTALLED) ? INSTALLED : HERE;
}

/** What is wrong with one flag as such; `command` says which flags were probably meant. */
function optionFault(
  command: Command | undefined,
  name: string,
  raw: string,
  value?: string,
  inline?: boolean,
): string | undefined {
  const option: Option | undefined = Object.hasOwn(OPTIONS, name) ? OPTIONS[name as OptionName] : undefined;
  if (!option) {
    const hint = (of: readonly string[] = []): string =>
      didYouMean(
        raw,
        of.map((known) => `--${known}`),
      );
    return `unknown option ${raw}.${hint(command?.options) || hint(Object.keys(OPTIONS)) || ' See berth --help'}`;
  }
  if (option.type === 'boolean') return value === undefined ? undefined : `${raw} takes no value`;
  // parseArgs takes the next flag for the value of this one.
  if (value !== undefined && value !== '' && (inline || !value.startsWith('-'))) return undefined;
  // Standard input.
  if (name === 'config' && value === '-') return undefined;
  return name === 'config'
    ? '--config needs a file, such as -c balancer.yml'
    : `--${name} needs a value: --${name} ${option.value}`;
}

/** `berth schema | head`: a reader that closes the pipe has seen enough, which is no error. */
function forgiveClosedPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

function complain(message: string): number {
  process.stderr.write(`berth: ${printable(message)}\n`);
  return 2;
}

#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { loadConfig, type Loaded } from './config/load.ts';
import { formatProblem, printable } from './config/locate.ts';
import { jsonSchema, type Config } from './config/schema.ts';
import { didYouMean } from './config/suggest.ts';
import { version } from './version.ts';

type Command = {
  readonly summary: string;
  readonly takesConfig: boolean;
  readonly run: (file: string) => Promise<number> | number;
};

const COMMANDS: Record<string, Command> = {
  start: { summary: 'run the balancer in the foreground', takesConfig: true, run: start },
  check: { summary: 'validate the configuration file', takesConfig: true, run: check },
  schema: { summary: 'print the JSON Schema of balancer.yml', takesConfig: false, run: printSchema },
};
/** Named in the documentation of what is to come; this version says so instead of calling them unknown. */
const NOT_YET = ['doctor', 'status', 'table', 'explain', 'drain', 'maint', 'ready', 'reload'];

async function start(file: string): Promise<number> {
  const config = configOrComplain(file, process.stderr);
  if (!config) return 1;
  const { run } = await import('./balancer.ts');
  return run(config);
}

function check(file: string): number {
  const config = configOrComplain(file, process.stdout);
  if (!config) return 2;
  const servers = Object.values(config.backends).flatMap((backend) => Object.keys(backend.servers));
  const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;
  const parts = [
    count(Object.keys(config.frontends).length, 'frontend'),
    count(Object.keys(config.backends).length, 'backend'),
    count(servers.length, 'server'),
  ];
  process.stdout.write(`${file} is valid: ${parts.join(', ')}\n`);
  return 0;
}

function configOrComplain(file: string, out: NodeJS.WritableStream): Config | undefined {
  const loaded: Loaded = loadConfig(file);
  if (loaded.kind === 'config') return loaded.config;
  for (const problem of loaded.problems) out.write(`${formatProblem(problem)}\n`);
  return undefined;
}

function printSchema(): number {
  process.stdout.write(`${JSON.stringify(jsonSchema(), null, 2)}\n`);
  return 0;
}

function help(name?: string): string {
  const command = name === undefined ? undefined : COMMANDS[name];
  if (command) {
    const config = command.takesConfig ? ' [-c FILE]' : '';
    const options = command.takesConfig ? '\n\n  -c, --config FILE   configuration file (default: balancer.yml)' : '';
    return `Usage: berth ${name}${config}\n\nberth ${name}: ${command.summary}${options}\n`;
  }
  const commands = Object.entries(COMMANDS).map(([key, { summary }]) => `  ${key.padEnd(10)}${summary}\n`);
  return (
    'Berth: a TCP load balancer with sticky sessions for clusters of Docker registry nodes\n\n' +
    `Usage: berth COMMAND [-c FILE]\n\nCommands:\n${commands.join('')}\n` +
    'Options:\n  -c, --config FILE   configuration file (default: balancer.yml)\n' +
    '  -h, --help          this text, or that of a command\n      --version       the version\n'
  );
}

/** The exit code: 2 where the call itself is wrong. */
async function main(args: string[]): Promise<number> {
  const complain = (message: string): number => {
    process.stderr.write(`berth: ${printable(message)}\n`);
    return 2;
  };
  const options = {
    config: { type: 'string', short: 'c' },
    help: { type: 'boolean', short: 'h' },
    version: { type: 'boolean' },
  } as const;
  const { tokens, values, positionals } = parseArgs({
    args,
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const known = Object.hasOwn(options, token.name) ? options[token.name as keyof typeof options] : undefined;
    if (known?.type === 'boolean' && token.value !== undefined) return complain(`${token.rawName} takes no value`);
    if (known) continue;
    const long = Object.keys(options).map((name) => `--${name}`);
    return complain(`unknown option ${token.rawName}.${didYouMean(token.rawName, long) || ' See berth --help'}`);
  }
  if (values.version === true) {
    process.stdout.write(`berth ${version}\n`);
    return 0;
  }
  const [name, ...more] = positionals;
  if (values.help === true && (name === undefined || Object.hasOwn(COMMANDS, name))) {
    process.stdout.write(help(name));
    return 0;
  }
  const known = Object.keys(COMMANDS);
  if (name === undefined) return complain(`a command is missing; one of ${known.join(', ')}. See berth --help`);
  if (NOT_YET.includes(name))
    return complain(`${name} is not available in this version; there are ${known.join(', ')}`);
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command) return complain(`unknown command ${name}.${didYouMean(name, known) || ` Known: ${known.join(', ')}`}`);
  if (more.length > 0)
    return complain(`${name} takes no argument ${JSON.stringify(more[0])}. See berth ${name} --help`);
  if (values.config !== undefined && !command.takesConfig) return complain(`${name} takes no --config`);
  if (values.config === true || values.config === '') return complain('--config needs a file, such as -c balancer.yml');
  return command.run(typeof values.config === 'string' ? values.config : 'balancer.yml');
}

// `berth schema | head`: a reader that has seen enough is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
process.exitCode = await main(process.argv.slice(2));

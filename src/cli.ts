#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { argumentFault, askBalancer, type AdminCommand } from './admin/commands.ts';
import { loadConfig } from './config/load.ts';
import { formatProblem, printable } from './config/locate.ts';
import { jsonSchema, type Config } from './config/schema.ts';
import { didYouMean } from './config/suggest.ts';
import { version } from './version.ts';

type Values = Readonly<Record<string, string | boolean | undefined>>;
type Call = {
  readonly file: string;
  readonly argument: string | undefined;
  readonly json: boolean;
  readonly values: Values;
};
type Command = {
  readonly summary: string;
  readonly argument?: string;
  readonly options: readonly OptionName[];
  /** What is wrong with the argument. */
  readonly fault?: (argument: string | undefined) => string | undefined;
  readonly run: (call: Call) => Promise<number> | number;
};

const OPTIONS = {
  config: { type: 'string', short: 'c', value: 'FILE', help: 'configuration file (default: balancer.yml)' },
  backend: { type: 'string', value: 'NAME', help: 'whose servers to audit; needed where there are several backends' },
  name: { type: 'string', value: 'HOST[:PORT]', help: 'public name of the registry, as clients write it (required)' },
  ca: { type: 'string', value: 'FILE', help: "PEM of the authorities that clients trust (default: the system's)" },
  user: { type: 'string', value: 'USER', help: 'user for basic authentication' },
  'password-stdin': { type: 'boolean', help: "read the user's password from standard input" },
  repo: { type: 'string', value: 'NAME', help: 'repository to probe in (default: berth-doctor/probe)' },
  write: { type: 'boolean', help: 'also store a small blob on each node, and delete it again' },
  patient: { type: 'boolean', help: 'wait 35 s instead of 4 s for a storage that lags' },
  debug: { type: 'string', value: 'HOST:PORT,…', help: "the nodes' debug addresses (http.debug.addr)" },
  json: { type: 'boolean', help: 'print the answer as JSON' },
  help: { type: 'boolean', short: 'h', help: 'this text, or that of a command' },
  version: { type: 'boolean', help: 'the version' },
} as const satisfies Record<string, Option>;
type Option = {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  readonly value?: string;
  readonly help: string;
};
type OptionName = keyof typeof OPTIONS;
const DOCTOR = ['backend', 'name', 'ca', 'user', 'password-stdin', 'repo', 'write', 'patient', 'debug'] as const;

const COMMANDS: Record<string, Command> = {
  start: { summary: 'run the balancer in the foreground', options: ['config'], run: start },
  check: { summary: 'validate the configuration file', options: ['config'], run: check },
  doctor: { summary: 'audit the registry nodes behind a backend', options: ['config', ...DOCTOR, 'json'], run: doctor },
  status: asks('status', 'show what runs: frontends, backends, servers'),
  explain: asks('explain', 'say where a client of this address goes, and why', 'IP'),
  drain: asks('drain', 'let a server keep its clients, and give it no new ones', 'BACKEND/SERVER'),
  maint: asks('maint', 'give a server nothing; its clients are moved', 'BACKEND/SERVER'),
  ready: asks('ready', 'end drain or maint', 'BACKEND/SERVER'),
  reload: asks('reload', 'load the configuration file again, as SIGHUP does'),
  schema: { summary: 'print the JSON Schema of balancer.yml', options: [], run: printSchema },
};
/** Named in the documentation of what is to come; this version says so instead of calling them unknown. */
const NOT_YET = ['table'];

/** A command that talks to a running balancer. */
function asks(name: AdminCommand, summary: string, argument?: string): Command {
  return {
    summary,
    ...(argument === undefined ? {} : { argument }),
    options: ['config', 'json'],
    fault: (given) => argumentFault(name, given),
    run: (call) => askBalancer(name, call.argument ?? '', call.file, call.json),
  };
}

async function start({ file }: Call): Promise<number> {
  const config = configOrComplain(file, process.stderr);
  if (!config) return 1;
  const { run } = await import('./run.ts');
  // A check or a question to DNS that is under way has nobody to answer to any more.
  process.exit(await run(config, file));
}

function check({ file }: Call): number {
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

async function doctor({ file, json, values }: Call): Promise<number> {
  const config = configOrComplain(file, process.stderr);
  if (!config) return 2;
  const { runDoctor } = await import('./doctor/doctor.ts');
  return runDoctor(config, values, json);
}

function configOrComplain(file: string, out: NodeJS.WritableStream): Config | undefined {
  const loaded = loadConfig(file);
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
    const argument = command.argument === undefined ? '' : ` ${command.argument}`;
    const options = optionHelp(command.options);
    const usage = `Usage: berth ${name}${argument}${options && ' [options]'}\n\nberth ${name}: ${command.summary}\n`;
    return options === '' ? usage : `${usage}\n${options}`;
  }
  const commands = Object.entries(COMMANDS).map(
    ([key, { summary, argument = '' }]) => `  ${`${key} ${argument}`.padEnd(24)}${summary}\n`,
  );
  return (
    'Berth: a TCP load balancer with sticky sessions for clusters of Docker registry nodes\n\n' +
    `Usage: berth COMMAND [options]\n\nCommands:\n${commands.join('')}\n` +
    `Options:\n${optionHelp(['config', 'json', 'help', 'version'])}`
  );
}

function optionHelp(names: readonly OptionName[]): string {
  const lines = names.map((name) => {
    const { short, value, help: does }: Option = OPTIONS[name];
    return { flag: `${short ? `-${short},` : '   '} --${name}${value ? ` ${value}` : ''}`, does };
  });
  const width = Math.max(17, ...lines.map(({ flag }) => flag.length));
  return lines.map(({ flag, does }) => `  ${flag.padEnd(width)}   ${does}\n`).join('');
}

/** The exit code: 2 where the call itself is wrong. */
async function main(args: string[]): Promise<number> {
  const parsed = parseArgs({ args, options: OPTIONS, strict: false, allowPositionals: true, tokens: true });
  const { tokens, values, positionals } = parsed;
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const fault = optionFault(token.name, token.rawName, token.value, token.inlineValue);
    if (fault !== undefined) return complain(fault);
  }
  const [name, argument, ...more] = positionals;
  if (values.version === true) {
    process.stdout.write(`berth ${version}\n`);
    return 0;
  }
  if (values.help === true && (name === undefined || Object.hasOwn(COMMANDS, name))) {
    process.stdout.write(help(name));
    return 0;
  }
  const known = Object.keys(COMMANDS);
  if (name === undefined) return complain(`a command is missing; one of ${known.join(', ')}. See berth --help`);
  if (NOT_YET.includes(name)) {
    return complain(`${name} is not available in this version; there are ${known.join(', ')}`);
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command) return complain(`unknown command ${name}.${didYouMean(name, known) || ` Known: ${known.join(', ')}`}`);
  const extra = command.argument === undefined ? argument : more[0];
  const fault =
    (extra === undefined ? undefined : `${name} takes no argument ${JSON.stringify(extra)}`) ??
    command.fault?.(argument);
  if (fault !== undefined) return complain(`${fault}. See berth ${name} --help`);
  const foreign = Object.keys(values).find((option) => !command.options.includes(option as OptionName));
  if (foreign !== undefined) return complain(`${name} takes no --${foreign}`);
  const { config: file = 'balancer.yml', json = false } = values as { config?: string; json?: boolean };
  return command.run({ file, argument, json, values });
}

/** What is wrong with one flag, whatever the command. */
function optionFault(name: string, raw: string, value?: string, inline?: boolean): string | undefined {
  const option: Option | undefined = Object.hasOwn(OPTIONS, name) ? OPTIONS[name as OptionName] : undefined;
  if (!option) {
    const long = Object.keys(OPTIONS).map((known) => `--${known}`);
    return `unknown option ${raw}.${didYouMean(raw, long) || ' See berth --help'}`;
  }
  if (option.type === 'boolean') return value === undefined ? undefined : `${raw} takes no value`;
  // The next flag is no value, though parseArgs takes it for one.
  if (value !== undefined && value !== '' && (inline || !value.startsWith('-'))) return undefined;
  return name === 'config'
    ? '--config needs a file, such as -c balancer.yml'
    : `--${name} needs a value: --${name} ${option.value}`;
}

function complain(message: string): number {
  process.stderr.write(`berth: ${printable(message)}\n`);
  return 2;
}

// `berth schema | head`: a reader that has seen enough is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
process.exitCode = await main(process.argv.slice(2));

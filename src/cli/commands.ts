import { jsonSchema } from '../config/schema.ts';
import { didYouMean } from '../config/suggest.ts';
import { version } from '../version.ts';
import { check as checkFile, configOrComplain } from './check.ts';
import { argumentFault, askBalancer, type AdminCommand } from './operate.ts';
import type { Signals } from './signals.ts';

export type Values = Readonly<Record<string, string | boolean | undefined>>;
export type Call = {
  readonly file: string;
  readonly argument: string | undefined;
  readonly json: boolean;
  readonly values: Values;
  /** Held for `start` alone. */
  readonly signals: Signals;
};
export type Command = {
  readonly summary: string;
  readonly argument?: string;
  readonly options: readonly OptionName[];
  /** What is wrong with the argument. */
  readonly fault?: (argument: string | undefined) => string | undefined;
  readonly run: (call: Call) => Promise<number> | number;
};

/** Every option of every command. */
export const OPTIONS = {
  config: {
    type: 'string',
    short: 'c',
    value: 'FILE',
    help: 'configuration file (default: $BERTH_CONFIG, balancer.yml, or /etc/berth/balancer.yml)',
  },
  resolve: { type: 'boolean', help: 'also warn of servers whose names do not resolve' },
  backend: { type: 'string', value: 'NAME', help: 'whose servers to audit; needed where there are several backends' },
  name: { type: 'string', value: 'HOST[:PORT]', help: 'public name of the registry, as clients write it (required)' },
  ca: { type: 'string', value: 'FILE', help: "PEM of the authorities that clients trust (default: the system's)" },
  user: { type: 'string', value: 'USER', help: 'user for basic authentication' },
  'password-stdin': { type: 'boolean', help: "read the user's password from standard input" },
  repo: { type: 'string', value: 'NAME', help: 'repository to probe in (default: berth-doctor/probe)' },
  write: { type: 'boolean', help: 'also store a small blob on each node, and delete it again' },
  patient: { type: 'boolean', help: 'wait 35 s instead of 4 s for a storage that lags' },
  debug: { type: 'string', value: 'HOST:PORT,…', help: "the nodes' debug addresses (http.debug.addr)" },
  report: { type: 'string', value: 'FILE.md', help: 'also write the report of import to a file' },
  table: {
    type: 'string',
    value: 'DUMP',
    help: "HAProxy's `show table NAME`, to become a state file: no client moves",
  },
  state: { type: 'string', value: 'FILE', help: 'the state file that --table writes (default: berth.state)' },
  json: { type: 'boolean', help: 'print the answer as JSON' },
  help: { type: 'boolean', short: 'h', help: 'this text, or that of a command' },
  version: { type: 'boolean', short: 'V', help: 'the version' },
} as const satisfies Record<string, Option>;
export type Option = {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  readonly value?: string;
  readonly help: string;
};
export type OptionName = keyof typeof OPTIONS;
const DOCTOR = ['backend', 'name', 'ca', 'user', 'password-stdin', 'repo', 'write', 'patient', 'debug'] as const;

/** The command table: what is printed as help, and what is run. */
export const COMMANDS: Record<string, Command> = {
  start: { summary: 'run the balancer in the foreground', options: ['config'], run: start },
  check: {
    summary: 'validate the configuration file',
    argument: '[FILE]',
    options: ['config', 'resolve', 'json'],
    run: check,
  },
  doctor: { summary: 'audit the registry nodes behind a backend', options: ['config', ...DOCTOR, 'json'], run: doctor },
  status: asks('status', 'show what runs: frontends, backends, servers'),
  explain: asks('explain', 'say where a client of this address goes, and why', 'IP'),
  drain: asks('drain', 'let a server keep its clients, and give it no new ones', 'BACKEND/SERVER'),
  maint: asks('maint', 'give a server nothing; its clients are moved', 'BACKEND/SERVER'),
  ready: asks('ready', 'end drain or maint', 'BACKEND/SERVER'),
  reload: asks('reload', 'load the configuration file again, as SIGHUP does'),
  import: {
    summary: 'print the balancer.yml that does what a haproxy.cfg or nginx.conf does',
    argument: 'FILE',
    options: ['report', 'table', 'state'],
    fault: (file) => (file === undefined ? 'import needs a file: berth import haproxy.cfg' : undefined),
    run: runImport,
  },
  schema: { summary: 'print the JSON Schema of balancer.yml', options: [], run: printSchema },
  help: {
    summary: 'say what a command does and takes',
    argument: '[COMMAND]',
    options: [],
    fault: (name) => (name === undefined || Object.hasOwn(COMMANDS, name) ? undefined : unknownCommand(name)),
    run: ({ argument }) => print(help(argument)),
  },
  version: { summary: 'print the version', options: [], run: () => print(VERSION) },
};
/** Commands of later versions: this version says that it lacks them instead of calling them unknown. */
const NOT_YET = ['table'];

/** What is said of a name that no command has. */
export function unknownCommand(name: string): string {
  const known = Object.keys(COMMANDS);
  return NOT_YET.includes(name)
    ? `${name} is not available in this version; there are ${known.join(', ')}`
    : `unknown command ${name}.${didYouMean(name, known) || ` Known: ${known.join(', ')}`}`;
}

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

async function start({ file, signals }: Call): Promise<number> {
  const config = configOrComplain(file, process.stderr);
  if (!config) return 1;
  const { run } = await import('./start.ts');
  // A look-up of a name that is under way would keep the process alive.
  process.exit(await run(config, file, signals));
}

async function check({ file, argument, json, values }: Call): Promise<number> {
  if (argument !== undefined && values['config'] !== undefined) {
    process.stderr.write('berth: check takes FILE or -c FILE, and not both. See berth check --help\n');
    return 2;
  }
  return checkFile({ file: argument ?? file, json, resolve: values['resolve'] === true });
}

async function doctor({ file, json, values }: Call): Promise<number> {
  const config = configOrComplain(file, process.stderr);
  if (!config) return 2;
  const { runDoctor } = await import('../doctor/doctor.ts');
  return runDoctor(config, values, json);
}

async function runImport(call: Call): Promise<number> {
  const { importFile } = await import('./import.ts');
  return importFile(call);
}

function printSchema(): number {
  return print(`${JSON.stringify(jsonSchema(), null, 2)}\n`);
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

/** What `berth version` prints. */
export const VERSION = `berth ${version}\n`;

/** The text of `berth help`, or that of one command. */
export function help(name?: string): string {
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

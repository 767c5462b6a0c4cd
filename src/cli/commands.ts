import { isIP } from 'node:net';
import { jsonSchema } from '../config/schema.ts';
import { didYouMean } from '../config/suggest.ts';
import { parseDuration } from '../config/values.ts';
import { check as checkFile, configOrComplain } from './check.ts';
import { help, VERSION } from './help.ts';
import type { Completes, OptionName } from './options.ts';
import type { Signals } from './signals.ts';

export type Values = Readonly<Record<string, string | boolean | undefined>>;
export type Call = {
  readonly file: string;
  /** The first of `given`. */
  readonly argument: string | undefined;
  readonly given: readonly string[];
  readonly json: boolean;
  readonly values: Values;
  /** Held for `start` alone. */
  readonly signals: Signals;
};
export type Argument = { readonly name: string; readonly optional?: true; readonly completes?: Completes };
export type Command = {
  readonly summary: string;
  readonly arguments?: readonly Argument[];
  readonly options: readonly OptionName[];
  /** What the exit code says, where it is more than 0 and 1. */
  readonly exit?: string;
  /** What is wrong with the arguments, or with the values of options. */
  readonly fault?: (given: readonly string[], values: Values) => string | undefined;
  readonly run: (call: Call) => Promise<number> | number;
};

const DOCTOR = ['backend', 'name', 'ca', 'user', 'password-stdin', 'repo', 'write', 'patient', 'debug'] as const;

const FILE: Argument = { name: 'FILE', completes: 'file' };
const SERVER: Argument = { name: 'BACKEND/SERVER', completes: 'server' };
const IP: Argument = { name: 'IP' };

/** Shells, and what their scripts ask for when a name is to be completed. */
const COMPLETED = ['bash', 'zsh', 'servers', 'backends'];

/** The command table: what is printed as help, what a shell completes, and what is run. */
export const COMMANDS: Record<string, Command> = {
  start: { summary: 'run the balancer in the foreground', options: ['config'], run: start },
  check: {
    summary: 'validate the configuration file',
    arguments: [{ ...FILE, optional: true }],
    options: ['config', 'resolve', 'json'],
    exit: '0 the file is valid, 2 it has problems',
    run: check,
  },
  doctor: {
    summary: 'audit the registry nodes behind a backend',
    options: ['config', ...DOCTOR, 'json'],
    exit: '0 clean, 1 findings, 2 cannot run',
    run: doctor,
  },
  status: {
    summary: 'show what runs: frontends, backends, servers',
    options: ['config', 'watch', 'json'],
    run: async (call) => (await import('./look.ts')).status(call),
  },
  explain: {
    summary: 'say where a client of this address goes, and why',
    arguments: [IP],
    options: ['config', 'watch', 'json'],
    fault: ([ip]) => needs(isIP(ip ?? '') !== 0, 'explain', 'an IP address', '10.0.0.7'),
    run: async (call) => (await import('./look.ts')).explain(call),
  },
  drain: {
    summary: 'let a server keep its clients, and give it no new ones',
    arguments: [SERVER],
    options: ['config', 'wait', 'max', 'json'],
    exit: '0 done, with --wait when no connection is left; 1 connections are left after --max; 130 Ctrl-C',
    fault: ([server], { max, wait }) => serverFault('drain', server) ?? maxFault(max, wait),
    run: async (call) =>
      call.values['wait'] === true
        ? (await import('./drain.ts')).drainAndWait(call)
        : (await import('./change.ts')).setState('drain')(call),
  },
  maint: changesServer('maint', 'give a server nothing; its clients are moved'),
  ready: changesServer('ready', 'end drain or maint'),
  reload: {
    summary: 'load the configuration file again, as SIGHUP does',
    options: ['config', 'json'],
    run: async (call) => (await import('./change.ts')).reload(call),
  },
  import: {
    summary: 'print the balancer.yml that does what a haproxy.cfg or nginx.conf does',
    arguments: [FILE],
    options: ['report', 'table', 'state'],
    exit: '0 all carried, 1 something was not, 2 unreadable',
    fault: ([file]) => (file === undefined ? 'import needs a file: berth import haproxy.cfg' : undefined),
    run: runImport,
  },
  table: {
    summary: 'print which client is bound to which server, for HAProxy to take over',
    options: ['config', 'haproxy', 'ids', 'state'],
    exit: '0 all is printed, 1 HAProxy lacks some servers, 2 nothing can be had',
    fault: (_, { haproxy }) => (haproxy === true ? undefined : 'table needs --haproxy: berth table --haproxy'),
    run: async (call) => (await import('./haproxy-table.ts')).printForHaproxy(call),
  },
  schema: { summary: 'print the JSON Schema of balancer.yml', options: [], run: printSchema },
  completion: {
    summary: 'print a completion script for a shell',
    arguments: [{ name: 'bash|zsh', completes: ['bash', 'zsh'] }],
    options: ['config'],
    fault: ([shell]) => needs(COMPLETED.includes(shell ?? ''), 'completion', 'a shell, bash or zsh', 'bash'),
    run: async (call) => (await import('./completion.ts')).completion(call),
  },
  help: {
    summary: 'say what a command does and takes',
    arguments: [{ name: 'COMMAND', optional: true, completes: 'command' }],
    options: [],
    fault: ([name]) => (name === undefined || Object.hasOwn(COMMANDS, name) ? undefined : unknownCommand(name)),
    run: ({ argument }) => print(help(COMMANDS, argument)),
  },
  version: { summary: 'print the version', options: [], run: () => print(VERSION) },
};

/** What is said of a name that no command has. */
export function unknownCommand(name: string): string {
  const known = Object.keys(COMMANDS);
  return `unknown command ${name}.${didYouMean(name, known) || ` Known: ${known.join(', ')}`}`;
}

function changesServer(state: 'maint' | 'ready', summary: string): Command {
  return {
    summary,
    arguments: [SERVER],
    options: ['config', 'json'],
    fault: ([server]) => serverFault(state, server),
    run: async (call) => (await import('./change.ts')).setState(state)(call),
  };
}

function serverFault(command: string, server = ''): string | undefined {
  return needs(/^[^/]+\/[^/]+$/.test(server), command, 'BACKEND/SERVER', 'docker_registry/s1');
}

function needs(good: boolean, command: string, what: string, example: string): string | undefined {
  return good ? undefined : `${command} needs ${what}: berth ${command} ${example}`;
}

function maxFault(max: Values[string], wait: Values[string]): string | undefined {
  if (typeof max !== 'string') return undefined;
  if (wait !== true) return '--max says how long to wait, so it needs --wait';
  return (parseDuration(max) ?? 0) > 0 ? undefined : `--max takes a duration such as 90s or 10m, not ${max}`;
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

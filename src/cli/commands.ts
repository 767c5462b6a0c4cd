import { isIP } from 'node:net';
import { jsonSchema } from '../config/schema.ts';
import { didYouMean } from '../config/suggest.ts';
import { check as checkFile, configOrComplain } from './check.ts';
import { initFault } from '../init/given.ts';
import { given, ipFault, listFault, maxFault, needs, placeFault, serverFault, tableFault } from './faults.ts';
import { help } from './help.ts';
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
/** `many`: the last argument, once or more often. */
export type Argument = {
  readonly name: string;
  readonly optional?: true;
  readonly many?: true;
  readonly completes?: Completes;
};
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
    fault: ([file], { config }) => (given(file, config) > 1 ? 'check takes FILE or -c FILE, and not both' : undefined),
    run: ({ file, argument = file, json, values }) =>
      checkFile({ file: argument, json, resolve: values['resolve'] === true }),
  },
  init: {
    summary: 'write a balancer.yml for these servers, with the check that fits what they answer',
    arguments: [{ name: '[NAME=]HOST:PORT', many: true }],
    options: ['output', 'bind'],
    exit: '0 written, whatever the servers say; 2 the call is wrong, or the file cannot be written',
    fault: (words, { bind }) => initFault(words, bind),
    run: async (call) => (await import('./init.ts')).init(call),
  },
  doctor: {
    summary: 'audit the registry nodes behind a backend',
    options: ['config', ...DOCTOR, 'json'],
    exit: '0 clean, 1 findings, 2 cannot run',
    run: async (call) => (await import('./doctor.ts')).doctor(call),
  },
  status: {
    summary: 'show what runs: frontends, backends, servers',
    options: ['config', 'sort', 'watch', 'json'],
    fault: (_, values) => listFault('status', values),
    run: async (call) => (await import('./look.ts')).status(call),
  },
  table: {
    summary: 'list the bindings: which client has which server',
    arguments: [{ ...IP, optional: true }],
    options: ['config', 'backend', 'server', 'sort', 'watch', 'json', 'haproxy', 'ids', 'state'],
    exit: '0; with --haproxy: 0 all is printed, 1 HAProxy lacks some servers, 2 nothing can be had',
    fault: ([ip], values) => tableFault(ip, values),
    run: async (call) =>
      call.values['haproxy'] === true
        ? (await import('./haproxy-table.ts')).printForHaproxy(call)
        : (await import('./lists.ts')).table(call),
  },
  connections: {
    summary: 'list the open connections',
    options: ['config', 'backend', 'server', 'client', 'sort', 'watch', 'json'],
    fault: (_, values) => listFault('connections', values),
    run: async (call) => (await import('./lists.ts')).connections(call),
  },
  sessions: {
    summary: 'list who pushes and pulls, the busiest first',
    options: ['config', 'backend', 'server', 'client', 'sort', 'watch', 'json'],
    fault: (_, values) => listFault('sessions', values),
    run: async (call) => (await import('./lists.ts')).sessions(call),
  },
  explain: {
    summary: 'say where a client of this address goes, and why',
    arguments: [IP],
    options: ['config', 'watch', 'json'],
    fault: ([ip]) => needs(isIP(ip ?? '') !== 0, 'explain', 'an IP address', '10.0.0.7'),
    run: async (call) => (await import('./look.ts')).explain(call),
  },
  whois: {
    summary: "say which client an address in a node's log was",
    arguments: [{ name: 'ADDRESS' }],
    options: ['config', 'json'],
    fault: ([from]) =>
      needs(/.:\d+$/.test(from ?? ''), 'whois', 'IP:PORT (remoteaddr of a registry)', '10.0.0.5:50310'),
    run: async (call) => (await import('./look.ts')).whois(call),
  },
  top: {
    summary: 'show servers, busiest clients and events live',
    options: ['config'],
    exit: '0 q or Ctrl-C, 1 the balancer cannot be asked, 2 standard output is no terminal',
    run: async (call) => (await import('./top.ts')).top(call),
  },
  events: {
    summary: 'follow what the log says',
    options: ['config', 'only', 'recent', 'json'],
    fault: (_, { recent }) =>
      recent === undefined || /^\d{1,3}$/.test(String(recent)) ? undefined : '--recent takes a number up to 500',
    run: async (call) => (await import('./events.ts')).events(call),
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
  weight: {
    summary: 'give a server another share of new clients, until a reload changes its weight',
    arguments: [SERVER, { name: 'N' }],
    options: ['config', 'json'],
    fault: ([server, weight = '']) =>
      serverFault('weight', server, ' 3') ??
      needs(/^\d{1,3}$/.test(weight) && Number(weight) <= 256, 'weight', 'a number from 0 to 256', `${server} 3`),
    run: async (call) => (await import('./change.ts')).setWeight(call),
  },
  end: {
    summary: 'end a connection, or those of a server or a client',
    arguments: [{ name: 'ID', optional: true }],
    options: ['config', 'server', 'client', 'json'],
    fault: ([id], { server, client }) =>
      needs(given(id, server, client) === 1, 'end', 'an ID of berth connections, --server B/S or --client IP', '17') ??
      placeFault(server),
    run: async (call) => (await import('./change.ts')).end(call),
  },
  unbind: {
    summary: 'take bindings away; the next connection of these clients is balanced afresh',
    arguments: [{ ...IP, optional: true }],
    options: ['config', 'backend', 'server', 'all', 'json'],
    fault: ([ip], { server, all }) =>
      needs(given(ip, server, all) === 1, 'unbind', 'an IP, --server B/S or --all BACKEND', '10.0.0.7') ??
      ipFault('unbind', ip) ??
      placeFault(server),
    run: async (call) => (await import('./change.ts')).unbind(call),
  },
  reload: {
    summary: 'load the configuration file again, as SIGHUP does',
    options: ['config', 'json'],
    run: async (call) => (await import('./change.ts')).reload(call),
  },
  diff: {
    summary: 'say what a reload would change, and how many clients would move; it changes nothing',
    arguments: [{ ...FILE, optional: true }],
    options: ['config', 'json'],
    exit: '0 nothing would change, 1 something would, 2 the file is wrong or nobody can be asked',
    run: async (call) => (await import('./diff.ts')).diff(call),
  },
  import: {
    summary: 'print the balancer.yml that does what a haproxy.cfg or nginx.conf does',
    arguments: [FILE],
    options: ['report', 'table', 'state'],
    exit: '0 all carried, 1 something was not, 2 unreadable',
    fault: ([file]) => (file === undefined ? 'import needs a file: berth import haproxy.cfg' : undefined),
    run: async (call) => (await import('./import.ts')).importFile(call),
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
  version: { summary: 'print the version', options: [], run: printVersion },
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

async function start({ file, signals }: Call): Promise<number> {
  const config = configOrComplain(file, process.stderr);
  if (!config) return 1;
  const { run } = await import('./start.ts');
  // A look-up of a name that is under way would keep the process alive.
  process.exit(await run(config, file, signals));
}

function printSchema(): number {
  return print(`${JSON.stringify(jsonSchema(), null, 2)}\n`);
}

/** Loaded when it is asked for: tests read the command table where there is no package.json above it. */
async function printVersion(): Promise<number> {
  const { version } = await import('../version.ts');
  return print(`berth ${version}\n`);
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

/** What `man berth` and `man balancer.yml` say: the command table and the schema, as roff. */
import { COMMANDS, type Command } from '../../src/cli/commands.ts';
import { usageOf } from '../../src/cli/help.ts';
import { OPTIONS, type Option, type OptionName } from '../../src/cli/options.ts';
import { jsonSchema } from '../../src/config/schema.ts';
import { sections, type Section } from './keys.ts';
import { bold, entry, example, italic, manual, marked, paragraph, plain, section, subsection } from './roff.ts';

export type Edition = { readonly version: string; readonly date: Date };

/** The order and the short file of the README. */
const SHORTEST = `frontends:
  https_frontend:
    bind: '*:443'
    backend: docker_registry
backends:
  docker_registry:
    servers:
      s1: docker_registry_server1:5000
      s2: docker_registry_server2:5000`;

/** The pages by the names of their files. */
export function manPages(edition: Edition): Readonly<Record<string, string>> {
  return { 'berth.1': commandsPage(edition), 'balancer.yml.5': keysPage(edition) };
}

function commandsPage({ version, date }: Edition): string {
  const blocks = [
    section('Synopsis'),
    `${bold('berth')} ${italic('COMMAND')} [${bold('-c')} ${italic('FILE')}] [options]`,
    section('Description'),
    marked(
      'Berth balances TCP connections over the nodes of a Docker registry. It never decrypts: TLS ends on the nodes. ' +
        'A client that has been given a node keeps it, so that one push or pull, with its several connections, talks ' +
        'to one registry. `berth start` runs the balancer; most other commands ask the one that runs, at the address ' +
        'that `admin.bind` of its configuration file names.',
    ),
    section('Commands'),
    ...Object.entries(COMMANDS).flatMap(([name, command]) => commandBlocks(name, command)),
    section('Options of every command'),
    ...(['help', 'version'] as const).map(optionEntry),
    section('Exit status'),
    marked('0 where all went well, 1 where it did not, 2 for a call that is wrong, unless a command says otherwise.'),
    section('Environment'),
    entry(bold('BERTH_CONFIG'), plain('The configuration file of a call without -c.')),
    entry(bold('NO_COLOR'), plain('Where it is set and not empty, nothing is printed in colours.')),
    entry(
      `${bold('NOTIFY_SOCKET')}, ${bold('WATCHDOG_USEC')}, ${bold('LISTEN_FDS')}, ${bold('LISTEN_FDNAMES')}`,
      plain('What systemd gives to a service: whom to tell, how often, and the sockets that it keeps.'),
    ),
    paragraph(marked('Values of the configuration file may name further variables, as `${NAME}`.')),
    section('Files'),
    entry(
      bold('/etc/berth/balancer.yml'),
      plain('The configuration file of a call without -c, where there is none in the working directory.'),
    ),
    section('Signals'),
    entry(
      `${bold('SIGTERM')}, ${bold('SIGINT')}, ${bold('SIGQUIT')}`,
      marked(
        'Drain and end: nothing new is accepted, and connections may go on for `timeouts.drain`. A second one ends Berth at once.',
      ),
    ),
    entry(`${bold('SIGHUP')}, ${bold('SIGUSR2')}`, plain('Load the configuration file again.')),
    entry(bold('SIGUSR1'), plain('Nothing but a line in the log.')),
    section('See also'),
    `${bold('balancer.yml')}(5)`,
  ];
  const summary = 'a TCP load balancer with sticky sessions for clusters of Docker registry nodes';
  return manual({ name: 'berth', section: 1, summary, source: `Berth ${version}`, date, blocks });
}

function commandBlocks(name: string, command: Command): string[] {
  const exit = command.exit === undefined ? [] : [paragraph(`Exit status: ${plain(command.exit)}.`)];
  return [
    subsection(usageOf(name, command)),
    `${plain(sentence(command.summary))}.`,
    ...command.options.map(optionEntry),
    ...exit,
  ];
}

function optionEntry(name: OptionName): string {
  const { short, value, help }: Option = OPTIONS[name];
  const flags = [...(short === undefined ? [] : [bold(`-${short}`)]), bold(`--${name}`)].join(', ');
  return entry(value === undefined ? flags : `${flags} ${italic(value)}`, `${marked(sentence(help))}.`);
}

function keysPage({ version, date }: Edition): string {
  const blocks = [
    section('Synopsis'),
    bold('/etc/berth/balancer.yml'),
    section('Description'),
    marked(
      'The configuration of `berth`(1), in YAML. `berth check` says what is wrong with a file, with line and column; ' +
        '`berth diff` says what a reload of it would change, and `berth reload` has it loaded. ' +
        'An unknown key is a problem of the file. The shortest file that is of use:',
    ),
    example(SHORTEST),
    section('Values'),
    entry(plain('Durations'), marked('`500ms`, `2s`, `30m`, `1h`, `7d`.')),
    entry(plain('Numbers of entries'), marked('`200k` is 200 000, `1m` is 1 000 000.')),
    entry(
      plain('Variables of the environment'),
      marked('`${NAME}`, or `${NAME:-default}`; `$${` is a literal `${`. Any value may have them.'),
    ),
    entry(plain('Keys that begin with x-'), marked('are ignored, so that anchors have a place; `<<` merges.')),
    section('Keys'),
    marked('`NAME` stands for a name of your own.'),
    ...[...sections(jsonSchema())].flatMap(keyBlocks),
    section('See also'),
    `${bold('berth')}(1)`,
  ];
  const summary = 'configuration of the load balancer Berth';
  return manual({ name: 'balancer.yml', section: 5, summary, source: `Berth ${version}`, date, blocks });
}

function keyBlocks({ path, keys }: Section): string[] {
  const entries = keys.map(({ key, description, isRequired, standard, below }) => {
    const notes = [
      ...(isRequired ? ['required'] : []),
      ...(standard === undefined ? [] : [`default: ${standard}`]),
      ...(below.length > 0 ? [`keys: see ${below.join(', ')}`] : []),
    ];
    const about = notes.length > 0 ? ` (${plain(notes.join('; '))})` : '';
    return entry(`${bold(key)}${about}`, `${marked(description)}.`);
  });
  return [...(path === '' ? [] : [subsection(path)]), ...entries];
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

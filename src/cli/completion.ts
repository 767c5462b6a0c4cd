/** `completion bash|zsh`: scripts made from the command table. They ask for names of what runs when Tab is pressed. */
import { loadAdmin } from '../config/load.ts';
import { AdminClient, rowsOf } from './ask.ts';
import { COMMANDS, type Argument, type Call, type Command } from './commands.ts';
import { OPTIONS, type Completes, type Option, type OptionName } from './options.ts';
import { SORTS, sortsOf } from './sorts.ts';

/** Whoever presses Tab does not wait for long. */
const ANSWER_MS = 1_000;

/** `servers` and `backends` are what the scripts ask: a name a line, and nothing at all where no balancer answers. */
export async function completion({ argument, file }: Call): Promise<number> {
  process.stdout.write(argument === 'bash' ? bash() : argument === 'zsh' ? zsh() : await names(argument, file));
  return 0;
}

async function names(wanted: string | undefined, file: string): Promise<string> {
  const admin = loadAdmin(file);
  if (!admin) return '';
  try {
    const { backends } = await new AdminClient(admin, ANSWER_MS).get('status');
    const all = rowsOf(backends).flatMap(({ name: backend, servers }) =>
      wanted === 'backends'
        ? [String(backend)]
        : rowsOf(servers).map(({ name }) => `${String(backend)}/${String(name)}`),
    );
    return all.map((name) => `${name}\n`).join('');
  } catch {
    return '';
  }
}

const commands = (): [string, Command][] => Object.entries(COMMANDS);
const optionOf = (name: OptionName): Option => OPTIONS[name];
/** Every command has these too. */
const EVERYWHERE = ['help'] as const;

/** For bash, which shows no descriptions. The words are taken from the line, since bash divides names at colons. */
function bash(): string {
  const flagsOf = ({ options }: Command): string =>
    [...options, ...EVERYWHERE]
      .flatMap((name) => [`--${name}`, ...(optionOf(name).short ? [`-${optionOf(name).short}`] : [])])
      .join(' ');
  const valued = (Object.keys(OPTIONS) as OptionName[]).filter((name) => optionOf(name).type === 'string');
  const patternOf = (name: OptionName): string =>
    `--${name}${optionOf(name).short === undefined ? '' : `|-${optionOf(name).short}`}`;
  const commandCases = commands().map(
    ([name, command]) => `        ${name}) _berth_choose '${flagsOf(command)}' ${bashArguments(command)} ;;`,
  );
  const columnCases = Object.keys(SORTS).map((name) => `        ${name}) _berth_words '${sortsOf(name).join(' ')}' ;;`);
  return `# bash completion for berth: source <(berth completion bash)
_berth_offer() {
  case $1 in
    file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    servers | backends) _berth_words "$("$program" completion "$1" "\${config[@]}" 2>/dev/null)" ;;
    columns)
      case $command in
${columnCases.join('\n')}
      esac
      ;;
    *) _berth_words "$1" ;;
  esac
}
_berth_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$current"); }
_berth() {
  local words current previous program command='' position=0 config=() i colons
  COMPREPLY=()
  read -ra words <<<"\${COMP_LINE:0:COMP_POINT}"
  case "\${COMP_LINE:0:COMP_POINT}" in *[[:space:]]) words+=('') ;; esac
  program=\${words[0]} current=\${words[-1]} previous=\${words[-2]}
  for ((i = 1; i < \${#words[@]} - 1; i++)); do
    case \${words[i]} in
      -c | --config) config=(-c "\${words[++i]}") ;;
      ${valued.map(patternOf).join(' | ')}) ((i++)) ;;
      -*) ;;
      *) if [ -z "$command" ]; then command=\${words[i]}; else ((position++)); fi ;;
    esac
  done
  case $previous in
${valued.map((name) => `    ${patternOf(name)}) _berth_offer '${offered(optionOf(name).completes)}' ;;`).join('\n')}
    *)
      case $command in
        '') _berth_words '${commands()
          .map(([name]) => name)
          .join(' ')} --help --version' ;;
${commandCases.join('\n')}
      esac
      ;;
  esac
  # bash replaces what stands after the last colon alone.
  colons=\${current%"\${current##*:}"}
  [ -z "$colons" ] || COMPREPLY=("\${COMPREPLY[@]#"$colons"}")
}
_berth_choose() {
  local flags=$1
  shift
  case $current in
    -*) _berth_words "$flags" ;;
    *) shift "$position" 2>/dev/null && _berth_offer "\${1:-}" ;;
  esac
}
complete -F _berth berth
`;
}

function bashArguments({ arguments: given = [] }: Command): string {
  return given.map(({ completes }) => `'${offered(completes)}'`).join(' ');
}

/** What bash is to offer: a kind that it knows, or words. */
function offered(completes: Completes | undefined): string {
  if (completes === 'server' || completes === 'backend' || completes === 'column') return `${completes}s`;
  if (completes === 'command') return Object.keys(COMMANDS).join(' ');
  return typeof completes === 'object' ? completes.join(' ') : (completes ?? '');
}

function zsh(): string {
  const described = commands().map(([name, { summary }]) => `    ${quoted(`${name}:${summary}`)}`);
  const cases = commands().map(([name, command]) => {
    const specs = [
      ...[...command.options, ...EVERYWHERE].map((option) => zshOption(option, name)),
      ...(command.arguments ?? []).map((argument, i) => zshArgument(argument, i + 1)),
    ];
    return `        ${name}) _arguments ${specs.join(' ')} ;;`;
  });
  const first = (['config', 'help', 'version'] as const).map((option) => zshOption(option)).join(' ');
  return `#compdef berth
# zsh completion for berth: berth completion zsh >"\${fpath[1]}/_berth", or source <(berth completion zsh)
_berth_names() {
  local -a names file
  local asked=$1 i
  shift
  for ((i = 2; i < $#_berth_words; i++)); do
    case $_berth_words[i] in -c | --config) file=(-c $_berth_words[i+1]) ;; --config=*) file=($_berth_words[i]) ;; esac
  done
  names=(\${(f)"$(berth completion $asked $file 2>/dev/null)"})
  (($#names)) && compadd "$@" -a names
}
_berth_servers() { _berth_names servers "$@"; }
_berth_backends() { _berth_names backends "$@"; }
_berth() {
  local curcontext=$curcontext state line
  local -a commands _berth_words
  typeset -A opt_args
  _berth_words=($words)
  commands=(
${described.join('\n')}
  )
  _arguments -C ${first} '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument)
      case $words[1] in
${cases.join('\n')}
      esac
      ;;
  esac
}
if [ "$funcstack[1]" = _berth ]; then _berth "$@"; else compdef _berth berth; fi
`;
}

function zshOption(name: OptionName, command = ''): string {
  const { short, value, help, completes: offers } = optionOf(name);
  const completes = offers === 'column' ? sortsOf(command) : offers;
  const takes = value === undefined ? '' : `:${value.replaceAll(':', '\\:')}:${zshAction(completes)}`;
  const rest = quoted(`[${help.replaceAll(/[[\]]/g, '\\$&')}]${takes}`);
  if (short === undefined) return quoted(`--${name}`) + rest;
  return `'(-${short} --${name})'{-${short},--${name}}${rest}`;
}

function zshArgument({ name, optional, many, completes }: Argument, position: number): string {
  const place = `${many === true ? '*' : position}:${optional === true ? ':' : ''}`;
  return quoted(`${place}${name.replaceAll(':', '\\:')}:${zshAction(completes)}`);
}

function zshAction(completes: Completes | undefined): string {
  if (completes === undefined) return ' ';
  if (completes === 'file') return '_files';
  if (completes === 'server' || completes === 'backend') return `_berth_${completes}s`;
  return `(${offered(completes)})`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** docs/commands.md, made from the command table. */
import { format, resolveConfig } from 'prettier';
import { COMMANDS } from '../../src/cli/commands.ts';
import { usageOf } from '../../src/cli/help.ts';
import { OPTIONS, type Option, type OptionName } from '../../src/cli/options.ts';

export const COMMANDS_PAGE = 'docs/commands.md';

const HEAD = `<!-- Written by \`npm run reference\` from src/cli/commands.ts and src/cli/options.ts: change the words there. -->

# Every command

When to use which is in [operating.md](operating.md). \`berth help COMMAND\` says the same as this page. Exit codes are 0
where all went well, 1 where it did not, and 2 for a call that is wrong, unless a command says otherwise. Every command
has \`--help\`.
`;

/** The whole page, as prettier leaves it. */
export async function commandsPage(): Promise<string> {
  const sections = Object.entries(COMMANDS).map(([name, command]) => {
    const options = command.options.map((option) => `- ${optionLine(option)}`);
    const exit = command.exit === undefined ? [] : [`Exit code: ${command.exit}.`];
    return [`## ${name}`, `\`berth ${usageOf(name, command)}\`: ${command.summary}.`, options.join('\n'), ...exit].join(
      '\n\n',
    );
  });
  const text = [HEAD, ...sections].join('\n\n');
  return format(text, { ...(await resolveConfig(COMMANDS_PAGE)), filepath: COMMANDS_PAGE });
}

function optionLine(name: OptionName): string {
  const { short, value, help }: Option = OPTIONS[name];
  const flag = `--${name}${value === undefined ? '' : ` ${value}`}`;
  return `${short === undefined ? '' : `\`-${short}\`, `}\`${flag}\`: ${help.replaceAll(/\$\w+/g, '`$&`')}`;
}

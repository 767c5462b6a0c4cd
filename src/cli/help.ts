import type { Command } from './commands.ts';
import { OPTIONS, type Option, type OptionName } from './options.ts';

/** The text of `berth help`, or that of one command. */
export function help(commands: Readonly<Record<string, Command>>, name?: string): string {
  const command = name === undefined ? undefined : commands[name];
  if (name !== undefined && command) {
    const options = optionHelp(command.options);
    const usage = `Usage: berth ${usageOf(name, command)}${options && ' [options]'}\n\n`;
    const exit = command.exit === undefined ? '' : `\nExit code: ${command.exit}\n`;
    return `${usage}berth ${name}: ${command.summary}\n${options && `\n${options}`}${exit}`;
  }
  const lines = Object.entries(commands).map(([key, one]) => ({ usage: usageOf(key, one), summary: one.summary }));
  const widest = Math.max(...lines.map(({ usage }) => usage.length));
  return (
    'Berth: a TCP load balancer with sticky sessions for clusters of Docker registry nodes\n\n' +
    'Usage: berth COMMAND [options]\n\nCommands:\n' +
    `${lines.map(({ usage, summary }) => `  ${usage.padEnd(widest)}  ${summary}\n`).join('')}\n` +
    `Options:\n${optionHelp(['config', 'json', 'help', 'version'])}`
  );
}

/** A command and its arguments. */
export function usageOf(name: string, { arguments: given = [] }: Command): string {
  const words = given.map(({ name: word, optional, many }) => {
    if (many === true) return `${word}…`;
    return optional === true ? `[${word}]` : word;
  });
  return [name, ...words].join(' ');
}

function optionHelp(names: readonly OptionName[]): string {
  const lines = names.map((name) => {
    const { short, value, help: does }: Option = OPTIONS[name];
    return { flag: `${short ? `-${short},` : '   '} --${name}${value ? ` ${value}` : ''}`, does };
  });
  const width = Math.max(17, ...lines.map(({ flag }) => flag.length));
  return lines.map(({ flag, does }) => `  ${flag.padEnd(width)}   ${does}\n`).join('');
}

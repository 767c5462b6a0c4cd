/** docs/haproxy-directives.md, made from the tables of the import. */
import { format, resolveConfig } from 'prettier';
import { GLOBAL, PROXY, RESOLVERS, SECTIONS } from '../../src/import/directives.ts';
import { LISTEN, STREAM, UPSTREAM, UPSTREAM_SERVER } from '../../src/import/nginx-directives.ts';
import { BIND, SERVER, UNIX_BIND } from '../../src/import/options.ts';
import type { Outcome, Verdict } from '../../src/import/outcome.ts';

export const DIRECTIVES = 'docs/haproxy-directives.md';

const HEAD = `<!-- Written by \`npm run reference\` from the tables of src/import/: change the answers there. -->

# Every directive that \`berth import\` knows

HAProxy's first, then those of nginx's \`stream\`. \`*\` stands for any ending. Any other word is reported as unknown. [from-haproxy.md](from-haproxy.md) says how to use
the command.
`;

const TABLES: readonly (readonly [string, Record<string, Outcome>])[] = [
  ['global', GLOBAL],
  ['frontend, backend, listen and defaults', PROXY],
  ['Options of bind', BIND],
  ['Options of unix-bind', UNIX_BIND],
  ['Options of server, default-server and server-template', SERVER],
  ['resolvers', RESOLVERS],
  ['Other sections', SECTIONS],
  ['nginx: stream and server', STREAM],
  ['nginx: upstream', UPSTREAM],
  ['nginx: parameters of server in upstream', UPSTREAM_SERVER],
  ['nginx: parameters of listen', LISTEN],
];

const VERDICTS: Record<Verdict, string> = {
  carried: 'Carried over',
  default: "Berth's default already",
  meaningless: 'No meaning here',
  lost: 'Cannot be carried',
};

/** The whole page, as prettier leaves it. */
export async function directives(): Promise<string> {
  const text = [HEAD, ...TABLES.flatMap(([title, table]) => [...section(title, table)])].join('\n');
  return format(text, { ...(await resolveConfig(DIRECTIVES)), filepath: DIRECTIVES });
}

function* section(title: string, table: Record<string, Outcome>): Generator<string> {
  yield `\n## ${title}\n`;
  for (const [verdict, heading] of Object.entries(VERDICTS)) {
    const bySaying = new Map<string, string[]>();
    for (const [word, { is, says }] of Object.entries(table)) {
      if (is === verdict) bySaying.set(says, [...(bySaying.get(says) ?? []), `\`${word}\``]);
    }
    if (bySaying.size > 0) yield `\n${heading}:\n`;
    for (const [says, words] of bySaying) yield `- ${words.join(', ')}: ${says}`;
  }
}

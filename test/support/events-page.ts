/** docs/events.md, made from the table of events. */
import { format, resolveConfig } from 'prettier';
import { FIELDS } from '../../src/event-fields.ts';
import { EVENTS } from '../../src/events.ts';

export const EVENTS_PAGE = 'docs/events.md';

const HEAD = `<!-- Written by \`npm run reference\` from src/events.ts and src/event-fields.ts: change the descriptions there. -->

# Every event of the log

Each line of [the log](operating.md#the-log) has \`level\`, \`time\`, \`event\` and \`msg\`. \`event\` is for programs: a name and
the meaning of its fields stay as they are. \`msg\` is for people. \`level\` is always the same for an event. A field with
a question mark is left out where there is nothing to say.
`;

/** The whole page, as prettier leaves it. */
export async function eventsPage(): Promise<string> {
  const events = Object.entries(EVENTS).map(([name, { level, msg, description, fields }]) => {
    const named = fields.length === 0 ? '' : ` Fields: ${fields.map((field) => `\`${field}\``).join(', ')}.`;
    return `- \`${name}\` (${level}, \`${msg}\`): ${description}${named}`;
  });
  const fields = Object.entries(FIELDS).map(
    ([name, { type, description }]) => `- \`${name}\` (${type}): ${description}`,
  );
  const text = [HEAD, '## Events\n', ...events, '\n## Fields\n', ...fields].join('\n');
  return format(text, { ...(await resolveConfig(EVENTS_PAGE)), filepath: EVENTS_PAGE });
}

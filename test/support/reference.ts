/** docs/reference.md, made from the schema. */
import { format, resolveConfig } from 'prettier';
import { sections, type Section } from '../../deploy/packaging/keys.ts';
import { jsonSchema } from '../../src/config/schema.ts';

export const REFERENCE = 'docs/reference.md';

const HEAD = `<!-- Written by \`npm run reference\` from src/config/schema.ts: change the descriptions there. -->

# Every key of balancer.yml

The README has [a short file](../README.md#a-configuration), and the repository's [balancer.yml](../balancer.yml) has every
key with its default, line by line. \`NAME\` stands for a name of your own. Durations are \`500ms\`, \`2s\`, \`30m\`, \`1h\`,
\`7d\`. An unknown key is a problem of the file.
`;

/** The whole page, as prettier leaves it. */
export async function reference(): Promise<string> {
  const text = [HEAD, ...[...sections(jsonSchema())].flatMap((section) => [...listed(section)])].join('\n');
  return format(text, { ...(await resolveConfig(REFERENCE)), filepath: REFERENCE });
}

function* listed({ path, keys }: Section): Generator<string> {
  if (path !== '') yield `\n${path.includes('.') && !/^\w+\.NAME$/.test(path) ? '###' : '##'} ${path}\n`;
  for (const { key, description, isRequired, standard, below } of keys) {
    const [first] = below;
    const notes = [
      ...(isRequired ? ['required'] : []),
      ...(first === undefined ? [] : [`[keys](#${first.toLowerCase().replaceAll('.', '')})`]),
      ...(standard === undefined ? [] : [`default \`${standard}\``]),
    ];
    yield `- \`${key}\`${notes.length > 0 ? ` (${notes.join('; ')})` : ''}: ${description}`;
  }
}

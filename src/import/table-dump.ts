/** A binding of HAProxy's: the server by its name where the dump has that, and by its number. */
export type DumpedBinding = {
  readonly table: string;
  readonly client: string;
  readonly server: string | number;
  readonly remainingMs: number;
};

/**
 * The bindings in the output of HAProxy's `show table NAME`, of one table or several; entries without a server, such as
 * those that only count, bind nobody. Undefined where the text is no such output.
 */
export function parseTableDump(text: string): DumpedBinding[] | undefined {
  const bindings: DumpedBinding[] = [];
  let table: string | undefined;
  for (const line of text.split('\n')) {
    if (line.startsWith('#')) {
      table = /^# table: ([^,\s]+),/.exec(line)?.[1] ?? table;
      continue;
    }
    if (!line.startsWith('0x')) continue;
    if (table === undefined) return undefined;
    const client = valueOf(line, ' key=');
    const key = valueOf(line, ' server_key=');
    // An entry that `set table` has made has the number alone.
    const name = key === '-' ? undefined : key;
    const number = Number(valueOf(line, ' server_id=') ?? 0);
    if (client === undefined || (name === undefined && !(number > 0))) continue;
    const exp = Number(valueOf(line, ' exp=') ?? 0);
    // A table without `expire` shows 0.
    bindings.push({ table, client, server: name ?? number, remainingMs: exp > 0 ? exp : Infinity });
  }
  return table === undefined ? undefined : bindings;
}

/** By hand: a table has hundreds of thousands of lines. */
function valueOf(line: string, key: string): string | undefined {
  const at = line.indexOf(key);
  if (at < 0) return undefined;
  const from = at + key.length;
  const end = line.indexOf(' ', from);
  return line.slice(from, end < 0 ? undefined : end).trimEnd();
}

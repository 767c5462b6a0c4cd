import { printable } from '../config/locate.ts';
import { crossCheck } from '../config/rules.ts';
import { schema } from '../config/schema.ts';
import { parseBind } from '../config/values.ts';
import { arrivalsOf, writeBackend } from './build-backend.ts';
import { writeFrontend } from './build-frontend.ts';
import { writeTimeouts } from './build-timeouts.ts';
import type { FileDraft } from './draft.ts';
import { Outline } from './outline.ts';
import { carried, subject, type Item } from './outcome.ts';
import { nameOf } from './scalars.ts';
import type { Fault } from './words.ts';

/** A backend that binds clients: the table that HAProxy kept the bindings in, and the servers in HAProxy's order. */
export type TableUse = { readonly table: string; readonly backend: string; readonly servers: readonly string[] };

/** What came of a file: a balancer.yml and what became of each line; or why there is none. */
export type Imported =
  | {
      readonly kind: 'imported';
      readonly yaml: string;
      readonly items: readonly Item[];
      readonly tables: readonly TableUse[];
    }
  | { readonly kind: 'unreadable'; readonly faults: readonly Fault[]; readonly items: readonly Item[] };

/** Writes the balancer.yml of what has been read from the file `name`. */
export function resultOf(name: string, file: FileDraft, stateFile?: string): Imported {
  const { budget } = file;
  const root = budget.fault ? undefined : write(file);
  if (stateFile !== undefined) root?.map('state').set('file', stateFile);
  const items = file.ledger.items();
  if (budget.fault) return { kind: 'unreadable', faults: [budget.fault], items: [] };
  if (!root) {
    const message = 'there is no frontend in TCP mode that leads to a server: nothing that Berth could do';
    return { kind: 'unreadable', faults: [{ line: 1, message }], items };
  }
  const yaml = root.toYaml(head(name, items));
  const wrong = problemsOf(root.toJS()).map((message): Item => ({
    line: 0,
    of: '',
    what: 'balancer.yml',
    is: 'lost',
    says: message,
  }));
  const tables = file.proxies.all.flatMap(({ name: backend, stick, servers }): TableUse[] =>
    stick
      ? [{ table: stick.table ?? backend, backend: nameOf(backend), servers: servers.map((one) => nameOf(one.name)) }]
      : [],
  );
  return { kind: 'imported', yaml, items: [...items, ...wrong], tables };
}

/** A last look at the result; what it finds is a fault of the import, which the operator must hear of. */
function problemsOf(raw: unknown): string[] {
  const issues = schema.safeParse(raw).error?.issues ?? [];
  return [...issues, ...crossCheck(raw)].map(({ path, message }) => `${path.join('.')}: ${message}`);
}

function head(name: string, items: readonly Item[]): string {
  const missing = items
    .filter(({ is }) => is === 'lost')
    .map((item) => printable(`line ${item.line}: ${subject(item)}: ${item.says}`));
  return [
    `Made by berth import from ${printable(name)}; "line 1" in a comment is line 1 of that file.`,
    ...(missing.length > 0 ? ['', 'What could not be carried over:', ...missing] : []),
  ].join('\n');
}

/** The file as a whole; undefined where no frontend is left. */
function write(file: FileDraft): Outline | undefined {
  const proxies = file.proxies.all;
  const root = new Outline();
  const [frontends, backends] = [root.map('frontends'), root.map('backends')];
  const arrivals = arrivalsOf(proxies);
  for (const draft of proxies) if (draft.isBackend) writeBackend(draft, backends, arrivals, file);
  for (const draft of proxies) if (draft.isFrontend) writeFrontend(draft, frontends, backends, file);
  if (frontends.isEmpty || backends.isEmpty) return undefined;
  const used = proxies.filter(({ name, isBackend }) => !isBackend || backends.get(name) || frontends.get(name));
  writeTimeouts(used, root.map('timeouts'), file);
  const global = file.root.map('timeouts');
  for (const key of global.keys) root.map('timeouts').put(key, global.get(key) ?? []);
  writeMetrics(root, file);
  return root.withoutDefaults();
}

/** A frontend may have the port at which Berth's metrics are by default. */
function writeMetrics(root: Outline, { taken, ledger }: FileDraft): void {
  const metrics = ['*:9180', '*:9280', '*:9380'].find((text) => {
    const bind = parseBind(text);
    return bind && !taken.colliding(bind);
  });
  if (metrics === undefined || metrics === '*:9180') return;
  root.map('metrics').set('bind', metrics);
  ledger.note(0, 'metrics', carried(`at ${metrics}, because a frontend has port 9180`));
}

/** How a name that does not end in a dot is completed (resolv.conf(5)). */
export type Search = {
  /** Domains, without a final dot; '' is the root. */
  readonly domains: readonly string[];
  /** A name with at least so many dots is first asked for as it stands. */
  readonly ndots: number;
};

/** As the C library has it. */
const MOST_NDOTS = 15;
/** Nobody has so many; a file that has is not worth as many questions for each name. */
const MOST_DOMAINS = 32;

/** What amends the file (resolv.conf(5)): two variables of the environment, and the name of the machine. */
export type Around = { readonly env: NodeJS.ProcessEnv; readonly hostname: string };

/** Reads a resolv.conf as the C library does: of several `search` and `domain` lines the last one counts. */
export function parseSearch(text: string, { env, hostname }: Around): Search {
  let domains: readonly string[] | undefined;
  let options: readonly string[] = [];
  for (const line of text.split(/\r?\n/)) {
    const [keyword, ...values] = line.split(/[ \t]+/).filter((word, i) => i === 0 || word !== '');
    if (keyword === 'search') domains = values;
    if (keyword === 'domain') domains = values.slice(0, 1);
    if (keyword === 'options') options = [...options, ...values];
  }
  if (env['LOCALDOMAIN'] !== undefined) domains = words(env['LOCALDOMAIN']);
  options = [...options, ...words(env['RES_OPTIONS'] ?? '')];
  const [, own = ''] = /\.(.+)$/.exec(hostname) ?? [];
  const ndots = options.findLast((option) => /^ndots:\d{1,9}$/.test(option))?.slice('ndots:'.length) ?? '1';
  return {
    domains: (domains ?? words(own)).map((domain) => domain.replace(/\.+$/, '')).slice(0, MOST_DOMAINS),
    ndots: Math.min(Number(ndots), MOST_NDOTS),
  };
}

/** What nameservers are asked for a name, in this order, each name without a final dot. */
export function namesToAsk(name: string, { domains, ndots }: Search): string[] {
  if (name.endsWith('.')) return [name.slice(0, -1)];
  const completed = domains.map((domain) => (domain === '' ? name : `${name}.${domain}`));
  const dots = name.split('.').length - 1;
  return [...new Set(dots >= ndots ? [name, ...completed] : [...completed, name])];
}

const words = (text: string): string[] => text.split(/[ \t]+/).filter((word) => word !== '');

import { Resolver } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { isIP, isIPv4 } from 'node:net';
import { hostname } from 'node:os';
import { hostsAddresses } from './hosts.ts';
import { namesToAsk, parseSearch } from './search.ts';

/*
 * The names of this machine: /etc/hosts, localhost, and the nameservers of /etc/resolv.conf with its search list. The
 * system's own look-up, getaddrinfo, is not used anywhere: nothing can end it, it takes up to half a minute where no
 * nameserver answers, it occupies one of libuv's four threads meanwhile, and a process does not exit before it is over.
 */

/** What a name has. */
export type Addresses = {
  /** IPv4 first, because container networks announce IPv6 addresses on which nobody listens. At least one. */
  readonly addresses: readonly string[];
  /** For how long the answer holds; Infinity where no nameserver gave it. */
  readonly ttlSeconds: number;
  /** Families for which no nameserver gave an answer, while one did for the other family. */
  readonly unanswered: readonly (4 | 6)[];
};

/** A target of a service (RFC 2782). */
export type Target = { readonly name: string; readonly port: number; readonly has: Addresses };

/** Why a name has no address now. The message says so in words, and does not repeat the name. */
export class NameFault extends Error {
  /** As Node has it: ENOTFOUND, ENODATA, ETIMEOUT, ESERVFAIL, ECANCELLED, …; or EUNUSABLE. */
  readonly code: string;

  constructor(code: string, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** Where names are looked up; a test has its own. */
export type Sources = {
  readonly hostsFile: string;
  readonly resolvConf: string;
  readonly env: NodeJS.ProcessEnv;
  readonly hostname: string;
  /** Asks the nameservers of now: a resolver reads resolv.conf when it is made. */
  readonly resolver: () => Resolver;
};

/** The first of two attempts waits this long for each nameserver, the second twice as long. */
const ATTEMPT_MS = 1_500;
/** For one name, however many nameservers and domains there are. */
const ANSWER_MS = 5_000;

const SYSTEM: Sources = {
  hostsFile: '/etc/hosts',
  resolvConf: '/etc/resolv.conf',
  env: process.env,
  hostname: hostname(),
  resolver: () => new Resolver({ timeout: ATTEMPT_MS, tries: 2 }),
};

/** The name does not exist, or has no record of this kind. A name that a domain makes too long does not exist. */
const ABSENT: ReadonlySet<string> = new Set(['ENOTFOUND', 'ENODATA', 'EBADNAME', 'EUNUSABLE']);
/** A nameserver has answered, but not this question. It may answer the next: so the C library goes on, too. */
const REFUSED: ReadonlySet<string> = new Set(['ESERVFAIL', 'EREFUSED', 'ENOTIMP', 'EFORMERR']);

/** A service with more targets is answered for with these many: a nameserver must not make us ask without end. */
const MOST_TARGETS = 256;

/** What `name` has; an IP literal has itself. Rejects with a NameFault, at once where `stops` is aborted. */
export async function lookUp(name: string, stops?: AbortSignal, sources = SYSTEM): Promise<Addresses> {
  return withoutAsking(name, sources) ?? (await asking(name, 'address', stops, sources, addressesOf));
}

/**
 * The targets of a service, those without an address left out: they must not keep the others away. Rejects with a
 * NameFault where the service or a target cannot be asked for, at once where `stops` is aborted.
 */
export async function lookUpService(name: string, stops?: AbortSignal, sources = SYSTEM): Promise<readonly Target[]> {
  return asking(name, 'SRV record', stops, sources, async (resolver, service) => {
    const records = await resolver.resolveSrv(service);
    // The root stands for 'there is no such service here' (RFC 2782).
    const offered = records.filter((record) => record.name !== '' && record.port > 0).slice(0, MOST_TARGETS);
    const names = [...new Set(offered.map((record) => record.name))];
    const found = new Map(
      await Promise.all(names.map(async (target) => [target, await targetOf(resolver, target, sources)] as const)),
    );
    return offered.flatMap((record) => {
      const has = found.get(record.name);
      return has ? [{ name: record.name, port: record.port, has }] : [];
    });
  });
}

/** What is known of a name without a nameserver. */
function withoutAsking(name: string, { hostsFile }: Sources): Addresses | undefined {
  if (isIP(name) !== 0) return known([name]);
  const bare = name.toLowerCase().replace(/\.$/, '');
  const listed = hostsAddresses(readText(hostsFile), bare);
  if (listed.length > 0) return known([...listed.filter(isIPv4), ...listed.filter((address) => !isIPv4(address))]);
  // RFC 6761, section 6.3: no nameserver is asked for it.
  return bare === 'localhost' || bare.endsWith('.localhost') ? known(['127.0.0.1', '::1']) : undefined;
}

const known = (addresses: readonly string[]): Addresses => ({ addresses, ttlSeconds: Infinity, unanswered: [] });

/** Asks `question` for each name that the search list makes of `name`, until there is an answer, within ANSWER_MS. */
async function asking<T>(
  name: string,
  record: string,
  stops: AbortSignal | undefined,
  sources: Sources,
  question: (resolver: Resolver, name: string) => Promise<T>,
): Promise<T> {
  const names = namesToAsk(name, parseSearch(readText(sources.resolvConf), sources));
  const resolver = sources.resolver();
  let ended = stops?.aborted === true ? 'ECANCELLED' : undefined;
  const end = (code: string): void => {
    ended ??= code;
    resolver.cancel();
  };
  const stop = (): void => end('ECANCELLED');
  const timer = setTimeout(() => end('ETIMEOUT'), ANSWER_MS);
  stops?.addEventListener('abort', stop, { once: true });
  const codes: string[] = [];
  try {
    for (const asked of names) {
      if (ended !== undefined) break;
      try {
        return await question(resolver, asked);
      } catch (error) {
        if (error instanceof NameFault) throw error;
        const code = ended ?? codeOf(error);
        codes.push(code);
        if (!ABSENT.has(code) && !REFUSED.has(code)) break;
      }
    }
  } finally {
    clearTimeout(timer);
    stops?.removeEventListener('abort', stop);
  }
  throw faultOf(ended ?? worst(codes), record, resolver, names.slice(0, codes.length));
}

/** What a target has; undefined where it has nothing. Its name is whole: the search list is not for it. */
async function targetOf(resolver: Resolver, target: string, sources: Sources): Promise<Addresses | undefined> {
  try {
    return withoutAsking(target, sources) ?? (await addressesOf(resolver, target));
  } catch (error) {
    const code = codeOf(error);
    if (ABSENT.has(code)) return undefined;
    const { message } = faultOf(code, 'address', resolver, [target]);
    throw new NameFault(code, `its target ${target}: ${message}`, error);
  }
}

/** The IPv4 and IPv6 addresses of a name; rejects with an error of Node's where neither family has any. */
async function addressesOf(resolver: Resolver, name: string): Promise<Addresses> {
  const families = await Promise.allSettled([
    resolver.resolve4(name, { ttl: true }),
    resolver.resolve6(name, { ttl: true }),
  ]);
  const records = families.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  const usable = records.map(({ address }) => canonical(address)).filter(isReachable);
  const bad = records.length > 0 ? 'EUNUSABLE' : 'ENODATA';
  const codes = families.map((answer) => (answer.status === 'fulfilled' ? bad : codeOf(answer.reason)));
  if (usable.length === 0) throw Object.assign(new Error('no address'), { code: worst(codes) });
  return {
    addresses: [...new Set([...usable.filter(isIPv4), ...usable.filter((address) => !isIPv4(address))])],
    ttlSeconds: Math.min(...records.map(({ ttl }) => ttl)),
    unanswered: ([4, 6] as const).filter((_, i) => !ABSENT.has(codes[i] ?? '')),
  };
}

/** One spelling for each host: a nameserver may give an IPv4 address as an IPv6 one. */
const canonical = (address: string): string => address.replace(/^::ffff:(?=[\d.]+$)/i, '');

/**
 * Nobody is reached at 0.0.0.0/8, `::`, or a multicast or broadcast address. Nameservers that block a name answer with
 * the unspecified address, which would lead to this machine itself.
 */
const isReachable = (address: string): boolean =>
  !/^(?:0\.|22[4-9]\.|23\d\.|255\.255\.255\.255$|::$|ff[0-9a-f]{2}:)/i.test(address);

/** Of several failures the one that says most: a question that was not answered before a name that is not there. */
function worst(codes: readonly string[]): string {
  const unanswered = codes.find((code) => !ABSENT.has(code) && !REFUSED.has(code));
  const refused = codes.find((code) => REFUSED.has(code));
  return unanswered ?? refused ?? ['EUNUSABLE', 'ENODATA'].find((code) => codes.includes(code)) ?? 'ENOTFOUND';
}

function faultOf(code: string, record: string, resolver: Resolver, asked: readonly string[]): NameFault {
  const servers = resolver.getServers().slice(0, 3).join(', ');
  const names = asked.length > 1 ? ` (asked for ${asked.join(', ')})` : '';
  if (code === 'ENOTFOUND' || code === 'EBADNAME') return new NameFault(code, `the name does not exist${names}`);
  if (code === 'EUNUSABLE')
    return new NameFault(code, `all its addresses are such as 0.0.0.0, where nobody is reached${names}`);
  if (code === 'ENODATA') return new NameFault(code, `the name has no ${record}${names}`);
  if (code === 'ECANCELLED') return new NameFault(code, 'the question was given up');
  if (code === 'ETIMEOUT' || code === 'ECONNREFUSED')
    return new NameFault(code, `no nameserver answers (asked ${servers})`);
  const what = REFUSED.has(code) ? `the nameserver says ${code.slice(1)}` : `it could not be asked for (${code})`;
  return new NameFault(code, `${what} (asked ${servers})`);
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'UNKNOWN';

/** A file that is not there says nothing. Throws a NameFault where this machine lacks the means to read. */
function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const code = codeOf(error);
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(code)) return '';
    throw new NameFault(code, `${file} cannot be read (${code})`, error);
  }
}

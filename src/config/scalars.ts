/** The kinds of scalars that balancer.yml has (durations, whole numbers, names, networks), each with its error text. */
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { isCidr, isHost, NAME_RULE, parseBind, parseDuration, parseEndpoint } from './values.ts';

/**
 * Node keeps a timer in 31 bits of milliseconds, and fires a longer timer at once. 24 days is the last whole day
 * below.
 */
export const LONGEST_TIMER = '24d';
/** Bindings expire without a timer, so a binding may last longer. */
export const LONGEST_EXPIRY = '365d';
/** Linux keeps the time in 15 bits of seconds (tcp(7), TCP_KEEPIDLE). */
export const LONGEST_KEEP_ALIVE = '9h';
/** A Map of V8 holds at most 2^24 entries. */
export const LARGEST_TABLE = '16m';
/** Characters of a token; a shorter one can be guessed. */
export const LEAST_SECRET = 16;

/**
 * A scalar that `parse` reads, which returns undefined for a text that it does not accept; `expected` completes the
 * error.
 */
export function spelled<T>(expected: string, parse: (text: string) => T | undefined) {
  return z.string({ error: `expected ${expected}` }).transform((text, context): T => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.issues.push({ code: 'custom', message: `expected ${expected}`, input: text });
    return z.NEVER;
  });
}

const NOT_ZERO = { min: '1ms', max: LONGEST_TIMER };

export function duration({ min, max }: { min: string; max: string }) {
  const [least, most] = [parseDuration(min) ?? 0, parseDuration(max) ?? 0];
  return spelled(`a duration from ${min} to ${max}, such as 500ms, 2s, 30m or 7d`, (text) => {
    const ms = parseDuration(text);
    return ms !== undefined && ms >= least && ms <= most ? ms : undefined;
  });
}

export const positive = () => duration(NOT_ZERO);
export const zeroOr = () => duration({ min: '0s', max: LONGEST_TIMER });
export const whole = (min: number, max: number) => {
  const error = `expected a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
};
export const yesNo = () => z.boolean({ error: 'expected true or false' });
export const text = () => z.string({ error: 'expected text' });
/** A file that the configuration names, relative to the folder of balancer.yml; load.ts fills in the content. */
export const namedFile = () => text().transform((file) => ({ file, content: '' }));
export const oneOf = <const T extends readonly string[]>(...values: T) =>
  z.enum(values, { error: `expected ${values.length > 1 ? 'one of ' : ''}${values.join(', ')}` });
export const falseOr = <T extends z.ZodType>(schema: T) => z.union([z.literal(false), schema]);

/**
 * A key for which this version has no code: the schema knows the key, and refuses every value but `standard`, so that
 * no file relies on what does not happen.
 */
export function notYet<T extends z.ZodType>(schema: T, standard: z.output<T>) {
  return schema.refine((value) => isDeepStrictEqual(value, standard), { error: 'is not available in this version' });
}

export const bind = () => spelled('"*:PORT", "ADDRESS:PORT", "[IPv6]:PORT" or "unix:/PATH"', parseBind);
export const cidr = () =>
  spelled('an address or a network such as 10.0.0.0/8', (value) => (isCidr(value) ? value : undefined));
export const backendName = () => z.string({ error: 'expected the name of a backend' });

/** The characters that HAProxy allows in names; names stand in metric labels, URLs and Redis keys. */
export const name = () =>
  z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$/, {
    error: NAME_RULE,
  });

/** As clients write it: with the port where they need one, an IPv6 address in brackets; or nothing. */
export const hostHeader = () =>
  spelled('HOST or HOST:PORT, such as registry.example.com', (value) =>
    value === '' ||
    (isHost(value) && !value.includes(':')) ||
    isHost(/^\[(.*:.*)\]$/.exec(value)?.[1] ?? '') ||
    parseEndpoint(value)
      ? value
      : undefined,
  );

export const serverNamePattern = () =>
  z.string().regex(/^(\*\.)?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/i, {
    error: 'expected a name such as registry.example.com or *.example.com',
  });

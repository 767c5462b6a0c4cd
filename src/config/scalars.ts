/** The kinds of scalars that balancer.yml has (durations, whole numbers, names, networks), each with its error text. */
import { isIP } from 'node:net';
import * as z from 'zod';
import { cidrFileOf } from './cidr-file.ts';
import {
  canonicalHost,
  isCidr,
  isHost,
  NAME_RULE,
  parseBind,
  parseDuration,
  parseEndpoint,
  parseMode,
  type Bind,
} from './values.ts';

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
/** The largest number of a group; 2^32 - 1 means none. */
const MOST_ID = 2 ** 32 - 2;
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

const bindText = () => spelled('"*:PORT", "ADDRESS:PORT", "[IPv6]:PORT" or "unix:/PATH"', parseBind);
const GROUP = 'expected a group, by name or number';
const bindMap = () =>
  z
    .strictObject({
      address: bindText().describe('As the short form'),
      reusePort: yesNo()
        .optional()
        .describe(
          'Share the port with other Berths of this user on this machine (SO_REUSEPORT); needs Node 22.12 or later',
        ),
      mode: spelled('a mode in octal digits and quotes, such as "0660"', parseMode)
        .optional()
        .describe('Mode of a unix socket; who may write to the socket may connect'),
      group: z
        .union([z.string().regex(/^[^\s:]+$/, { error: GROUP }), z.int(GROUP).min(0, GROUP).max(MOST_ID, GROUP)], {
          error: GROUP,
        })
        .optional()
        .describe('Group of a unix socket, a name in /etc/group or a number; mode is then "0660" if not given'),
    })
    .transform(({ address, ...options }, context): Bind => {
      const foreign = address.kind === 'unix' ? (['reusePort'] as const) : (['mode', 'group'] as const);
      for (const key of foreign) {
        if (options[key] === undefined) continue;
        const message = `belongs to a ${address.kind === 'unix' ? 'TCP address' : 'unix socket'}`;
        context.issues.push({ code: 'custom', message, path: [key], input: options[key] });
      }
      const { reusePort, mode, group } = options;
      return address.kind === 'unix' ? { ...address, mode, group } : { ...address, reusePort: reusePort === true };
    });
/** A text, or a map with `address`. */
export const bind = () => z.union([bindText(), bindMap()]);
/** One bind or a list: one union, so that the error names each form. */
export const binds = () =>
  z
    .union([bindText(), bindMap(), z.array(bind()).min(1, { error: 'expected at least one address' })])
    .transform((value) => (Array.isArray(value) ? value : [value]));
/** Networks, and files of networks, which load.ts puts in their place. */
export const cidrs = () =>
  z.array(
    spelled('an address, a network such as 10.0.0.0/8, or file:PATH', (value) =>
      isCidr(value) || cidrFileOf(value) !== undefined ? value : undefined,
    ),
  );
/** In its shortest spelling. The unspecified addresses mean every address, which is what an empty list means. */
export const sourceAddress = () =>
  spelled('an IP address of this machine', (value) =>
    isIP(value) === 0 || UNSPECIFIED.includes(canonicalHost(value)) ? undefined : canonicalHost(value),
  );
const UNSPECIFIED = ['0.0.0.0', '::'];
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

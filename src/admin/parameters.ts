import { isIP } from 'node:net';
import * as z from 'zod';

/** A whole number in a query, where everything is a text. */
export const whole = (least: number, most: number) => {
  const error = `expected a whole number from ${least} to ${most}`;
  return z.preprocess(
    (text) => (typeof text === 'string' && /^\d{1,10}$/.test(text) ? Number(text) : text),
    z.int({ error }).min(least, { error }).max(most, { error }),
  );
};

export const yesNo = () => z.stringbool({ truthy: ['true'], falsy: ['false'], error: 'expected true or false' });

export const ipAddress = () =>
  z.string({ error: 'expected an IP address' }).refine((text) => isIP(text) !== 0, { error: 'expected an IP address' });

/** An ISO 8601 time, in UTC. */
export const time = () => z.iso.datetime();

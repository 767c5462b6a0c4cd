/** What a line of the log has to be. */
import assert from 'node:assert/strict';
import { FIELDS, type FieldTypes } from '../../src/event-fields.ts';
import { EVENTS, type EventName } from '../../src/events.ts';

export type LogLine = { readonly msg: string; readonly level: string; readonly [key: string]: unknown };

const IS: { readonly [T in keyof FieldTypes]: (value: unknown) => boolean } = {
  text: (value) => typeof value === 'string',
  number: (value) => typeof value === 'number',
  texts: (value) => Array.isArray(value) && value.every((one) => typeof one === 'string'),
  'text or number': (value) => typeof value === 'string' || typeof value === 'number',
};

/** The line, which must be as the table of events has it: nothing else is ever logged. */
export function readLine(text: string): LogLine {
  const line = JSON.parse(text) as LogLine;
  const { level, time, event, msg, ...rest } = line;
  assert.ok(typeof event === 'string' && Object.hasOwn(EVENTS, event), `the table of events lacks this: ${text}`);
  const kind = EVENTS[event as EventName];
  assert.equal(level, kind.level, text);
  assert.match(String(time), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/, text);
  assert.ok(msg !== '', text);
  const fields: readonly string[] = kind.fields;
  for (const [name, value] of Object.entries(rest)) {
    assert.ok(fields.includes(name) || fields.includes(`${name}?`), `${event} is not known to have ${name}: ${text}`);
    assert.ok(IS[FIELDS[name as keyof typeof FIELDS].type](value), `${name} is not of its type: ${text}`);
  }
  const missing = fields.filter((field) => !field.endsWith('?') && !Object.hasOwn(rest, field));
  assert.deepEqual(missing, [], `${event} lacks fields: ${text}`);
  return line;
}

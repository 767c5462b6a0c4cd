import * as z from 'zod';
import { LOG_LEVELS } from '../../config/schema.ts';
import { route } from '../route.ts';

const level = z.enum(LOG_LEVELS, { error: `expected one of ${LOG_LEVELS.join(', ')}` });

export const logRoute = route({
  method: 'PUT',
  path: '/log',
  summary: 'Write lines of this level and above, until a reload changes log.level',
  body: { kind: 'json', schema: z.strictObject({ level }) },
  answer: z.strictObject({ before: z.enum(LOG_LEVELS), level: z.enum(LOG_LEVELS) }),
})(({ log, body }) => {
  const before = log.level;
  log.level = body.level;
  return { before, level: log.level };
});

import * as z from 'zod';
import { Refusal, route } from '../route.ts';

export const reloadRoute = route({
  method: 'POST',
  path: '/reload',
  summary: 'Load the configuration file again, as SIGHUP does',
  answer: z.strictObject({
    reloaded: z.literal(true),
    changes: z.array(z.string()).describe('What is another now, a sentence each'),
  }),
  refusals: [422],
})(async ({ control }) => {
  const outcome = await control.reload();
  if ('problems' in outcome) return new Refusal(422, { problems: outcome.problems });
  return { reloaded: true, changes: [...outcome.changes] };
});

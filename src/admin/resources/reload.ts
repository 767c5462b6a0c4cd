import { z } from 'zod';
import { Refusal, route } from '../route.ts';

export const reloadRoute = route({
  method: 'POST',
  path: '/reload',
  summary: 'Load the configuration file again, as SIGHUP does',
  answer: z.strictObject({ reloaded: z.literal(true) }),
  refusals: [422],
})(async ({ control }) => {
  const problems = await control.reload();
  return problems.length === 0 ? { reloaded: true } : new Refusal(422, { problems });
});

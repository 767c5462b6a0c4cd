import * as z from 'zod';
import type { Change, Outcome } from '../../control.ts';
import { Refusal, route } from '../route.ts';
import { discreet } from './discreet.ts';

const answer = z.strictObject({
  same: z.boolean().describe('Whether a reload would change nothing'),
  changes: z.array(
    z.strictObject({
      kind: z.enum(['comes', 'leaves', 'changes', 'opens', 'closes']),
      what: z.string().describe('Such as `server docker_registry/s3`'),
      detail: z.string().describe('What is another, before and after'),
      clients: z.int().describe('Clients that lose their server, or find it at another address'),
      connections: z.int().describe('Open connections of what leaves or is elsewhere: they go on'),
    }),
  ),
  clients: z.int().describe('All of these clients'),
  connections: z.int().describe('All of these connections'),
});

export const planRoute = route({
  method: 'GET',
  path: '/plan',
  summary: 'What a reload would change now; it changes nothing',
  answer,
  refusals: [422],
})(async ({ control }) => planned(await control.rehearse()));

export const draftRoute = route({
  method: 'POST',
  path: '/plan',
  summary: 'What a reload would change if this were the file; it changes nothing',
  query: z.strictObject({ name: z.string().max(4_096).optional().describe('What problems call the text') }),
  body: { kind: 'text', types: ['application/yaml', 'text/yaml'], mostBytes: 1 << 20 },
  answer,
  refusals: [415, 422],
  changes: () => false,
})(async ({ control, query: { name = 'balancer.yml' }, body: text }) => {
  return planned(discreet(await control.rehearse({ text, name }), text, name));
});

function planned(outcome: Outcome<Change>): z.input<typeof answer> | Refusal {
  if ('problems' in outcome) return new Refusal(422, { problems: outcome.problems });
  const { changes } = outcome;
  const sum = (key: 'clients' | 'connections'): number => changes.reduce((all, change) => all + change[key], 0);
  return {
    same: changes.length === 0,
    changes: [...changes],
    clients: sum('clients'),
    connections: sum('connections'),
  };
}

import { connectionsRoute, endConnectionRoute, endConnectionsRoute } from './resources/connections.ts';
import { openApiRoute } from './openapi.ts';
import { eventsRoute } from './resources/events.ts';
import { explainRoute } from './resources/explain.ts';
import { logRoute } from './resources/log.ts';
import { draftRoute, planRoute } from './resources/plan.ts';
import { reloadRoute } from './resources/reload.ts';
import { serverRoute } from './resources/servers.ts';
import { sessionsRoute } from './resources/sessions.ts';
import { statusRoute } from './resources/status.ts';
import { tableRoute, unbindRoute } from './resources/table.ts';
import { whoisRoute } from './resources/whois.ts';
import type { Route } from './route.ts';

const TABLE: readonly Route[] = [
  statusRoute,
  tableRoute,
  unbindRoute,
  connectionsRoute,
  endConnectionsRoute,
  endConnectionRoute,
  sessionsRoute,
  explainRoute,
  whoisRoute,
  serverRoute,
  reloadRoute,
  planRoute,
  draftRoute,
  eventsRoute,
  logRoute,
];

/** Every call of the admin API. */
export const ROUTES: readonly Route[] = [...TABLE, openApiRoute(TABLE)];

import { eventsRoute } from './resources/events.ts';
import { explainRoute } from './resources/explain.ts';
import { logRoute } from './resources/log.ts';
import { reloadRoute } from './resources/reload.ts';
import { serverRoute } from './resources/servers.ts';
import { statusRoute } from './resources/status.ts';
import type { Route } from './route.ts';

/** Every call of the admin API. */
export const ROUTES: readonly Route[] = [statusRoute, explainRoute, serverRoute, reloadRoute, eventsRoute, logRoute];

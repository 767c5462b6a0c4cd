/** `npm run reference`: writes the pages that are made from the source. */
import { writeFileSync } from 'node:fs';
import { alerts, ALERTS } from './support/alerts-page.ts';
import { COMMANDS_PAGE, commandsPage } from './support/commands-page.ts';
import { DIRECTIVES, directives } from './support/directives.ts';
import { EVENTS_PAGE, eventsPage } from './support/events-page.ts';
import { dashboard, DASHBOARD } from './support/grafana-dashboard.ts';
import { REFERENCE, reference } from './support/reference.ts';

writeFileSync(REFERENCE, await reference());
writeFileSync(DIRECTIVES, await directives());
writeFileSync(COMMANDS_PAGE, await commandsPage());
writeFileSync(EVENTS_PAGE, await eventsPage());
writeFileSync(ALERTS, await alerts());
writeFileSync(DASHBOARD, await dashboard());

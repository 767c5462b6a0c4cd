import type { FrontendStatus, Status } from './answers.ts';
import { complaint, tally, takesClients } from './condition.ts';
import { byId, h, list, setAttribute, setHidden, setText, type Part } from './dom.ts';
import { bytesPerSecond, clock, count, duration, perSecond, plural } from './format.ts';

type Figure = { readonly name: string; readonly value: string; readonly tone?: 'bad' | 'good' };

/** What is so of the balancer as a whole. */
export function overview(): Part<Status> {
  const figures = list<Figure>(byId('overview'), ({ name }) => name, figurePart);
  const frontends = list<FrontendStatus>(byId('frontends'), ({ name }) => name, frontendPart);
  const trouble = list<string>(byId('trouble-list'), (text) => text, textPart);
  return {
    element: byId('overview'),
    update(status) {
      figures(figuresOf(status));
      frontends(status.frontends);
      const wrong = troubles(status);
      trouble(wrong);
      setHidden(byId('trouble'), wrong.length === 0);
      const { config, version, stage, startedAt, now } = status;
      const age = duration(Date.parse(now) - Date.parse(startedAt));
      setText(byId('identity'), `${version} · ${stage} for ${age}`);
      const loaded = `${config.file}, in force since ${clock(config.loadedAt)}`;
      setText(byId('footer'), `Berth ${version} at ${location.host} · ${loaded}`);
    },
  };
}

function figuresOf({ backends, frontends }: Status): Figure[] {
  const servers = backends.flatMap((backend) => backend.servers);
  const { down, up, standby } = tally(servers);
  const sum = (of: (server: (typeof servers)[number]) => number): number =>
    servers.reduce((all, server) => all + of(server), 0);
  const arriving = frontends.reduce((all, one) => all + one.connectionsPerSecond, 0);
  const waiting = backends.reduce((all, { queue }) => all + queue, 0);
  return [
    { name: 'Taking clients', value: `${up + standby} of ${servers.length}`, tone: down > 0 ? 'bad' : 'good' },
    { name: 'Connections', value: count(frontends.reduce((all, one) => all + one.connections, 0)) },
    { name: 'New a second', value: perSecond(arriving) },
    { name: 'In (push)', value: bytesPerSecond(sum((server) => server.bytesInPerSecond)) },
    { name: 'Out (pull)', value: bytesPerSecond(sum((server) => server.bytesOutPerSecond)) },
    { name: 'Clients bound', value: count(sum(({ clients }) => clients)) },
    { name: 'Waiting', value: count(waiting), ...(waiting > 0 ? { tone: 'bad' as const } : {}) },
    { name: 'Refused', value: count(frontends.reduce((all, one) => all + one.refusedTotal, 0)) },
  ];
}

function figurePart(): Part<Figure> {
  const [name, value] = [h('dt'), h('dd')];
  const element = h('div', {}, name, value);
  return {
    element,
    update(figure) {
      setText(name, figure.name);
      setText(value, figure.value);
      setAttribute(element, 'data-tone', figure.tone);
    },
  };
}

function frontendPart(): Part<FrontendStatus> {
  const name = h('th', { role: 'rowheader', scope: 'row', class: 'who' });
  const addresses = h('td', { role: 'cell', 'data-label': 'Listens on' });
  const numbers = ['Connections', 'New a second', 'Total', 'Refused'].map((label) =>
    h('td', { role: 'cell', class: 'number', 'data-label': label }),
  );
  return {
    element: h('tr', { role: 'row' }, name, addresses, ...numbers),
    update(frontend) {
      setText(name, frontend.name);
      setText(addresses, frontend.addresses.join(', ') || 'nowhere');
      const { connections, connectionsPerSecond, connectionsTotal, refusedTotal } = frontend;
      const values = [
        count(connections),
        perSecond(connectionsPerSecond),
        count(connectionsTotal),
        count(refusedTotal),
      ];
      for (const [i, cell] of numbers.entries()) setText(cell, values[i] ?? '');
    },
  };
}

function textPart(): Part<string> {
  const element = h('li');
  return { element, update: (text) => setText(element, text) };
}

/** More sentences than this hide each other. */
const MOST_TROUBLES = 6;

/** What somebody has to see to, in sentences. */
function troubles(status: Status): string[] {
  const { stage, config, backends } = status;
  const wrong: string[] = [];
  if (stage !== 'running') wrong.push(`Berth is ${stage}: routers are told to send clients elsewhere.`);
  for (const backend of backends)
    if (!takesClients(backend)) wrong.push(`${backend.name}: no server takes new clients.`);
  const lastReload = config.lastReload;
  if (lastReload?.ok === false)
    wrong.push(`The reload of ${clock(lastReload.at)} failed: ${lastReload.problems[0] ?? 'see the log'}`);
  const servers = backends.flatMap(({ name, servers: all }) =>
    all.map((server) => ({ place: `${name}/${server.name}`, server })),
  );
  const ill = servers.flatMap(({ place, server }) => {
    const why = complaint(server);
    if (why === undefined) return [];
    return [`${place} is ${server.up ? 'up' : `down since ${clock(server.since)}`}: ${why}`];
  });
  wrong.push(...ill.slice(0, MOST_TROUBLES));
  if (ill.length > MOST_TROUBLES)
    wrong.push(`And ${plural(ill.length - MOST_TROUBLES, 'server')} more, first in the table.`);
  for (const { name, names } of backends)
    for (const one of names) if (!one.resolves) wrong.push(`${name}: ${one.address} does not resolve: ${one.reason}`);
  return wrong;
}

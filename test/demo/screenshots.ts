/**
 * `npm run screenshots`: pictures of the dashboard in .build/screenshots, from running clusters: three real registry
 * nodes with pushes and pulls under way, one of which dies; and 60 servers.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Browser, Page } from 'playwright-core';
import { Berth } from '../support/berth.ts';
import { launchChromium } from '../support/chromium.ts';
import { Client } from '../support/clients.ts';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { openWorkspace } from '../support/processes.ts';
import { startFront } from '../support/registry-berth.ts';
import { echoes, TestServer } from '../support/servers.ts';
import { QUICK_CHECKS, settings } from '../support/settings.ts';

const FOLDER = join('.build', 'screenshots');
/** So that the charts have something to show. */
const WATCHED_MS = Number(process.argv[2] ?? 60) * 1_000;

const DESKTOP = { viewport: { width: 1440, height: 1000 } };
const WIDE = { viewport: { width: 1920, height: 1080 } };
const PHONE = { viewport: { width: 360, height: 780 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const NIGHT = { colorScheme: 'dark' as const };

async function open(browser: Browser, berth: Berth, how: object): Promise<Page> {
  const { address } = await berth.line(({ event }) => event === 'listening_admin');
  const page = await (await browser.newContext(how)).newPage();
  await page.goto(`http://${String(address)}/`);
  await page.getByText('live', { exact: true }).waitFor();
  return page;
}

async function shoot(page: Page, name: string, fullPage = false): Promise<void> {
  const path = join(FOLDER, `${name}.png`);
  await page.screenshot({ path, fullPage });
  console.log(path);
}

/** Clients that push and pull, each from an address of its own, until they are told to stop. */
async function traffic(cluster: Cluster, port: number, stop: AbortSignal): Promise<void> {
  const image = await cluster.makeImage({ layers: 4, layerBytes: 30_000_000 });
  const each = Array.from({ length: 6 }, async (_, i) => {
    const door = await cluster.connectFrom(`127.0.9.${i + 1}`, port);
    for (let turn = 0; !stop.aborted; turn++) {
      const repository = `team-${i}/app:${turn}`;
      await cluster.push(image, repository, door.port).catch(() => {});
      await cluster.pull(repository, door.port).catch(() => {});
      await pause(500 * i);
    }
  });
  await Promise.all(each);
}

async function registries(browser: Browser): Promise<void> {
  const workspace = openWorkspace();
  const cluster = await startCluster({ workspace, nodes: 3 });
  const berth = await startFront(cluster);
  const stop = new AbortController();
  // One after another: each takes several connections at once, and the admin address gives eight to one source.
  const desktop = await open(browser, berth, DESKTOP);
  const night = await open(browser, berth, { ...DESKTOP, ...NIGHT });
  const phone = await open(browser, berth, PHONE);
  const busy = traffic(cluster, await berth.port(), stop.signal);
  await pause(WATCHED_MS);
  await shoot(desktop, 'desktop', true);
  await cluster.nodes[1]?.kill();
  await desktop.locator('[data-condition=down]').waitFor();
  await desktop.locator('#address').fill('127.0.9.2');
  await desktop.locator('#address').press('Enter');
  await pause(4_000);
  await shoot(desktop, 'desktop-node-down', true);
  await shoot(night, 'night-node-down', true);
  await shoot(phone, 'phone-node-down');
  await shoot(phone, 'phone-whole', true);
  await desktop.locator('button.small').last().click();
  await desktop.getByRole('radio', { name: 'maint' }).check();
  await desktop.locator('#change-do:enabled').waitFor();
  await shoot(desktop, 'change');
  stop.abort();
  await busy;
  await berth.terminate();
  await desktop.getByText(/Berth does not answer/).waitFor();
  await shoot(desktop, 'berth-away');
  await workspace.close();
}

async function sixty(browser: Browser): Promise<void> {
  const server = new TestServer('node', echoes);
  await server.open();
  const dead = new TestServer('dead', echoes);
  await dead.open();
  await dead.close();
  const name = (i: number): string => `node-${String(i + 1).padStart(2, '0')}`;
  const servers = Array.from({ length: 60 }, (_, i) => ({
    name: name(i),
    address: [7, 33].includes(i) ? dead.address : server.address,
  }));
  const berth = new Berth(settings(servers, { ...QUICK_CHECKS, stickTable: {} }));
  const port = await berth.port();
  const clients = Array.from({ length: 240 }, (_, i) => new Client({ port, from: `127.1.${i % 200}.${1 + (i >> 3)}` }));
  const talk = setInterval(() => {
    for (const client of clients) if (Math.random() < 0.2) client.socket.write(Buffer.alloc(20_000 * Math.random()));
  }, 100);
  const pages: Page[] = [];
  for (const how of [WIDE, { ...WIDE, ...NIGHT }, PHONE]) pages.push(await open(browser, berth, how));
  await pause(WATCHED_MS);
  for (const [i, page] of pages.entries()) await shoot(page, ['sixty', 'sixty-night', 'sixty-phone'][i] ?? '');
  clearInterval(talk);
  for (const { socket } of clients) socket.destroy();
  await berth.stop();
  await server.close();
}

mkdirSync(FOLDER, { recursive: true });
const browser = await launchChromium();
try {
  await registries(browser);
  await sixty(browser);
} finally {
  await browser.close();
}

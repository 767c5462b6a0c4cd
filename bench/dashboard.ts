/**
 * What an open dashboard costs the balancer: `npm run bench:dashboard`; `--rounds N`, `--quick`, `--seconds N` (of each
 * idle measurement). Two Berths take turns at the same work, one of them with a page open in a real Chromium: its CPU by
 * that of the other is the ratio of a round. Then the CPU of an idle Berth, without and with a page, by its servers.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Browser, BrowserContext } from 'playwright-core';
import { Berth } from '../test/support/berth.ts';
import { launchChromium } from '../test/support/chromium.ts';
import { echoes, TestServer } from '../test/support/servers.ts';
import { settings } from '../test/support/settings.ts';
import { berth, type Contender } from './contenders.ts';
import { bulk } from './measures/bulk.ts';
import { fresh } from './measures/fresh.ts';
import { cpuSeconds } from './processes.ts';
import { rows, table, type Placed } from './report.ts';
import { Stage } from './stage.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '20' },
  },
});
const { quick } = values;
const rounds = Number(values.rounds ?? (quick ? 1 : 5));
const seconds = Number(values.seconds);

const [OPEN, ALONE] = ['Berth, a dashboard open', 'Berth'];
const LABELS = [OPEN, ALONE];
/** How long a page needs until it asks and hears as it goes on to do. */
const SETTLE_MS = 2_000;

/** Has somebody look at the dashboard; to be closed. */
async function look(browser: Browser, admin: string): Promise<BrowserContext> {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`http://${admin}/`);
  await page.getByText('live', { exact: true }).waitFor();
  await pause(SETTLE_MS);
  return context;
}

/** New connections and bulk on two Berths that take turns. */
async function underLoad(browser: Browser): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'berth-bench-'));
  const plain = berth({ node: process.execPath, cli: resolve('dist/cli.js'), profileFolder: undefined });
  let watched = 0;
  const contenders: readonly Contender[] = LABELS.map((label) => ({
    label,
    prepare(into, listen, ports) {
      if (label === OPEN) watched = listen.admin;
      return plain.prepare(into, listen, ports);
    },
  }));
  const found: Placed[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const [measure, how] of Object.entries({ new: fresh, bulk })) {
      const stage = await Stage.open(round, contenders, folder);
      let page: BrowserContext | undefined;
      try {
        page = await look(browser, `127.0.0.1:${watched}`);
        const readings = await how.read(stage, { quick, size: 1 });
        for (const one of readings) found.push({ measure: measure as 'new' | 'bulk', size: 1, round, ...one });
        process.stderr.write(`round ${round + 1} of ${rounds}: ${measure}\n`);
      } finally {
        await page?.close();
        await stage.close();
      }
    }
  }
  rmSync(folder, { recursive: true });
  const ofCpu = rows(found, LABELS, [ALONE]).filter(({ unit }) => unit.startsWith('CPU'));
  return table(ofCpu, LABELS, [ALONE]);
}

/** Of a core, in percent. */
async function share(pid: number): Promise<number> {
  const before = cpuSeconds(pid);
  await pause(seconds * 1_000);
  return (100 * (cpuSeconds(pid) - before)) / seconds;
}

/** A Berth with so many servers that has nothing to do. */
async function idling(browser: Browser, size: number): Promise<string> {
  const server = new TestServer('s', echoes);
  await server.open();
  const servers = Array.from({ length: size }, (_, i) => ({ name: `s${i + 1}`, address: server.address }));
  const running = new Berth(settings(servers));
  const { address } = await running.line(({ event }) => event === 'listening_admin');
  await pause(5_000);
  const alone = await share(running.pid);
  const page = await look(browser, String(address));
  const open = await share(running.pid);
  await page.close();
  await running.stop();
  await server.close();
  const figures = `${alone.toFixed(2)} % of a core alone, ${open.toFixed(2)} % with a dashboard open`;
  return `${size} servers, nothing to do: ${figures}: ${(open - alone).toFixed(2)} % more`;
}

const browser = await launchChromium();
try {
  console.log(`node ${process.version}, ${rounds > 1 ? `medians of ${rounds} rounds` : 'one round'}\n`);
  console.log(await underLoad(browser));
  for (const size of [2, 60]) console.log(`\n${await idling(browser, size)} (${seconds} s each)`);
} finally {
  await browser.close();
}

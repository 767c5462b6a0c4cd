/**
 * What an open dashboard costs the balancer: the CPU of an idle Berth, without and with a real Chromium that shows the
 * page. `npm run bench:dashboard`; arguments are the number of servers (2 and 60) and the seconds of each measurement.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { Berth } from '../test/support/berth.ts';
import { launchChromium } from '../test/support/chromium.ts';
import { echoes, TestServer } from '../test/support/servers.ts';
import { settings } from '../test/support/settings.ts';

const TICKS_PER_SECOND = 100;
const SECONDS = Number(process.argv[3] ?? 20);
const sizes = process.argv[2] === undefined ? [2, 60] : [Number(process.argv[2])];

function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const [user = 0, system = 0] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
    .map(Number);
  return (user + system) / TICKS_PER_SECOND;
}

/** Of a core, in percent. */
async function share(pid: number): Promise<number> {
  const before = cpuSeconds(pid);
  await pause(SECONDS * 1_000);
  return (100 * (cpuSeconds(pid) - before)) / SECONDS;
}

for (const size of sizes) {
  const server = new TestServer('s', echoes);
  await server.open();
  const servers = Array.from({ length: size }, (_, i) => ({ name: `s${i + 1}`, address: server.address }));
  const berth = new Berth(settings(servers));
  const { address } = await berth.line(({ event }) => event === 'listening_admin');
  await pause(5_000);
  const alone = await share(berth.pid);
  const browser = await launchChromium();
  const page = await browser.newPage();
  await page.goto(`http://${String(address)}/`);
  await page.getByText('live', { exact: true }).waitFor();
  await pause(2_000);
  const watched = await share(berth.pid);
  await browser.close();
  await berth.stop();
  await server.close();
  const cost = (watched - alone).toFixed(2);
  const figures = `${alone.toFixed(2)} % of a core alone, ${watched.toFixed(2)} % with a dashboard open: ${cost} % more`;
  console.log(`${size} servers: ${figures} (${SECONDS} s each, node ${process.version})`);
}

/** The dashboard in a real browser: what it shows, and what an operator does with it. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { start, type Berth } from '../support/berth.ts';
import { openDashboard, type Dashboard, type View } from '../support/browser.ts';
import { Client } from '../support/clients.ts';
import { serverStatus, setState } from '../support/operator.ts';
import { serve, type TestServer } from '../support/servers.ts';
import { QUICK_CHECKS, settings } from '../support/settings.ts';

/** How much later than the event the page may show what has happened. */
const SHOWN_WITHIN_MS = 2_000;

type Scene = { readonly berth: Berth; readonly servers: readonly TestServer[]; readonly dashboard: Dashboard };

async function scene(t: TestContext, view?: View): Promise<Scene> {
  const servers = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings(servers, QUICK_CHECKS));
  const dashboard = await openDashboard(t, berth, view);
  await dashboard.stands('s1', 'up');
  return { berth, servers, dashboard };
}

/** A client of its own address that stays, and the server that it has. */
async function arrive(t: TestContext, berth: Berth, from: string): Promise<{ client: Client; server: string }> {
  const client = new Client({ port: await berth.port(), from });
  t.after(() => client.socket.destroy());
  return { client, server: await client.line() };
}

test('a node that dies is shown within two seconds of its event, by the clock of the page', async (t) => {
  const { berth, servers, dashboard } = await scene(t, { before: (page) => page.clock.install() });
  const { page } = dashboard;
  await page.getByText('live', { exact: true }).waitFor();
  assert.equal(await page.title(), 'Berth');
  // How long it takes on this machine, from the time of the event in the log: a figure to read, whatever it is.
  await page.evaluate(`
    globalThis.shownAt = new Promise((resolve) => {
      const watch = new MutationObserver(() => {
        if (document.querySelector('[data-condition=down]')) resolve(Date.now());
      });
      watch.observe(document.querySelector('#backends'), { subtree: true, attributes: true });
    });
    undefined`);
  await servers[1]!.close();
  const line = await berth.change('server down', 's2');
  await dashboard.stands('s2', 'down');
  const afterMs = (await page.evaluate<number>('shownAt')) - Date.parse(String(line['time']));
  t.diagnostic(`shown ${afterMs} ms after the event`);
  assert.equal(await page.title(), '1 down · Berth');
  assert.match(await page.locator('#trouble').innerText(), /b\/s2 is down since \d\d:\d\d:\d\d: .*refused/);
  await dashboard.isSound();

  await servers[1]!.open();
  await dashboard.stands('s2', 'up');
  assert.equal(await page.title(), 'Berth');
  assert.equal(await page.locator('#trouble').isVisible(), false);

  // The page's clock stands still from here on, and is moved by less than two seconds when the event is there.
  await dashboard.stopClock();
  await servers[0]!.close();
  await page.locator('.event[data-level="warn"]').getByText('b/s1: server down').waitFor();
  await page.clock.runFor(SHOWN_WITHIN_MS - 1);
  await dashboard.stands('s1', 'down');
});

test('a drain says first that no client moves, and is made when that is confirmed', async (t) => {
  const { berth, dashboard } = await scene(t);
  const { page } = dashboard;
  await arrive(t, berth, '127.0.7.1');
  await page.getByRole('button', { name: 'Change s1 of b' }).click();
  const dialog = page.getByRole('dialog', { name: 'Change s1 of b' });
  await dialog.getByRole('radio', { name: 'drain' }).check();
  await dialog.getByText('No client would move.').waitFor();
  assert.equal((await serverStatus(berth, 's1'))?.state, 'ready', 'nothing has changed yet');
  await dashboard.isSound();
  await dialog.getByRole('button', { name: 'Set drain' }).click();
  await dashboard.stands('s1', 'drain');
  assert.equal((await serverStatus(berth, 's1'))?.state, 'drain');
  assert.equal(await dialog.isVisible(), false);
  await page.getByRole('status').getByText('s1 is drain, weight 1; no client has to move').waitFor();
  await dashboard.isSound();
});

test('of a server that is down the dialog says that its clients move in any case', async (t) => {
  const { berth, servers, dashboard } = await scene(t);
  const { page } = dashboard;
  const { client, server } = await arrive(t, berth, '127.0.7.1');
  await client.finish();
  await servers.find(({ name }) => name === server)!.close();
  await dashboard.stands(server, 'down');
  await page.getByRole('button', { name: `Change ${server} of b` }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('radio', { name: 'drain' }).check();
  await dialog.getByText('It is down: 1 client moves with the next connection in any case.').waitFor();
  await dialog.getByRole('radio', { name: 'maint' }).check();
  await dialog.getByText('1 client would move, each with its next connection.').waitFor();
  await dashboard.isSound();
});

test('maint says how many clients would move; a cancelled change changes nothing', async (t) => {
  const { berth, dashboard } = await scene(t);
  const { page } = dashboard;
  const arrived = [];
  for (const from of ['127.0.7.1', '127.0.7.2', '127.0.7.3', '127.0.7.4']) arrived.push(await arrive(t, berth, from));
  const bound = arrived.filter(({ server }) => server === 's2').length;
  assert.equal(bound, 2);
  await page.getByRole('button', { name: 'Change s2 of b' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('radio', { name: 'maint' }).check();
  await dialog.getByText('2 clients would move').waitFor();
  await dialog.getByText('2 open connections would go on').waitFor();
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  assert.equal((await serverStatus(berth, 's2'))?.state, 'ready');

  await setState(berth, 's1', 'drain');
  await dashboard.stands('s1', 'drain');
  await page.getByRole('button', { name: 'Change s2 of b' }).click();
  await dialog.getByRole('radio', { name: 'maint' }).check();
  await dialog.getByText('Then no server of b takes new clients!').waitFor();
  await dialog.getByRole('button', { name: 'Set maint' }).click();
  await dashboard.stands('s2', 'maint');
  assert.match(await page.locator('#trouble').innerText(), /b: no server takes new clients/);
  await dashboard.isSound();
});

test('a weight is changed, and stands beside that of the file', async (t) => {
  const { berth, dashboard } = await scene(t);
  const { page } = dashboard;
  await page.getByRole('button', { name: 'Change s1 of b' }).click();
  const weight = page.getByRole('spinbutton', { name: 'Weight' });
  const confirm = page.locator('#change-do');
  await weight.fill('300');
  await page.getByText('A weight is a whole number from 0 to 256').waitFor();
  assert.equal(await confirm.isDisabled(), true);
  await weight.fill('0');
  await page.getByRole('button', { name: 'Set weight 0' }).and(page.locator(':enabled')).click();
  await dashboard.stands('s1', 'no new');
  assert.equal((await serverStatus(berth, 's1'))?.weight, 0);
  await dashboard.row('s1').getByText('of 1').waitFor();
  await dashboard.isSound();
});

test('an address is explained; a wrong one says what is wrong', async (t) => {
  const { berth, dashboard } = await scene(t);
  const { page } = dashboard;
  const { server } = await arrive(t, berth, '127.0.7.9');
  const field = page.getByRole('textbox', { name: /Address of a client/ });
  await field.fill('127.0.7.9');
  await field.press('Enter');
  const found = page.locator('#found');
  await found.getByText(`Bound to ${server}, which is up and takes its clients.`).waitFor();
  await dashboard.isSound();
  await field.fill('registry.example.com');
  await page.getByRole('button', { name: 'Explain', exact: true }).click();
  await found
    .getByText(/registry\.example\.com/)
    .and(page.locator('.fault'))
    .waitFor();
  await dashboard.isSound();
});

test('sessions under way are shown, and lead to their client; whois names who stood behind an address', async (t) => {
  const { berth, dashboard } = await scene(t);
  const { page } = dashboard;
  const { client, server } = await arrive(t, berth, '127.0.7.9');
  client.socket.write(Buffer.alloc(200_000));
  const session = page.locator('#sessions-rows tr').filter({ hasText: '127.0.7.9' });
  await session.getByText(server, { exact: true }).waitFor();
  await session.getByRole('button', { name: 'Explain 127.0.7.9' }).click();
  await page.locator('#found').getByText(`Bound to ${server}`).waitFor();
  await dashboard.isSound();

  await client.finish();
  const { from } = (await berth.connections(1))[0]!;
  await page.locator('#address').fill(String(from));
  await page.locator('#address').press('Enter');
  await page.locator('#found').getByText('was 127.0.7.9').waitFor();
  await dashboard.isSound();
});

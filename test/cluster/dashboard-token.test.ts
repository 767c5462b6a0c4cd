/** The dashboard and its enemies: a token that it keeps, strangers' texts in what it shows, and its own policy. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { start } from '../support/berth.ts';
import { openDashboard } from '../support/browser.ts';
import { reload } from '../support/operator.ts';
import { serve } from '../support/servers.ts';
import { QUICK_CHECKS, settings } from '../support/settings.ts';

const TOKEN = 'a token with 32 characters or so';

test('a token is asked for, a wrong one is said to be wrong, and none is ever part of an address', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings(servers, QUICK_CHECKS, { admin: { bind: '127.0.0.1:0', token: TOKEN } }));
  const dashboard = await openDashboard(t, berth);
  const { page } = dashboard;
  const field = page.getByLabel('Token', { exact: true });
  await field.waitFor();
  assert.equal(await page.title(), 'log in · Berth');
  assert.equal(await page.locator('#content').isVisible(), false);
  assert.equal(await page.evaluate<string>('document.activeElement.id'), 'token');
  await dashboard.isSound();

  await field.fill('another token, just as long as that');
  await field.press('Enter');
  await page.getByText('This token is wrong.').waitFor();
  await dashboard.isSound();

  await field.fill(TOKEN);
  await page.getByRole('button', { name: 'Log in' }).click();
  await dashboard.stands('s1', 'up');
  await page.getByText('live', { exact: true }).waitFor();
  await dashboard.isSound();

  await page.reload();
  await dashboard.stands('s1', 'up');
  const kept = await page.evaluate<string>('JSON.stringify([sessionStorage, localStorage, document.cookie])');
  assert.equal(kept, JSON.stringify([{ 'berth-token': TOKEN }, {}, '']), 'in this tab alone');
  const traces = await page.evaluate<string[]>(
    '[location.href, document.referrer, String(history.length), ...performance.getEntries().map(({ name }) => name)]',
  );
  const parts = TOKEN.split(' ');
  for (const address of [...traces, ...dashboard.asked]) {
    assert.ok(!parts.some((part) => part.length > 4 && address.includes(part)), address);
  }
  const state = traces[0];
  assert.equal(state, `${dashboard.url}/`);

  await page.getByRole('button', { name: 'Log out' }).click();
  await field.waitFor();
  assert.equal(await page.evaluate<number>('sessionStorage.length'), 0);
  assert.equal(await page.getByText('s1', { exact: true }).count(), 0, 'nothing that was shown is left');
  const asked = dashboard.asked.length;
  await page.goBack();
  assert.equal(await page.getByText('s1', { exact: true }).count(), 0, 'nor one step back');
  assert.ok(dashboard.asked.length >= asked);
});

test('a token that is changed by a reload is asked for again, and the page forgets what it showed', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const file = (token: string) => settings(servers, QUICK_CHECKS, { admin: { bind: '127.0.0.1:0', token } });
  const berth = await start(t, file(TOKEN));
  const dashboard = await openDashboard(t, berth);
  const { page } = dashboard;
  await page.getByLabel('Token', { exact: true }).fill(TOKEN);
  await page.getByLabel('Token', { exact: true }).press('Enter');
  await dashboard.stands('s1', 'up');
  await reload(berth, file('another token, just as long as that'));
  await page.getByText('This token is wrong.').waitFor();
  assert.equal(await page.locator('#content').isVisible(), false);
  assert.equal(await page.locator('.event').count(), 0);
  await dashboard.isSound();
});

/** Would set `document.hit` if it came to life. */
const MARKUP = `"><img src=x onerror="document.hit=1"><script>document.hit=2</script>`;

test('markup in what the balancer says is text', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings(servers, QUICK_CHECKS));
  const dashboard = await openDashboard(t, berth);
  const { page } = dashboard;
  await dashboard.stands('s1', 'up');
  // From a file, into the event and the status of a reload that failed.
  await reload(berth, settings(servers, QUICK_CHECKS, { [MARKUP]: 1 }));
  await page.locator('#trouble').getByText('<img src=x').waitFor();
  await page.locator('.event').getByText('<img src=x').first().waitFor();
  assert.match(await page.title(), /reload failed/);
  // From the person at the keyboard, by the balancer's answer.
  await page.locator('#address').fill(MARKUP);
  await page.locator('#address').press('Enter');
  await page.locator('#found').getByText('<img').waitFor();
  await dashboard.isSound();
  assert.equal(await page.evaluate('document.hit'), undefined);
});

test('markup in each text of each answer is text', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings(servers, QUICK_CHECKS));
  const dashboard = await openDashboard(t, berth);
  const { page } = dashboard;
  await dashboard.stands('s1', 'up');
  // As if every name, address and reason were a stranger's. Times and words that Berth alone chooses stay.
  const own = new Set(['now', 'since', 'at', 'startedAt', 'loadedAt', 'state', 'stage', 'storage', 'level']);
  const hostile = (key: string, value: unknown): unknown =>
    typeof value === 'string' && !own.has(key) ? `${value}${MARKUP}` : value;
  await page.route(/\/api\/v1\/(status|sessions|explain|servers)/, async (route) => {
    const answer = await route.fetch();
    const body = JSON.stringify(await answer.json(), (key, value) => (key === 'up' ? false : hostile(key, value)));
    await route.fulfill({ response: answer, body });
  });
  await dashboard.stands(`s1${MARKUP}`, 'down');
  await page.locator('#address').fill('127.0.7.9');
  await page.locator('#address').press('Enter');
  await page.locator('#found').getByText(MARKUP).first().waitFor();
  await page.locator('.servers button.small').first().click();
  await page.locator('#change-now').getByText(MARKUP).waitFor();
  await dashboard.isSound();
  assert.equal(await page.evaluate('document.hit'), undefined);
  assert.equal(await page.evaluate(`document.querySelectorAll('img:not(.brand img), main script').length`), 0);
  await page.unrouteAll({ behavior: 'ignoreErrors' });
});

test('the page is four files, has its policy broken by nothing, and could make no markup or code of a text', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const berth = await start(t, settings(servers, QUICK_CHECKS));
  const dashboard = await openDashboard(t, berth);
  const { page } = dashboard;
  await page.getByText('live', { exact: true }).waitFor();
  const files = dashboard.asked
    .map((url) => url.slice(dashboard.url.length))
    .filter((path) => !path.startsWith('/api'));
  assert.deepEqual(new Set(files), new Set(['/', '/dashboard/main.css', '/dashboard/main.js', '/dashboard/icon.svg']));
  assert.ok(files.length <= 5, files.join(' '));
  await dashboard.isSound();
  // The address is a page's own: what runs there is held to the policy as the page's script is.
  for (const attempt of [
    `document.querySelector('#found').innerHTML = '<b>markup</b>'`,
    `document.querySelector('#found').insertAdjacentHTML('beforeend', '<b>markup</b>')`,
    `document.createElement('script').src = '/dashboard/main.js'`,
    `setTimeout('document.hit = 1')`,
    `trustedTypes.createPolicy('any', { createHTML: (text) => text })`,
  ]) {
    const refused = await page.evaluate<string>(
      `(() => { try { ${attempt}; return ''; } catch (e) { return e.name; } })()`,
    );
    assert.match(refused, /^(Type|Eval)Error$/, attempt);
  }
  assert.equal(await page.evaluate('document.hit'), undefined);
  assert.equal((await dashboard.violations()).length, 5);
});

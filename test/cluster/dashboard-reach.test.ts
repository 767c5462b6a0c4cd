/** The dashboard for everybody and everywhere: keyboard, screen reader, phone, night, many servers, a balancer away. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { start, type Berth } from '../support/berth.ts';
import { openDashboard, type Dashboard, type View } from '../support/browser.ts';
import { serverStatus, setState } from '../support/operator.ts';
import { refusing, serve } from '../support/servers.ts';
import { QUICK_CHECKS, RARE_CHECKS, settings, type Given } from '../support/settings.ts';

/** How long the page may take to say that the balancer is away. */
const SAID_WITHIN_MS = 2_000;
const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };

async function scene(t: TestContext, options: View = {}): Promise<{ berth: Berth; dashboard: Dashboard }> {
  const [s1] = await serve(t, ['s1']);
  const berth = await start(t, settings([s1!, { name: 's2', address: await refusing() }], QUICK_CHECKS));
  await berth.change('server down', 's2');
  const dashboard = await openDashboard(t, berth, options);
  await dashboard.stands('s2', 'down');
  return { berth, dashboard };
}

/** Presses Tab until the focus is where it is wanted. */
async function tabTo({ page }: Dashboard, name: string): Promise<void> {
  const label = `document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim()`;
  for (let i = 0; i < 60; i++) {
    if ((await page.evaluate<string>(label)) === name) return;
    await page.keyboard.press('Tab');
  }
  assert.fail(`no Tab leads to ${name}`);
}

test('a server is drained by the keyboard alone; the focus is seen, and stays where it is while figures change', async (t) => {
  const { berth, dashboard } = await scene(t);
  const { page } = dashboard;
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate('document.activeElement.textContent'), 'Skip to the servers');
  await page.keyboard.press('Enter');
  await tabTo(dashboard, 'Change s1 of b');
  const outline = await page.evaluate<string>('getComputedStyle(document.activeElement).outlineStyle');
  assert.equal(outline, 'solid');
  await dashboard.looks(3);
  assert.equal(await page.evaluate(`document.activeElement.getAttribute('aria-label')`), 'Change s1 of b');
  await page.keyboard.press('Enter');
  await page.getByText('This is how it is now').waitFor();
  assert.equal(await page.evaluate('document.activeElement.value'), 'ready');
  await page.keyboard.press('ArrowDown');
  await page.getByText('No client would move.').waitFor();
  await page.getByRole('button', { name: 'Set drain' }).and(page.locator(':enabled')).waitFor();
  await dashboard.looks(2);
  assert.equal(await page.evaluate('document.activeElement.value'), 'drain', 'a look changes nothing in the dialog');
  await page.keyboard.press('Enter');
  await dashboard.stands('s1', 'drain');
  assert.equal((await serverStatus(berth, 's1'))?.state, 'drain');
  assert.equal(await page.evaluate(`document.activeElement.getAttribute('aria-label')`), 'Change s1 of b');
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Escape');
  assert.equal(await page.getByRole('dialog').isVisible(), false);
});

test('a screen reader hears of changes, and of no figure', async (t) => {
  const { berth, dashboard } = await scene(t);
  const { page } = dashboard;
  await page.evaluate(`
    globalThis.heard = [];
    for (const region of document.querySelectorAll('[role=status], [role=alert], [aria-live]'))
      new MutationObserver(() => heard.push(region.textContent)).observe(region, { subtree: true, childList: true, characterData: true });`);
  await dashboard.looks(4);
  assert.deepEqual(await page.evaluate('heard'), []);
  await setState(berth, 's1', 'drain');
  await page.getByRole('status').getByText('b/s1 is drain').waitFor();
  await dashboard.looks(2);
  assert.deepEqual(await page.evaluate('heard'), ['b/s1 is drain']);
  const picture = dashboard.row('s1').getByRole('img').first();
  assert.match(
    (await picture.getAttribute('aria-label')) ?? '',
    /^connections, last 5 minutes: now 0, between 0 and 0$/,
  );
});

for (const [where, options] of Object.entries({
  'on a phone': PHONE,
  'on a phone at night': { ...PHONE, colorScheme: 'dark' as const },
  'at night': { colorScheme: 'dark' as const },
  'by day': { colorScheme: 'light' as const },
  'on a narrow window': { viewport: { width: 900, height: 700 } },
  'on a wide one': { viewport: { width: 1920, height: 1080 } },
})) {
  test(`the page and its dialog are sound ${where}`, async (t) => {
    const { berth, dashboard } = await scene(t, options);
    const { page } = dashboard;
    await setState(berth, 's1', 'maint');
    await dashboard.stands('s1', 'maint');
    await dashboard.isSound();
    await page.locator('#address').fill('2001:db8:ffff:ffff:ffff:ffff:ffff:ffff');
    await page.locator('#address').press('Enter');
    await page.locator('#found h4').waitFor();
    await dashboard.isSound();
    await page.getByRole('button', { name: 'Change s1 of b' }).click();
    await page.getByText('This is how it is now').waitFor();
    await dashboard.isSound();
  });
}

test('nothing moves by itself for who wants no motion', async (t) => {
  const { dashboard } = await scene(t, { reducedMotion: 'reduce' });
  await dashboard.looks(1);
  assert.equal(await dashboard.page.evaluate('document.getAnimations().length'), 0);
  assert.equal(await dashboard.page.evaluate('getComputedStyle(document.documentElement).scrollBehavior'), 'auto');
});

test('with 60 servers those in trouble come first, and a filter, a tick and an order find the others', async (t) => {
  const [live] = await serve(t, ['live']);
  const dead = await refusing();
  const many: Given[] = Array.from({ length: 60 }, (_, i) => ({
    name: `node-${i + 1}`,
    address: i === 30 ? dead : live!.address,
  }));
  const berth = await start(t, settings(many, RARE_CHECKS));
  await berth.change('server down', 'node-31');
  await setState(berth, 'node-41', 'drain');
  const dashboard = await openDashboard(t, berth);
  const { page } = dashboard;
  await dashboard.stands('node-31', 'down');
  const names = page.locator('.servers tbody .who .first');
  const first = async (count: number): Promise<string[]> => (await names.allInnerTexts()).slice(0, count);
  assert.equal(await names.count(), 60);
  assert.deepEqual(await first(4), ['node-31', 'node-41', 'node-1', 'node-2']);
  assert.match(await page.locator('.facts').innerText(), /^58 up, 1 down, 1 drain/);
  await dashboard.isSound();

  await page.getByLabel('Filter').fill('node-5 ');
  assert.equal(await names.count(), 11);
  await page.getByLabel('Filter').fill('');
  await page.getByLabel('only those that are not up').check();
  assert.deepEqual(await first(9), ['node-31', 'node-41']);
  await page.getByLabel('only those that are not up').uncheck();
  await page.getByRole('button', { name: 'Server', exact: true }).click();
  assert.deepEqual(await first(3), ['node-1', 'node-2', 'node-3']);
  assert.equal(await page.getByRole('columnheader', { name: 'Server' }).getAttribute('aria-sort'), 'ascending');

  // Who is about to press a button finds it where it was.
  await page.getByRole('button', { name: 'State', exact: true }).click();
  await page.getByRole('button', { name: 'Change node-2 of b' }).focus();
  await setState(berth, 'node-50', 'maint');
  await dashboard.stands('node-50', 'maint');
  assert.deepEqual(await first(4), ['node-31', 'node-41', 'node-1', 'node-2']);
  await page.getByLabel('Filter').focus();
  await dashboard.looks(2);
  assert.deepEqual(await first(3), ['node-31', 'node-50', 'node-41']);
});

test('a balancer that is away is said to be away, and the page goes on by itself when it is back', async (t) => {
  const servers = await serve(t, ['s1', 's2']);
  const admin = { bind: await refusing() };
  const file = settings(servers, QUICK_CHECKS, { admin });
  const first = await start(t, file);
  const dashboard = await openDashboard(t, first, { before: (page) => page.clock.install() });
  const { page } = dashboard;
  await page.getByText('live', { exact: true }).waitFor();
  // The page's clock stands still, and is moved by less than two seconds when the page has heard that the events ended.
  await dashboard.stopClock();
  await first.stop();
  await page.locator('#link:not([data-link="live"])').waitFor();
  await page.clock.runFor(SAID_WITHIN_MS - 1);
  await page
    .getByText(/Berth does not answer, since/)
    .first()
    .waitFor();
  assert.equal(await page.title(), 'no answer · Berth');
  await page.clock.resume();
  await dashboard.isSound();

  const second = await start(t, file);
  await page.locator('#notice', { hasText: 'Berth was started anew at' }).waitFor();
  await page.getByText('live', { exact: true }).waitFor();
  assert.equal(await page.title(), 'Berth');
  await setState(second, 's1', 'drain');
  await dashboard.stands('s1', 'drain');
  await dashboard.isSound();
});

test('a page that nobody sees asks nothing, but for what has happened', async (t) => {
  const { berth, dashboard } = await scene(t, { before: (page) => page.clock.install() });
  const { page } = dashboard;
  await page.getByText('live', { exact: true }).waitFor();
  const see = (state: 'hidden' | 'visible'): Promise<unknown> =>
    page.evaluate(`
      Object.defineProperty(document, 'visibilityState', { value: '${state}', configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));`);
  await dashboard.looks(1);
  await see('hidden');
  await page.clock.fastForward(1_000);
  const asked = dashboard.asked.length;
  await page.clock.fastForward(30_000);
  await setState(berth, 's1', 'maint');
  await dashboard.stands('s1', 'maint');
  const asks = dashboard.asked.slice(asked).filter((url) => url.endsWith('/status'));
  assert.ok(asks.length > 0 && asks.length <= 2, `${asks.length} questions for one change`);

  // A browser has six connections to an address: a tab that is looked at takes those of tabs that are not.
  const other = await page.context().newPage();
  await other.goto(`${dashboard.url}/`);
  await other.getByText('live', { exact: true }).waitFor();
  await page.waitForFunction(`document.title === 'asleep · Berth'`);
  await see('visible');
  await dashboard.looks(3);
  await page.getByText('live', { exact: true }).waitFor();
  assert.equal(await page.title(), '1 down · Berth');
});

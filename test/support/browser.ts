/** The dashboard as people see it: Debian's Chromium, driven from outside, at the admin address of a running Berth. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, type TestContext } from 'node:test';
import type { Browser, BrowserContextOptions, Locator, Page } from 'playwright-core';
import type { AxeResults } from 'axe-core';
import type { Berth } from './berth.ts';
import { launchChromium } from './chromium.ts';
import { PATIENCE_MS } from './waiting.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** One browser for all tests of a file, launched by the first of them. */
let browser: Promise<Browser> | undefined;
after(async () => (await browser)?.close());

/** What the page has done that it must not do. */
type Misdeeds = { readonly errors: string[]; readonly foreign: string[] };

/** Has the page keep what the browser has refused it by its Content-Security-Policy. */
const WATCH = `
  globalThis.violations = [];
  addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI, sample }) =>
    violations.push([effectiveDirective, blockedURI, sample].join(' ')));`;

export class Dashboard {
  readonly page: Page;
  readonly url: string;
  /** Every address that was asked for. */
  readonly asked: string[] = [];
  readonly #misdeeds: Misdeeds = { errors: [], foreign: [] };

  constructor(page: Page, url: string) {
    this.page = page;
    this.url = url;
    page.setDefaultTimeout(PATIENCE_MS);
    page.on('pageerror', (error) => this.#misdeeds.errors.push(error.stack ?? error.message));
    page.on('request', (request) => {
      this.asked.push(request.url());
      if (!request.url().startsWith(`${url}/`)) this.#misdeeds.foreign.push(request.url());
    });
    page.on('console', (message) => {
      // Chromium says so of every answer that is no success, and of every balancer that is away.
      const isOfNetwork = message.text().startsWith('Failed to load resource');
      if (['error', 'warning'].includes(message.type()) && !isOfNetwork) this.#misdeeds.errors.push(message.text());
    });
  }

  /** The row of a server. */
  row(server: string): Locator {
    const name = this.page.locator('.who .first').getByText(server, { exact: true });
    return this.page.locator('.servers tbody tr').filter({ has: name });
  }

  /** The row, as soon as its state is called so. */
  async stands(server: string, condition: string): Promise<void> {
    await this.row(server)
      .and(this.page.locator(`[data-condition="${condition}"]`))
      .waitFor();
  }

  /** Resolves when so many further answers to `status` have been shown. */
  async looks(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.page.waitForResponse(/\/api\/v1\/status$/);
  }

  /** Has the page's clock stand still, where it was installed: nothing that waits for a time happens by itself. */
  async stopClock(): Promise<void> {
    await this.page.clock.pauseAt((await this.page.evaluate<number>('Date.now()')) + 3_000);
  }

  /** What axe-core finds in the page as it is now. */
  async findings(): Promise<string[]> {
    await this.page.evaluate(AXE);
    const { violations } = await this.page.evaluate<AxeResults>('axe.run()');
    return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html}: ${node.failureSummary}`));
  }

  /** Nothing was asked of others, no policy was violated, no script failed, axe finds nothing, nothing is too wide. */
  async isSound(): Promise<void> {
    assert.deepEqual(await this.findings(), []);
    const tooWide = await this.page.evaluate<number>('document.documentElement.scrollWidth - innerWidth');
    assert.ok(tooWide <= 0, `the page is ${tooWide} pixels wider than the window`);
    assert.deepEqual(await this.violations(), []);
    assert.deepEqual(this.#misdeeds, { errors: [], foreign: [] });
  }

  /** What the browser has refused the page by its policy. */
  violations(): Promise<string[]> {
    return this.page.evaluate('violations');
  }
}

export type View = BrowserContextOptions & {
  /** What is done to the page before it is there. */
  readonly before?: (page: Page) => Promise<void>;
};

/** The dashboard of a Berth in a browser of its own: no cookie, no storage of another test. */
export async function openDashboard(
  t: TestContext,
  berth: Berth,
  { before, ...options }: View = {},
): Promise<Dashboard> {
  const { address } = await berth.line(({ event }) => event === 'listening_admin');
  browser ??= launchChromium();
  const context = await (await browser).newContext({ viewport: { width: 1280, height: 900 }, ...options });
  t.after(() => context.close());
  const dashboard = new Dashboard(await context.newPage(), `http://${String(address)}`);
  await dashboard.page.addInitScript(WATCH);
  await before?.(dashboard.page);
  await dashboard.page.goto(`${dashboard.url}/`);
  return dashboard;
}

import { chromium, type Browser } from 'playwright-core';

/** Debian's Chromium, without a window. Root has no sandbox, and a container has little of /dev/shm. */
export function launchChromium(): Promise<Browser> {
  const args = ['--no-sandbox', '--disable-dev-shm-usage'];
  return chromium.launch({ executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', args });
}

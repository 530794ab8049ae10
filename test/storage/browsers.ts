/** Browsers with a page of ours in them, driven from outside: for tests of what a page alone cannot do, such as being closed. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, type LaunchOptions, launch, type Page } from 'puppeteer-core';
import { findPeer, type Peer } from '../peers/debian.ts';
import { bundleForSuite } from './bundle-for-suite.ts';

export interface PageServer {
  url: string;
  close(): void;
}

/** Bundles a module around the suite's harness and serves it to a page, under the policy that the library works with. */
export async function servePage(entry: string): Promise<PageServer> {
  const script = await bundleForSuite(entry);
  const server = createServer((request, response) => {
    const isScript = request.url === '/page.mjs';
    response.writeHead(200, {
      'Content-Type': isScript ? 'text/javascript' : 'text/html',
      'Content-Security-Policy': "default-src 'none'; script-src 'self'; connect-src 'self'; worker-src 'self'",
    });
    response.end(
      isScript ? script : '<!doctype html><title>stowage</title><script type="module" src="/page.mjs"></script>',
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Starts a browser with a profile of its own, for as long as `task` takes. `preferences` are Chromium's, as it keeps them in its profile. */
export async function withBrowser<T>(
  peer: Extract<Peer, 'chromium' | 'firefox-esr'>,
  task: (browser: Browser) => Promise<T>,
  options: LaunchOptions = {},
  preferences?: object,
): Promise<T> {
  const profile = mkdtempSync(join(tmpdir(), 'stowage-browser-'));
  if (preferences !== undefined) {
    mkdirSync(join(profile, 'Default'));
    writeFileSync(join(profile, 'Default/Preferences'), JSON.stringify(preferences));
  }
  const browser = await launch({
    browser: peer === 'chromium' ? 'chrome' : 'firefox',
    executablePath: findPeer(peer),
    userDataDir: profile,
    headless: true,
    protocolTimeout: 600_000,
    ...options,
    args: [...(peer === 'chromium' ? chromiumFlags : []), ...(options.args ?? [])],
  });
  try {
    return await task(browser);
  } finally {
    await browser.close().catch(() => {});
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

/** Calls an action of the page, once its script has run. */
export async function call<T>(page: Page, action: string, ...args: unknown[]): Promise<T> {
  await page.waitForFunction('globalThis.opfs !== undefined');
  return (await page.evaluate(
    (name, given) =>
      (globalThis as unknown as { opfs: Record<string, (...args: unknown[]) => unknown> }).opfs[name]?.(...given),
    action,
    args,
  )) as T;
}

const chromiumFlags = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
];

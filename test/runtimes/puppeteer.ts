/** Chromium and Firefox, as Debian packages them, driven by Puppeteer: by its own protocol the one, by WebDriver BiDi the other. */
import { mkdirSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { launch } from 'puppeteer-core';
import { cache } from './bundle.ts';
import type { SuiteEvent } from './harness.ts';
import { servePage } from './page-server.ts';
import type { Running } from './runtime.ts';

/** Opens the suite's page in a browser with a profile of its own. */
export async function startBrowser(
  browser: 'chrome' | 'firefox',
  program: string,
  flags: readonly string[],
  bundle: string,
  tell: (event: SuiteEvent) => void,
): Promise<Running> {
  mkdirSync(cache, { recursive: true });
  const profile = mkdtempSync(join(cache, `${browser}-`));
  let isRunning = false;
  const server = await servePage(bundle, (event) => {
    isRunning = true;
    tell(event);
  });
  const launched = await launch({
    browser,
    executablePath: program,
    args: [...flags],
    userDataDir: profile,
    headless: true,
    protocolTimeout: 600_000,
  }).catch((error) => {
    server.close();
    throw error;
  });
  const ended = new Promise<string>((resolve) => {
    launched.once('disconnected', () => resolve('the browser ended'));
  });
  const page = await launched.newPage();
  const broken = new Promise<string>((resolve) => {
    page.on('pageerror', (error) => {
      // Once tests run, they tell of their own failures, and the browser counts what concerns nobody: streams that end
      // badly, and an icon that it asks for and may not have.
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      if (!isRunning && !text.includes('/favicon.ico')) resolve(`the page failed: ${text}`);
    });
    page.once('error', (error) => resolve(`the page crashed: ${error.message}`));
  });
  await page.goto(server.url);
  return {
    version: /\d[\w.]*/.exec(await launched.version())?.[0] ?? 'unknown',
    ended: Promise.race([ended, broken]),
    stop: async () => {
      server.close();
      // A page that hangs would keep the browser from closing; it leads a process group of its own.
      const child = launched.process();
      if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null) {
        const gone = new Promise((resolve) => child.once('exit', resolve));
        process.kill(-child.pid, 'SIGKILL');
        await gone;
      }
      // What a dying process still writes there may stay.
      await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }).catch(() => {});
    },
  };
}

/** WebKit, as WebKitGTK's small browser, from Debian's `webkit2gtk-driver`: driven by plain WebDriver, on a screen of memory. */
import { existsSync, readdirSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { findPeer } from '../peers/debian.ts';
import { servePage } from './page-server.ts';
import { lineOf, type Runtime, startProgram } from './runtime.ts';

const environment = {
  WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1',
  WEBKIT_DISABLE_COMPOSITING_MODE: '1',
  LIBGL_ALWAYS_SOFTWARE: '1',
};

export const webkit: Runtime = {
  name: 'webkit',
  inside: 'page',
  source: 'Debian packages webkit2gtk-driver and xvfb',
  find: () => (findPeer('Xvfb') !== undefined && miniBrowser() !== undefined ? findPeer('WebKitWebDriver') : undefined),
  start: async (program, bundle, tell) => {
    const server = await servePage(bundle, tell);
    const screen = startProgram(findPeer('Xvfb') as string, [
      '-displayfd',
      '3',
      '-screen',
      '0',
      '800x600x24',
      '-nolisten',
      'tcp',
    ]);
    const stops = [async () => server.close(), screen.stop];
    const stop = async (): Promise<void> => {
      for (const next of stops.splice(0).reverse()) await next();
    };
    try {
      const display = await lineOf(screen.child.stdio[3] as Readable, /^\d+$/);
      const port = await freePort();
      const driver = startProgram(program, [`--port=${port}`], { ...environment, DISPLAY: `:${display}` });
      stops.push(driver.stop);
      const call = (path: string, body: object): Promise<unknown> =>
        command(`http://127.0.0.1:${port}/session${path}`, body);
      await listening(`http://127.0.0.1:${port}/status`);
      const options = { binary: miniBrowser(), args: ['--automation'] };
      const { sessionId, capabilities } = (await call('', {
        capabilities: { alwaysMatch: { 'webkitgtk:browserOptions': options } },
      })) as { sessionId: string; capabilities: { browserVersion: string } };
      await call(`/${sessionId}/url`, { url: server.url });
      return { version: capabilities.browserVersion, ended: driver.ended, stop };
    } catch (error) {
      await stop();
      throw error;
    }
  },
};

/** It stands among the libraries, in a directory by the machine's architecture. */
function miniBrowser(): string | undefined {
  const libraries = existsSync('/usr/lib') ? readdirSync('/usr/lib') : [];
  return libraries.map((name) => join('/usr/lib', name, 'webkit2gtk-4.1/MiniBrowser')).find((path) => existsSync(path));
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function listening(url: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await fetch(url);
      return;
    } catch (error) {
      if (tries === 100) throw error;
      await delay(100);
    }
  }
}

async function command(url: string, body: object): Promise<unknown> {
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
  const { value } = (await response.json()) as { value: { error?: string; message?: string } };
  if (!response.ok) throw new Error(`WebDriver: ${value.error}: ${value.message}`);
  return value;
}

import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'puppeteer-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OpfsStorage } from '../../src/storage/opfs.ts';
import { peerTest } from '../peers/peers.ts';
import type { SuiteEvent } from '../runtimes/harness.ts';
import { call, type PageServer, servePage, withBrowser } from './browsers.ts';

/** Browsers start slowly on a busy machine. In milliseconds. */
const patience = 300_000;

let server: PageServer;

beforeAll(async () => {
  server = await servePage(join(import.meta.dirname, 'opfs-page.ts'));
});
afterAll(() => server.close());

async function open(browser: { newPage(): Promise<Page> }): Promise<Page> {
  const page = await browser.newPage();
  await page.goto(server.url);
  return page;
}

function expectAllPassed(events: SuiteEvent[]): void {
  const ended = events.filter((event) => event.event === 'end');
  expect(ended.flatMap(({ test: name, failure }) => (failure === undefined ? [] : [`${name}: ${failure}`]))).toEqual(
    [],
  );
  expect(ended.length).toBeGreaterThan(50);
}

test('OPFS missing, as in Node, is RUNTIME_UNSUPPORTED for whatever is asked', async () => {
  const storage = new OpfsStorage();
  for (const ask of [
    () => storage.stat('a'),
    () => storage.read('a'),
    () => storage.create(),
    () => storage.delete('a'),
    () => storage.exclusive('a', async () => {}),
    () => storage.list('')[Symbol.asyncIterator]().next(),
  ]) {
    await expect(ask()).rejects.toMatchObject({ code: 'RUNTIME_UNSUPPORTED' });
  }
});

describe('OpfsStorage in Chromium', () => {
  peerTest(
    ['chromium'],
    'keeps the storage contract in a window',
    () => withBrowser('chromium', async (browser) => expectAllPassed(await call(await open(browser), 'suite'))),
    patience,
  );

  peerTest(
    ['chromium'],
    'keeps the storage contract in a Worker, by synchronous handles too',
    () => withBrowser('chromium', async (browser) => expectAllPassed(await call(await open(browser), 'suiteInWorker'))),
    patience,
  );

  peerTest(
    ['chromium'],
    'two tabs that tag 500 images each in one layout lose none',
    () =>
      withBrowser('chromium', async (browser) => {
        const [left, right] = [await open(browser), await open(browser)];
        await Promise.all([call(left, 'tagMany', 'left', 500), call(right, 'tagMany', 'right', 500)]);
        expect(await call(left, 'countTags')).toBe(1000);
      }),
    patience,
  );

  peerTest(
    ['chromium'],
    'what a tab closed half-way left is gone when the next one opens',
    () =>
      withBrowser('chromium', async (browser) => {
        const [closed, open2] = [await open(browser), await open(browser)];
        expect((await call<string[]>(closed, 'leaveUnfinished')).length).toBeGreaterThan(0);
        // While the tab lives, its file does too.
        expect(await call(open2, 'afterReopening')).toEqual(['.stowage']);
        await closed.close();
        await open2.reload();
        expect(await call(open2, 'afterReopening')).toEqual([]);
      }),
    patience,
  );

  peerTest(
    ['chromium'],
    'a layout whose tab was closed in the midst of writes is whole in the next one, and nothing unfinished stays',
    () =>
      withBrowser('chromium', async (browser) => {
        const next = await open(browser);
        for (let round = 0; round < 5; round++) {
          const closed = await open(browser);
          await call(closed, 'writeWithoutEnd');
          await closed.close();
          await next.reload();
          const found = await call<{ blobs: number; tags: number }>(next, 'afterWriting');
          expect(found).toMatchObject({ faults: [], names: ['blobs', 'index.json', 'oci-layout'] });
          expect(found.blobs).toBeGreaterThan(20);
          expect(found.tags).toBeGreaterThan(5);
        }
      }),
    patience,
  );

  peerTest(
    ['chromium'],
    'where the data of sites is blocked, which leaves no such files, is PERMISSION_DENIED',
    () =>
      withBrowser(
        'chromium',
        async (browser) => {
          expect(await call(await open(browser), 'refused')).toMatchObject({ code: 'PERMISSION_DENIED' });
        },
        {},
        { profile: { default_content_setting_values: { cookies: 2 } } },
      ),
    patience,
  );

  peerTest(
    ['chromium'],
    'quota used up is QUOTA_EXCEEDED with what is needed and left, and nothing stays',
    () =>
      withBrowser('chromium', async (browser) => {
        const page = await open(browser);
        const session = await page.createCDPSession();
        const origin = new URL(server.url).origin;
        await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 8 * 1024 * 1024 });
        const told = await call<Record<string, unknown>>(page, 'fill');
        expect(told).toMatchObject({ ours: true, code: 'QUOTA_EXCEEDED', names: [], again: 'ARGUMENT_INVALID' });
        expect((told.details as { needed: number }).needed).toBeGreaterThanOrEqual(7 * 1024 * 1024);
        expect(told.message).toMatch(/needs at least \d+ bytes/);
      }),
    patience,
  );
});

/** Drops a folder of this machine on the page: the one way to a real handle that needs no dialog. */
async function drop(page: Page, folder: string): Promise<void> {
  const session = await page.createCDPSession();
  const data = { items: [], files: [folder], dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
    await session.send('Input.dispatchDragEvent', { type, x: 50, y: 50, data });
  }
}

describe('OpfsStorage over a folder of the user in Chromium', () => {
  peerTest(
    ['chromium'],
    'lists and reads it, and leaves nothing in it',
    () =>
      withBrowser('chromium', async (browser) => {
        const folder = mkdtempSync(join(tmpdir(), 'stowage-picked-'));
        mkdirSync(join(folder, 'inner'));
        writeFileSync(join(folder, 'inner/file'), 'from the disk');
        const page = await open(browser);
        await page.waitForFunction('globalThis.opfs !== undefined');
        await drop(page, folder);
        expect(await call(page, 'readPicked')).toEqual({
          files: ['inner/file'],
          text: 'from the disk',
          stat: { size: 13 },
        });
        expect(readdirSync(folder, { recursive: true }).sort()).toEqual(['inner', 'inner/file']);
        rmSync(folder, { recursive: true });
      }),
    patience,
  );

  for (const [permission, guard] of [
    ['prompt', 3],
    ['denied', 2],
  ] as const) {
    peerTest(
      ['chromium'],
      `where the permission to write is "${permission}", each write is refused, waits for nobody and leaves nothing`,
      () =>
        withBrowser(
          'chromium',
          async (browser) => {
            const folder = mkdtempSync(join(tmpdir(), 'stowage-picked-'));
            mkdirSync(join(folder, '.stowage'));
            // As a tab that was closed left it: not even to tidy up is the user asked.
            const files = ['.stowage', `.stowage/tmp-${'0'.repeat(32)}`, 'file'];
            for (const file of files.slice(1)) writeFileSync(join(folder, file), 'from the disk');
            const page = await open(browser);
            await page.waitForFunction('globalThis.opfs !== undefined');
            await drop(page, folder);
            const refused = {
              code: 'PERMISSION_DENIED',
              message: expect.stringContaining("requestPermission({ mode: 'readwrite' })"),
            };
            expect(await call(page, 'writePicked', 'file')).toEqual({
              permission,
              answers: [refused, refused, refused, refused],
            });
            expect(readdirSync(folder, { recursive: true }).sort()).toEqual(files);
            rmSync(folder, { recursive: true });
          },
          {},
          { profile: { default_content_setting_values: { file_system_write_guard: guard } } },
        ),
      patience,
    );
  }
});

describe('OpfsStorage in Firefox', () => {
  for (const [place, action] of [
    ['a window', 'suite'],
    ['a Worker', 'suiteInWorker'],
  ] as const) {
    peerTest(
      ['firefox-esr'],
      `keeps the storage contract in ${place}`,
      () => withBrowser('firefox-esr', async (browser) => expectAllPassed(await call(await open(browser), action))),
      patience,
    );
  }

  peerTest(['firefox-esr'], 'a private window, which has no such files, is PERMISSION_DENIED', () =>
    withBrowser(
      'firefox-esr',
      async (browser) => {
        expect(await call(await open(browser), 'refused')).toMatchObject({ code: 'PERMISSION_DENIED' });
      },
      { extraPrefsFirefox: { 'browser.privatebrowsing.autostart': true } },
    ),
  );
});

/** The browser example in Chromium: what is dropped and typed on the page becomes an archive that skopeo takes and runc runs. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, launch, type Page } from 'puppeteer-core';
import { afterAll, describe, expect } from 'vitest';
import { createLayer, Image, saveTarball } from '../../src/index.ts';
import { fromFile, writeFile } from '../../src/node/index.ts';
import { findPeer } from '../peers/debian.ts';
import { busyboxPath, peerTest, run, runWithRunc, temporaryDirectory } from '../peers/peers.ts';
import { type ServedExample, serveBrowserExample } from './serve-browser-example.ts';

const root = join(import.meta.dirname, '../..');
const screenshots = join(root, '.cache/screenshots');
const script = '#!/bin/sh\necho "$GREETING from $0"\n';

let served: Promise<ServedExample> | undefined;
let launched: Promise<Browser> | undefined;
let profile: string | undefined;

afterAll(async () => {
  await (await launched)?.close();
  if (profile !== undefined) rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  await (await served)?.close();
});

describe('the browser example', () => {
  peerTest(
    ['chromium', 'busybox', 'root', 'skopeo', 'umoci', 'runc'],
    'makes of a dropped base and a file an archive that skopeo takes, which runs under runc',
    async () => {
      const { page, problems, downloads } = await openPage();
      await look(page, '1-empty');

      await drop(page, '#base', [await busyboxArchive()]);
      await settled(page, 'Read busybox.tar.');
      expect(await text(page, '#base-name')).toBe('busybox:1');
      expect(await text(page, '#base-layers')).toContain('linux/amd64');
      expect(await page.$$eval('#base-layers .layer', (layers) => layers.length)).toBe(1);
      await look(page, '2-base');

      const greet = join(temporaryDirectory(), 'greet');
      writeFileSync(greet, script);
      await drop(page, '#files', [greet]);
      await settled(page, 'Added greet.');
      const isExecutable = await page.$eval(
        '#file-list input[type=checkbox]',
        (box) => (box as HTMLInputElement).checked,
      );
      expect(isExecutable).toBe(true);
      await look(page, '3-file');

      await page.type('#entrypoint', '/app/greet');
      await page.type('#env', 'GREETING=hello');
      await look(page, '4-program');

      await page.click('button[type=submit]');
      await settled(page, 'Composed.');
      const digest = await text(page, '#digest');
      expect(await page.$$eval('#platforms .layer', (layers) => layers.length)).toBe(2);
      await look(page, '5-composed');

      await page.click('#save');
      await settled(page, 'Saved app-latest.tar');
      const archive = join(downloads, await downloaded(downloads));
      await look(page, '6-saved');

      const layout = join(temporaryDirectory(), 'layout');
      await run('skopeo', [
        'copy',
        '--quiet',
        '--preserve-digests',
        `oci-archive:${archive}:app:latest`,
        `oci:${layout}:app`,
      ]);
      const { manifests } = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8'));
      expect(manifests[0].digest).toBe(digest);
      expect(await runWithRunc(layout, 'app')).toBe('hello from /app/greet\n');
      expect(problems).toEqual([]);
    },
  );

  peerTest(['chromium'], 'builds from nothing by the keyboard alone, and says what is wrong in words', async () => {
    const { page, problems } = await openPage();
    const file = join(temporaryDirectory(), 'motd');
    writeFileSync(file, 'hello\n');
    await drop(page, '#files', [file]);
    await settled(page, 'Added motd.');
    await page.focus('#env');
    await page.keyboard.type('no variable');
    await pressOn(page, 'button[type=submit]');
    await page.waitForSelector('#failure:not([hidden])');
    expect(await text(page, '#failure')).toContain('Write NAME=value.');
    await look(page, '7-failure');

    await page.focus('#env');
    await page.keyboard.down('Control');
    await page.keyboard.press('a');
    await page.keyboard.up('Control');
    await page.keyboard.type('A=b');
    await pressOn(page, 'button[type=submit]');
    await settled(page, 'Composed.');
    expect(await page.$eval('#result-heading', (heading) => heading === document.activeElement)).toBe(true);
    const layer = await createLayer([{ path: 'app/motd', body: 'hello\n' }], { mtime: 0 });
    const image = Image.scratch({ created: 0 }).append(layer);
    expect(await text(page, '#digest')).toBe(image.env({ A: 'b' }).descriptor.digest);

    await drop(page, '#base', [file]);
    await page.waitForSelector('#failure:not([hidden])');
    expect(await text(page, '#failure')).toContain('archive');
    expect(problems).toEqual([]);
  });

  peerTest(['chromium'], 'says what is wrong with a broken archive, a folder and a file that has changed', async () => {
    const { page, problems } = await openPage();
    const broken = join(temporaryDirectory(), 'broken.tar');
    const image = await Image.scratch().addLayer([{ path: 'a', body: randomBytes(20_000) }]);
    await writeFile(broken, saveTarball(image, { tag: 'broken:1' }));
    truncateSync(broken, 3000);
    const folder = join(temporaryDirectory(), 'folder');
    mkdirSync(folder);
    const changing = join(temporaryDirectory(), 'changing');
    writeFileSync(changing, 'before');

    for (const [zone, dropped, message] of [
      ['#base', broken, 'damaged or cut short'],
      ['#base', folder, 'folder cannot be read: it is a folder'],
      ['#files', folder, 'folder cannot be read: it is a folder'],
    ] as const) {
      await drop(page, zone, [dropped]);
      await failed(page, message);
      await look(page, `7-failure-${message.split(' ')[0]}`);
    }
    expect(await page.$$eval('#file-list li, #base-layers li', (rows) => rows.length)).toBe(0);

    await drop(page, '#files', [changing]);
    await settled(page, 'Added changing.');
    writeFileSync(changing, 'after it was dropped');
    await pressOn(page, 'button[type=submit]');
    await failed(page, 'changing cannot be read');
    // Whoever works by the keyboard goes on where they were.
    expect(await page.$eval('button[type=submit]', (button) => button === document.activeElement)).toBe(true);
    expect(problems).toEqual([]);
  });

  peerTest(
    ['chromium', 'skopeo'],
    'keeps large layers of a multi-platform base on disk, shows how far it is, and cleans up after a closed tab',
    async () => {
      const { page, problems, downloads } = await openPage();
      const base = await Promise.all(
        ['linux/amd64', 'linux/arm64'].map((platform) =>
          Image.scratch({ platform }).addLayer([{ path: 'etc/platform', body: platform }]),
        ),
      );
      const archive = join(temporaryDirectory(), 'base.tar.gz');
      await writeFile(archive, saveTarball(base, { tag: 'base:1' }));
      await drop(page, '#base', [archive]);
      await settled(page, 'Read base.tar.gz.');
      const platforms = await page.$$eval('#base-layers h3', (headings) =>
        headings.map(({ textContent }) => textContent),
      );
      expect(platforms).toEqual([expect.stringContaining('linux/amd64'), expect.stringContaining('linux/arm64')]);
      const large = join(temporaryDirectory(), 'large');
      writeFileSync(large, randomBytes(8 * 1024 * 1024));
      await drop(page, '#files', [large]);
      await settled(page, 'Added large.');

      await watchProgress(page);
      await page.click('button[type=submit]');
      await page.waitForFunction(() => (document.querySelector('progress')?.value ?? 0) > 0.3);
      await look(page, '8-progress');
      await settled(page, 'Composed.');
      expect(await page.$$eval('#platforms .platform', (platforms) => platforms.length)).toBe(2);
      await look(page, '9-platforms');
      const digest = await text(page, '#digest');
      await page.click('#save');
      await settled(page, 'Saved');
      const shares = await watchedProgress(page);
      expect(shares.length).toBeGreaterThan(8);
      expect(Math.max(...shares)).toBe(1);
      const saved = join(downloads, await downloaded(downloads));
      const { stdout } = await run('skopeo', ['inspect', '--raw', `oci-archive:${saved}:app:latest`]);
      expect(`sha256:${createHash('sha256').update(stdout).digest('hex')}`).toBe(digest);

      const sessions = await sessionFolders(page);
      expect(sessions).toHaveLength(1);
      const another = await page.browserContext().newPage();
      await another.goto(page.url());
      await another.waitForFunction(async () => {
        let count = 0;
        for await (const _ of (await navigator.storage.getDirectory()).keys()) count++;
        return count === 2;
      });
      await page.close();
      await another.reload();
      await another.waitForFunction(
        async (gone: string) => {
          for await (const name of (await navigator.storage.getDirectory()).keys()) if (name === gone) return false;
          return true;
        },
        {},
        sessions[0] as string,
      );
      expect(problems).toEqual([]);
    },
  );

  peerTest(['chromium'], 'fits a narrow screen, and names every control', async () => {
    const { page } = await openPage();
    for (const width of [360, 700, 1400]) {
      await page.setViewport({ width, height: 800 });
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
    }
    const nameless = await page.$$eval('input, select, textarea, button', (controls) =>
      controls
        .filter((control) => !control.textContent?.trim() && !control.getAttribute('aria-label'))
        .filter((control) => !(control as HTMLInputElement).labels?.length)
        .map((control) => control.outerHTML),
    );
    expect(nameless).toEqual([]);
  });
});

/** A fresh page, with what went wrong on it, its policy's complaints among that. */
async function openPage(): Promise<{ page: Page; problems: string[]; downloads: string }> {
  served ??= serveBrowserExample();
  launched ??= launchChromium();
  const { url } = await served;
  const context = await (await launched).createBrowserContext();
  const page = await context.newPage();
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warn') problems.push(message.text());
  });
  const downloads = temporaryDirectory();
  const session = await (await launched).target().createCDPSession();
  await session.send('Browser.setDownloadBehavior', {
    behavior: 'allow',
    browserContextId: context.id,
    downloadPath: downloads,
  });
  await page.goto(url);
  return { page, problems, downloads };
}

function launchChromium(): Promise<Browser> {
  mkdirSync(join(root, '.cache'), { recursive: true });
  profile = mkdtempSync(join(root, '.cache/chromium-'));
  return launch({
    executablePath: findPeer('chromium'),
    userDataDir: profile,
    args: [
      '--no-sandbox',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--disable-dev-shm-usage',
    ],
  });
}

/** As a person does: dragged over the middle of the zone, and let go. */
async function drop(page: Page, selector: string, files: string[]): Promise<void> {
  const input = await page.$(selector);
  if (input === null) throw new Error(`the page has no ${selector}`);
  await input.scrollIntoView();
  const { x, y } = await input.clickablePoint();
  const session = await page.createCDPSession();
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const)
    await session.send('Input.dispatchDragEvent', { type, x, y, data });
  await session.detach();
}

async function pressOn(page: Page, selector: string): Promise<void> {
  await page.focus(selector);
  await page.keyboard.press('Enter');
}

/** Waits until the page says so. */
async function settled(page: Page, beginning: string): Promise<void> {
  await page
    .waitForFunction((start) => document.getElementById('status')?.textContent?.startsWith(start), {}, beginning)
    .catch(async (error) => {
      throw new Error(`the page says “${await text(page, '#status')} ${await text(page, '#failure')}”`, {
        cause: error,
      });
    });
}

/** Waits until the page says that something went wrong, in these words. */
async function failed(page: Page, message: string): Promise<void> {
  await page.waitForFunction(
    (words) => {
      const failure = document.getElementById('failure');
      return failure?.hidden === false && failure.textContent?.includes(words);
    },
    {},
    message,
  );
}

function text(page: Page, selector: string): Promise<string> {
  return page.$eval(selector, (found) => found.textContent ?? '');
}

/** From here on the page remembers what its progress bar has shown. */
async function watchProgress(page: Page): Promise<void> {
  await page.$eval('progress', (bar) => {
    const shares: number[] = [];
    Object.assign(bar, { shares });
    new MutationObserver(() => shares.push(bar.value)).observe(bar, { attributes: true });
  });
}

function watchedProgress(page: Page): Promise<number[]> {
  return page.$eval('progress', (bar) => (bar as HTMLProgressElement & { shares: number[] }).shares);
}

function sessionFolders(page: Page): Promise<string[]> {
  return page.evaluate(async () => {
    const names: string[] = [];
    for await (const name of (await navigator.storage.getDirectory()).keys()) names.push(name);
    return names;
  });
}

async function downloaded(directory: string): Promise<string> {
  for (;;) {
    const name = readdirSync(directory).find((name) => name.endsWith('.tar'));
    if (name !== undefined) return name;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Pictures of the page, wide and narrow, in light and dark, to be looked at. */
async function look(page: Page, step: string): Promise<void> {
  mkdirSync(screenshots, { recursive: true });
  for (const scheme of ['light', 'dark']) {
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    for (const [width, height] of [
      [1280, 1100],
      [360, 1900],
    ] as const) {
      await page.setViewport({ width, height });
      await page.screenshot({ path: join(screenshots, `${step}-${scheme}-${width}.png`) });
    }
  }
  await page.setViewport({ width: 1280, height: 800 });
}

/** An image with busybox as its shell, as an archive. */
async function busyboxArchive(): Promise<string> {
  const busybox = { ...(await fromFile(busyboxPath())), path: 'bin/busybox', mode: 0o755 };
  const image = await Image.scratch().addLayer([busybox, { path: 'bin/sh', type: 'symlink', linkTarget: 'busybox' }]);
  const path = join(temporaryDirectory(), 'busybox.tar');
  await writeFile(path, saveTarball(image.cmd(['/bin/sh']), { tag: 'busybox:1' }));
  return path;
}

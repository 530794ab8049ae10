/**
 * What a large layer takes at most, where memory is scarce: `npm run bench:memory` builds one from a generated stream, stores it and reads
 * it back, in Chromium over its own files and in Cloudflare's runtime over a bucket, and prints how far memory grew meanwhile.
 *
 * Chromium: the JavaScript heap and the ArrayBuffers beside it, garbage included, as the inspector says, and the page's whole process. Cloudflare's runtime: the
 * whole process, in which Miniflare keeps its imitation of R2 too. Sizes in MiB by CHROMIUM_SIZE (2048) and WORKERD_SIZE (1024).
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { call, servePage, withBrowser } from '../test/storage/browsers.ts';
import { startBucketWorker } from '../test/storage/bucket-worker.ts';

const mebibyte = 1024 * 1024;
const tests = join(import.meta.dirname, '../test/storage');
const wanted = process.argv.slice(2);
const isWanted = (name: string): boolean => wanted.length === 0 || wanted.includes(name);

if (isWanted('chromium')) await inChromium(Number(process.env.CHROMIUM_SIZE ?? 2048) * mebibyte);
if (isWanted('workerd')) await inWorkerd(Number(process.env.WORKERD_SIZE ?? 1024) * mebibyte);

async function inChromium(size: number): Promise<void> {
  const server = await servePage(join(tests, 'opfs-page.ts'));
  await withBrowser('chromium', async (browser) => {
    const page = await browser.newPage();
    await page.goto(server.url);
    const session = await page.createCDPSession();
    const root = await browser.target().createCDPSession();
    const { processInfo } = await root.send('SystemInfo.getProcessInfo');
    const renderers = processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
    const usage = (): Promise<{ usedSize: number; backingStorageSize?: number }> =>
      session.send('Runtime.getHeapUsage');
    const heap = async (): Promise<number> => (await usage()).usedSize;
    const buffers = async (): Promise<number> => (await usage()).backingStorageSize ?? 0;
    const resident = async (): Promise<number> => Math.max(...renderers.map(residentBytes));
    await call(page, 'buildLayer', 16 * mebibyte);
    await session.send('HeapProfiler.collectGarbage');
    await grown(`Chromium, ${size / mebibyte} MiB to OPFS`, { heap, buffers, process: resident }, () =>
      call(page, 'buildLayer', size),
    );
  });
  server.close();
}

async function inWorkerd(size: number): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'stowage-r2-'));
  const worker = await startBucketWorker(join(tests, 'r2-worker.ts'), { directory, flags: ['nodejs_compat'] });
  const build = async (bytes: number): Promise<unknown> =>
    (await fetch(new URL(`/layer?size=${bytes}`, await worker.ready))).json();
  await build(16 * mebibyte);
  const resident = async (): Promise<number> => Math.max(...childrenNamed('workerd').map(residentBytes));
  await grown(`workerd, ${size / mebibyte} MiB to R2`, { process: resident }, () => build(size));
  await worker.dispose();
  rmSync(directory, { recursive: true, force: true });
}

/** Prints how far each figure grew at most over what it was, while the task ran. */
async function grown(
  what: string,
  figures: Record<string, () => Promise<number>>,
  task: () => Promise<unknown>,
): Promise<void> {
  const first: Record<string, number> = {};
  const most: Record<string, number> = {};
  for (const [name, read] of Object.entries(figures)) first[name] = most[name] = await read();
  let isRunning = true;
  const began = Date.now();
  const watching = (async () => {
    while (isRunning) {
      for (const [name, read] of Object.entries(figures))
        most[name] = Math.max(most[name]!, await read().catch(() => 0));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  })();
  const result = await task();
  isRunning = false;
  await watching;
  const growth = Object.keys(figures).map(
    (name) =>
      `${name} +${((most[name]! - first[name]!) / mebibyte).toFixed(1)} MiB over ${(first[name]! / mebibyte).toFixed(1)}`,
  );
  const seconds = ((Date.now() - began) / 1000).toFixed(0);
  console.log(`${what}: ${growth.join(', ')}; ${seconds} s; ${JSON.stringify(result)}`);
}

function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s*(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
}

/** Processes that this one, or one of its children, started. */
function childrenNamed(name: string, parent: number = process.pid): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      try {
        return new RegExp(`^PPid:\\s*${parent}$`, 'm').test(readFileSync(`/proc/${pid}/status`, 'utf8'));
      } catch {
        return false;
      }
    })
    .flatMap((pid) => [
      ...(/^Name:\s*(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] === name ? [pid] : []),
      ...childrenNamed(name, pid),
    ]);
}

/**
 * What a large layer takes at most, where memory is scarce: `npm run bench:memory` builds one from a generated stream, stores it and reads
 * it back, and prints how far memory grew meanwhile: in Chromium over its own files, in Cloudflare's runtime over a bucket, in Node, Deno and
 * Bun over a directory. Names of some of them, as arguments, leave out the others; a number is another size for all, in MiB.
 *
 * Chromium and Cloudflare's runtime: the JavaScript heap and the ArrayBuffers beside it, as the inspector says (`Runtime.getHeapUsage`), with
 * garbage that was not collected yet, and then, in a second, smaller run, without it: what is live. Beside that the resident memory of the page's
 * process, and of the Worker's, from which the imitation of R2 is kept apart in a process of its own. The others: the process's resident memory.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { Agent, fetch } from 'undici';
import { bun } from '../test/runtimes/bun.ts';
import { deno } from '../test/runtimes/deno.ts';
import { call, servePage, withBrowser } from '../test/storage/browsers.ts';
import { startWorkerApart } from '../test/storage/bucket-apart.ts';

const mebibyte = 1024 * 1024;
const liveSize = 256 * mebibyte;
const tests = join(import.meta.dirname, '../test/storage');
const [givenSize] = process.argv.slice(2).map(Number).filter(Boolean);
const wanted = process.argv.slice(2).filter((argument) => !Number(argument));
const isWanted = (name: string): boolean => wanted.length === 0 || wanted.includes(name);
const sizeOf = (mebibytes: number): number => (givenSize ?? mebibytes) * mebibyte;

type Figures = Record<string, () => Promise<number>>;

if (isWanted('chromium')) await inChromium(sizeOf(2048));
if (isWanted('workerd')) await inWorkerd(sizeOf(1024));
if (isWanted('node')) inDirectory('Node', process.execPath, ['--import', 'tsx'], sizeOf(2048));
if (isWanted('deno')) inDirectory('Deno', deno.find()!, ['run', '--allow-all'], sizeOf(2048));
if (isWanted('bun')) inDirectory('Bun', bun.find()!, ['run'], sizeOf(2048));

async function inChromium(size: number): Promise<void> {
  const server = await servePage(join(tests, 'opfs-page.ts'));
  for (const compression of ['none', 'gzip']) {
    await withBrowser('chromium', async (browser) => {
      const page = await browser.newPage();
      await page.goto(server.url);
      const session = await page.createCDPSession();
      const root = await browser.target().createCDPSession();
      const { processInfo } = await root.send('SystemInfo.getProcessInfo');
      const renderers = processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
      const usage = (): Promise<{ usedSize: number; backingStorageSize?: number }> =>
        session.send('Runtime.getHeapUsage');
      const figures: Figures = {
        heap: async () => (await usage()).usedSize,
        buffers: async () => (await usage()).backingStorageSize!,
      };
      const build = (bytes: number): Promise<unknown> => call(page, 'buildLayer', bytes, compression);
      await build(16 * mebibyte);
      await session.send('HeapProfiler.collectGarbage');
      const resident = async (): Promise<number> => Math.max(...renderers.map(residentBytes));
      const title = `Chromium, ${compression}`;
      await grown(`${title}, ${size / mebibyte} MiB to OPFS`, { ...figures, process: resident }, () => build(size));
      const collect = (): Promise<unknown> => session.send('HeapProfiler.collectGarbage');
      await collect();
      await grown(`${title}, live alone`, figures, () => build(liveSize), collect);
    });
  }
  server.close();
}

async function inWorkerd(size: number): Promise<void> {
  for (const compression of ['none', 'gzip']) {
    const worker = await startWorkerApart(join(tests, 'r2-worker.ts'));
    // It answers when all is done, which may take longer than others wait.
    const dispatcher = new Agent({ headersTimeout: 0 });
    const build = async (bytes: number, option = ''): Promise<unknown> => {
      const url = new URL(`/layer?size=${bytes}&compression=${compression}${option}`, worker.url);
      return (await fetch(url, { dispatcher })).json();
    };
    const figures: Figures = {
      heap: async () => (await worker.isolateMemory()).heap,
      buffers: async () => (await worker.isolateMemory()).buffers,
    };
    await build(16 * mebibyte, '&collect');
    const processes: Figures = {
      process: async () => residentBytes(worker.workerProcess),
      "imitation of R2's process": async () => residentBytes(worker.bucketProcess),
    };
    const title = `workerd, ${compression}`;
    await grown(`${title}, ${size / mebibyte} MiB to R2`, { ...figures, ...processes }, () => build(size));
    await build(16 * mebibyte, '&collect');
    await grown(`${title}, live, and what 2 MiB leave`, figures, () => build(liveSize, '&collect'));
    await worker.stop();
  }
}

function inDirectory(name: string, program: string, options: string[], size: number): void {
  const folder = mkdtempSync(join(tmpdir(), 'stowage-memory-'));
  for (const compression of ['none', 'gzip']) {
    const job = join(import.meta.dirname, 'memory-job.ts');
    const { stdout, stderr } = spawnSync(program, [...options, job, folder, String(size), compression], {
      encoding: 'utf8',
    });
    if (stdout === '') throw new Error(`${name}: ${stderr}`);
    const { seconds, growth, before, ...result } = JSON.parse(stdout);
    console.log(
      `${name}, ${compression}, ${size / mebibyte} MiB to a directory: process +${growth} MiB over ${before}; ${seconds} s; ${JSON.stringify(result)}`,
    );
  }
  rmSync(folder, { recursive: true });
}

/** Prints how far each figure grew at most over what it was, while the task ran. `collect` removes garbage before each look. */
async function grown(
  what: string,
  figures: Figures,
  task: () => Promise<unknown>,
  collect?: () => Promise<unknown>,
): Promise<void> {
  const first: Record<string, number> = {};
  const most: Record<string, number> = {};
  for (const [name, read] of Object.entries(figures)) first[name] = most[name] = await read();
  let isRunning = true;
  let samples = 0;
  const began = Date.now();
  const watching = (async () => {
    while (isRunning) {
      await collect?.();
      for (const [name, read] of Object.entries(figures)) most[name] = Math.max(most[name]!, await read());
      samples++;
      await new Promise((resolve) => setTimeout(resolve, 50));
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
  console.log(`${what}: ${growth.join(', ')}; ${samples} looks in ${seconds} s; ${JSON.stringify(result)}`);
}

function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s*(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
}

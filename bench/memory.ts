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
  const worker = await startBucketWorker(join(tests, 'r2-worker.ts'), {
    directory,
    flags: ['nodejs_compat'],
    inspectorPort: 0,
  });
  const build = async (bytes: number): Promise<unknown> =>
    (await fetch(new URL(`/layer?size=${bytes}`, await worker.ready))).json();
  await build(16 * mebibyte);
  const resident = async (): Promise<number> => Math.max(...childrenNamed('workerd').map(residentBytes));
  const inspector = await inspect(await worker.getInspectorURL());
  await grown(`workerd, ${size / mebibyte} MiB to R2`, { ...inspector?.figures, process: resident }, () => build(size));
  inspector?.close();
  await worker.dispose();
  rmSync(directory, { recursive: true, force: true });
}

/** The figures of the Worker's own isolate; from Node 22 on, and before with `--experimental-websocket`. */
async function inspect(
  url: URL,
): Promise<{ figures: Record<string, () => Promise<number>>; close(): void } | undefined> {
  if (typeof WebSocket === 'undefined') return undefined;
  const targets = (await (await fetch(new URL('/json', String(url).replace('ws:', 'http:')))).json()) as {
    webSocketDebuggerUrl: string;
    id: string;
  }[];
  const socket = new WebSocket(targets.find(({ id }) => id.includes('user'))!.webSocketDebuggerUrl);
  const waiting = new Map<number, (result: { usedSize: number; backingStorageSize?: number }) => void>();
  let count = 0;
  socket.onmessage = ({ data }) => {
    const { id, result } = JSON.parse(String(data));
    waiting.get(id)?.(result);
    waiting.delete(id);
  };
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error('the inspector does not answer'));
  });
  const usage = (): Promise<{ usedSize: number; backingStorageSize?: number }> =>
    new Promise((resolve) => {
      waiting.set(++count, resolve);
      socket.send(JSON.stringify({ id: count, method: 'Runtime.getHeapUsage' }));
    });
  return {
    figures: {
      heap: async () => (await usage()).usedSize,
      buffers: async () => (await usage()).backingStorageSize ?? 0,
    },
    close: () => socket.close(),
  };
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

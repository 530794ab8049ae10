import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Miniflare } from 'miniflare';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SuiteEvent } from '../runtimes/harness.ts';
import { startWorkerApart } from './bucket-apart.ts';
import { startBucketWorker } from './bucket-worker.ts';

let miniflare: Miniflare;
let url: URL;

beforeAll(async () => {
  miniflare = await startBucketWorker(join(import.meta.dirname, 'r2-worker.ts'));
  url = await miniflare.ready;
});
afterAll(() => miniflare?.dispose());

async function ask(path: string): Promise<Response> {
  const response = await fetch(new URL(path, url));
  if (!response.ok) throw new Error(await response.text());
  return response;
}

describe("R2Storage in Cloudflare's runtime", () => {
  test('keeps the storage contract, and what it promises of its own', async () => {
    const events = (await (await ask('/suite')).json()) as SuiteEvent[];
    const ended = events.filter((event) => event.event === 'end');
    expect(ended.flatMap(({ test: name, failure }) => (failure === undefined ? [] : [`${name}: ${failure}`]))).toEqual(
      [],
    );
    expect(ended.length).toBeGreaterThan(55);
  }, 300_000);

  test('eight requests that tag at the same time in one bucket lose no tag', async () => {
    await Promise.all(Array.from({ length: 8 }, (_, request) => ask(`/tag?request=${request}&total=25`)));
    expect(await (await ask('/count')).json()).toBe(200);
  }, 300_000);
});

test('a lock whose holder was cut off with its runtime goes to the next one, once the lease has run out', async () => {
  const entry = join(import.meta.dirname, 'r2-worker.ts');
  const directory = mkdtempSync(join(tmpdir(), 'stowage-r2-'));
  const holderAt = async (at: URL): Promise<string> =>
    (await (await fetch(new URL('/holder', at))).text()).split(' ', 1)[0]!;
  const first = await startBucketWorker(entry, { directory });
  let second: Miniflare | undefined;
  try {
    const at = await first.ready;
    const cutOff = expect(fetch(new URL('/lock?hold=600', at))).rejects.toThrow();
    await expect.poll(() => holderAt(at), { timeout: 30_000 }).not.toBe('');
    const holder = await holderAt(at);
    await first.dispose();
    await cutOff;
    second = await startBucketWorker(entry, { directory });
    const now = await second.ready;
    expect(await holderAt(now)).toBe(holder);
    expect(await (await fetch(new URL('/lock?hold=0', now))).text()).toBe('released');
    expect(await holderAt(now)).toBe('');
  } finally {
    await first.dispose().catch(() => {});
    await second?.dispose();
    rmSync(directory, { recursive: true, force: true });
  }
}, 120_000);

const mebibyte = 1024 * 1024;

test('a layer of 192 MiB passes through a Worker into its bucket and back, and the isolate grows by less than 48 MiB, garbage included', async () => {
  const worker = await startWorkerApart(join(import.meta.dirname, 'r2-worker.ts'));
  try {
    /** The most that the isolate holds at once while the Worker answers, over what was before. */
    const growth = async (path: string): Promise<{ most: number; answer: string }> => {
      const held = async (): Promise<number> => {
        const { heap, buffers } = await worker.isolateMemory();
        return heap + buffers;
      };
      const before = await held();
      let most = before;
      let answer: string | undefined;
      const answering = fetch(new URL(path, worker.url)).then(async (response) => {
        answer = await response.text();
      });
      while (answer === undefined) {
        most = Math.max(most, await held());
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      await answering;
      return { most: most - before, answer };
    };
    // The figure is the Worker's own: it sees what that holds.
    expect((await growth(`/hold?size=${48 * mebibyte}`)).most).toBeGreaterThanOrEqual(48 * mebibyte);
    const size = 192 * mebibyte;
    const { most, answer } = await growth(`/layer?size=${size}&compression=none`);
    expect(JSON.parse(answer)).toEqual({ size: size + 1536, read: size + 1536 });
    expect(most).toBeLessThan(48 * mebibyte);
  } finally {
    await worker.stop();
  }
}, 300_000);

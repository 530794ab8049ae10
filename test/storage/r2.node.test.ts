import { join } from 'node:path';
import type { Miniflare } from 'miniflare';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SuiteEvent } from '../runtimes/harness.ts';
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
    expect(ended.length).toBeGreaterThan(35);
  }, 300_000);

  test('eight requests that tag at the same time in one bucket lose no tag', async () => {
    await Promise.all(Array.from({ length: 8 }, (_, request) => ask(`/tag?request=${request}&total=25`)));
    expect(await (await ask('/count')).json()).toBe(200);
  }, 300_000);
});

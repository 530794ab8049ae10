/** Whoever leaves early, aborts or fails leaves no file open and no unfinished one behind. */
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { copy } from '../../src/content/copy.ts';
import { Image } from '../../src/image/image.ts';
import { exportDirectory } from '../../src/layout/export-directory.ts';
import { Layout } from '../../src/layout/layout.ts';
import { loadTarballForPush } from '../../src/layout/load-tarball.ts';
import { saveTarball } from '../../src/layout/save-tarball.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { NodeStorage } from '../../src/storage/node.ts';
import { all } from '../content/contract.ts';
import { noise } from './archives.ts';

let root: string;
let layout: Layout;
let image: Image;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'handles-'));
  const storage = new NodeStorage(root, { durable: false });
  const files = [
    { path: 'a', body: noise(2_000_000) },
    { path: 'b', body: noise(500_000, 7) },
  ];
  await exportDirectory(await Image.scratch({ created: 0 }).addLayer(files), storage, { tag: 'demo' });
  layout = await Layout.open(storage);
  image = await Image.from(layout, 'demo');
});
afterEach(async () => {
  // Streams that were cancelled close their files in their own time.
  for (let tries = 0; openFiles().length > 0 && tries < 50; tries++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  expect(openFiles()).toEqual([]);
  expect(readdirSync(root)).not.toContain('.stowage');
  await rm(root, { recursive: true });
});

function openFiles(): string[] {
  const folder = '/proc/self/fd';
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((name) => {
    try {
      const target = readlinkSync(join(folder, name));
      return target.startsWith(root) ? [target] : [];
    } catch {
      return [];
    }
  });
}

test('reading a layer may end anywhere', async () => {
  const [layer] = image.layers;
  for await (const _ of layer!.entries()) break;
  for await (const { body } of layer!.entries()) for await (const _ of body) break;
  const controller = new AbortController();
  const entries = layer!.entries({ signal: controller.signal });
  await expect(
    (async () => {
      for await (const _ of entries) controller.abort(new Error('enough'));
    })(),
  ).rejects.toThrow('enough');
  await (await layer!.open()).cancel();
  const reader = (await layer!.open()).getReader();
  await reader.read();
  await reader.cancel();
});

test('saving an archive may end anywhere', async () => {
  await saveTarball(image).cancel();
  for (let reads = 1; reads < 6; reads++) {
    const reader = saveTarball(image, { compression: reads % 2 ? 'none' : 'gzip' }).getReader();
    for (let read = 0; read < reads; read++) await reader.read();
    await reader.cancel();
  }
});

test('loading through a directory may end anywhere', async () => {
  const archive = await all(saveTarball(image));
  const spill = new NodeStorage(root, { durable: false });
  for (const length of [1000, 500_000, archive.length - 9]) {
    const loading = loadTarballForPush(archive.slice(0, length), { memoryThreshold: 0, spill });
    await expect(loading).rejects.toMatchObject({ name: 'StowageError' });
  }
  const { images, cleanup } = await loadTarballForPush(archive, { memoryThreshold: 0, spill });
  await (await images[0]!.layers[0]!.getData()).cancel();
  await cleanup();
  expect(readdirSync(root).sort()).toEqual(['blobs', 'index.json', 'oci-layout']);
});

test('a copy may fail or be aborted anywhere', async () => {
  for (let writes = 0; writes < 3; writes++) {
    const to = await Layout.create(new MemoryStorage());
    let done = 0;
    const failing = {
      has: () => Promise.resolve(false),
      read: to.read.bind(to),
      resolve: to.resolve.bind(to),
      tag: to.tag.bind(to),
      write: (...args: Parameters<Layout['write']>) =>
        done++ === writes ? Promise.reject(new Error('full')) : to.write(...args),
    };
    await expect(copy(layout, failing, { references: ['demo'] })).rejects.toThrow('full');
    const controller = new AbortController();
    const copying = copy(layout, await Layout.create(new MemoryStorage()), {
      references: ['demo'],
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('enough')),
    });
    await expect(copying).rejects.toThrow('enough');
  }
});

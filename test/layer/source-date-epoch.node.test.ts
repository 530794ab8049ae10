import process from 'node:process';
import { afterEach, expect, test } from 'vitest';
import { Image } from '../../src/image/image.ts';
import { createLayer } from '../../src/layer/create-layer.ts';
import type { Layer } from '../../src/layer/layer.ts';

const before = process.env.SOURCE_DATE_EPOCH;

afterEach(() => {
  if (before === undefined) delete process.env.SOURCE_DATE_EPOCH;
  else process.env.SOURCE_DATE_EPOCH = before;
});

async function times(layer: Layer): Promise<number[]> {
  const found: number[] = [];
  for await (const { header } of layer.entries()) found.push(header.mtime);
  return found;
}

test('SOURCE_DATE_EPOCH dates files and made-up parents that have no time, and nothing else', async () => {
  process.env.SOURCE_DATE_EPOCH = '1700000000';
  const files = [{ path: 'a/b' }, { path: 'c', mtime: 5 }];
  expect(await times(await createLayer(files))).toEqual([1700000000, 1700000000, 5]);
  expect(await times(await createLayer(files, { mtime: 9 }))).toEqual([9, 9, 5]);
  delete process.env.SOURCE_DATE_EPOCH;
  expect(await times(await createLayer(files))).toEqual([0, 0, 5]);
  process.env.SOURCE_DATE_EPOCH = '';
  expect(await times(await createLayer(files))).toEqual([0, 0, 5]);
});

test('SOURCE_DATE_EPOCH dates images and their changes', async () => {
  process.env.SOURCE_DATE_EPOCH = '1700000000';
  const image = Image.scratch().cmd(['/run']);
  expect(image.config.created).toBe('2023-11-14T22:13:20Z');
  expect(image.config.history?.[0]?.created).toBe('2023-11-14T22:13:20Z');
  expect(Image.scratch({ created: 0 }).cmd(['/run']).config.created).toBe('1970-01-01T00:00:00Z');
});

test('SOURCE_DATE_EPOCH that is no number is refused by its name', async () => {
  process.env.SOURCE_DATE_EPOCH = 'yesterday';
  await expect(createLayer([])).rejects.toMatchObject({
    code: 'ARGUMENT_INVALID',
    message: expect.stringContaining('SOURCE_DATE_EPOCH'),
  });
});

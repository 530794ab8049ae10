/** The promise that the same files and options give the same digest in every runtime: held against digests on record. */
import { describe, expect, test } from 'vitest';
import { imageDigests, layerCases, makeLayer } from './cases.ts';
import { vectors } from './vectors.ts';

describe('the digest on record is that of', () => {
  for (const each of layerCases) {
    test(`a layer of ${each.name}`, async () => {
      const { diffId, descriptor } = await makeLayer(each, { compression: 'none' });
      expect(diffId).toBe(vectors.layers[each.name]);
      expect(descriptor.digest).toBe(diffId);
    }, 300_000);

    test(`a layer of ${each.name}, in gzip`, async () => {
      const { diffId, descriptor } = await makeLayer(each);
      expect(diffId).toBe(vectors.layers[each.name]);
      expect(descriptor.digest).toBe(vectors.gzip[each.name]);
    }, 300_000);
  }

  test('images: config, manifest, index, archives', async () => {
    expect(await imageDigests()).toEqual(vectors.images);
  });

  test('nothing else: every record has its test', () => {
    const names = layerCases.map(({ name }) => name);
    expect(Object.keys(vectors.layers)).toEqual(names);
    expect(Object.keys(vectors.gzip)).toEqual(names);
  });
});

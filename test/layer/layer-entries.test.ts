/** Layers read entry by entry: what their bytes are, and where a fault lies. */
import { beforeAll, describe, expect, test } from 'vitest';
import { readBytes } from '../../src/bytes/byte-source.ts';
import { blobStore } from '../../src/content/blob-store.ts';
import { createLayer } from '../../src/layer/create-layer.ts';
import { type Layer, layerFrom } from '../../src/layer/layer.ts';
import { readBody } from '../../src/layer/read-body.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';

let made: Layer;

beforeAll(async () => {
  made = await createLayer([
    { path: 'etc/first', body: noise(100_000) },
    { path: 'etc/second', body: noise(3_000_000) },
  ]);
});

/** Behind a directory, a header and a body in whole blocks. */
const secondAt = 1024 + 100_352;

describe('the entries of a layer', () => {
  test('are those of its bytes, whatever its media type says, of which the caller is told', async () => {
    const warnings: string[] = [];
    const onWarning = (message: string): number => warnings.push(message);
    const gzip = await readBytes(await made.open());
    const belied = await layerOf(gzip, mediaTypes.layerZstd);
    expect(await paths(belied, { onWarning })).toEqual(['etc', 'etc/first', 'etc/second']);
    const plain = await createLayer([{ path: 'a' }], { compression: 'none' });
    expect(await paths(await layerOf(await readBytes(await plain.open())), { onWarning })).toEqual(['a']);
    expect(await paths(made, { onWarning })).toHaveLength(3);
    expect(warnings).toEqual([
      `Layer ${belied.descriptor.digest} is ${mediaTypes.layerZstd}, but its bytes are gzip. Read as what they are.`,
      expect.stringContaining('but its bytes are not compressed'),
    ]);
  });

  test('end at a fault of the compressed bytes, which names layer, entry and offset', async () => {
    const whole = await readBytes(await made.open());
    const cut = await layerOf(whole.subarray(0, 2_000_000));
    const fault = {
      code: 'GZIP_INVALID',
      message: expect.stringMatching(`^layer ${cut.descriptor.digest} .*"etc/second", at byte ${secondAt} of the tar`),
      details: { entry: 'etc/second', entryOffset: secondAt, offset: expect.any(Number) },
    };
    await expect(paths(cut)).rejects.toMatchObject(fault);
    await expect(readBytes(readBody(cut, secondAt))).rejects.toMatchObject(fault);
    const cutAtOnce = await layerOf(whole.subarray(0, 15));
    await expect(paths(cutAtOnce)).rejects.toMatchObject({ message: expect.stringContaining('No entry was begun.') });
  });

  test('are bounded, and the bound names the entry that passed it', async () => {
    await expect(paths(made, { limits: { inflatedBytes: 2_000_000 } })).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      details: { limit: 'inflatedBytes', entry: 'etc/second', entryOffset: secondAt },
    });
  });
});

/** Bytes that do not compress. */
function noise(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = 1;
  for (let at = 0; at < length; at++) {
    state = (state * 48_271) % 2_147_483_647;
    bytes[at] = state;
  }
  return bytes;
}

async function layerOf(blob: Uint8Array, mediaType: string = mediaTypes.layerGzip): Promise<Layer> {
  const store = blobStore(new MemoryStorage());
  return layerFrom(store, await store.write(blob, { mediaType }), made.diffId);
}

async function paths(layer: Layer, options: Parameters<Layer['entries']>[0] = {}): Promise<string[]> {
  const found: string[] = [];
  for await (const { header } of layer.entries(options)) found.push(header.path);
  return found;
}

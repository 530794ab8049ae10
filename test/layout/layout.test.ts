import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/bytes/hash.ts';
import { blobPath } from '../../src/content/blob-store.ts';
import { Image } from '../../src/image/image.ts';
import { createLayer } from '../../src/layer/create-layer.ts';
import { exportDirectory } from '../../src/layout/export-directory.ts';
import { buildConfigBlob, buildLayerDescriptors } from '../../src/layout/image-parts.ts';
import { Layout } from '../../src/layout/layout.ts';
import { annotationKeys } from '../../src/oci/annotations.ts';
import type { Descriptor } from '../../src/oci/descriptor.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { all, failure, failureOf, writeManifest } from '../content/contract.ts';
import { paths, put, text } from '../storage/contract.ts';
import { parse } from './archives.ts';

const epoch = { created: 0 };

async function image(body: string, platform = 'linux/amd64'): Promise<Image> {
  return (await Image.scratch({ ...epoch, platform }).addLayer([{ path: 'file', body }])).cmd(['/file']);
}

describe('a layout', () => {
  test('is made new and empty, and is the same when it is made again', async () => {
    const storage = new MemoryStorage();
    await Layout.create(storage);
    expect(await text(storage, 'oci-layout')).toBe('{"imageLayoutVersion":"1.0.0"}');
    expect(JSON.parse(await text(storage, 'index.json'))).toEqual({
      schemaVersion: 2,
      mediaType: mediaTypes.index,
      manifests: [],
    });
    await exportDirectory(await image('a'), storage, { tag: 'kept' });
    const layout = await Layout.create(storage);
    expect((await layout.tags()).map(({ name }) => name)).toEqual(['kept']);
  });

  test('is made once by many at once', async () => {
    const storage = new MemoryStorage();
    const layouts = await Promise.all(Array.from({ length: 8 }, () => Layout.create(storage)));
    await Promise.all(layouts.map(async (layout, at) => layout.tag(await writeManifest(layout, `${at}`), `v${at}`)));
    expect((await layouts[0]!.tags()).length).toBe(8);
  });

  test('is not opened where there is none, or what is there is none', async () => {
    const header = '{"imageLayoutVersion":"1.0.0"}';
    const index = '{"schemaVersion":2,"manifests":[]}';
    const cases: [Record<string, string>, string][] = [
      [{}, 'LAYOUT_INVALID'],
      [{ 'oci-layout': header }, 'LAYOUT_INVALID'],
      [{ 'index.json': index }, 'LAYOUT_INVALID'],
      [{ 'oci-layout': '{"imageLayoutVersion":"2.0.0"}', 'index.json': index }, 'LAYOUT_INVALID'],
      [{ 'oci-layout': '{}', 'index.json': index }, 'LAYOUT_INVALID'],
      [{ 'oci-layout': '', 'index.json': index }, 'JSON_INVALID'],
      [{ 'oci-layout': header, 'index.json': '{"schemaVersion":2' }, 'JSON_INVALID'],
      [{ 'oci-layout': header, 'index.json': '{"schemaVersion":2,"manifests":{}}' }, 'INDEX_INVALID'],
      [{ 'oci-layout': header, 'index.json': '{"schemaVersion":2,"__proto__":{},"manifests":[]}' }, 'JSON_INVALID'],
      [{ 'oci-layout': header, 'index.json': `${index}${' '.repeat(4 * 1024 * 1024)}` }, 'LIMIT_EXCEEDED'],
    ];
    for (const [files, code] of cases) {
      const storage = new MemoryStorage();
      for (const [path, content] of Object.entries(files)) await put(storage, path, content);
      expect(await failure(Layout.open(storage))).toBe(code);
    }
  });

  test('keeps what it does not know in index.json', async () => {
    const storage = new MemoryStorage();
    const layout = await Layout.create(storage);
    const one = await writeManifest(layout, 'one');
    const index = { schemaVersion: 2, manifests: [{ ...one, 'x-root': 1 }], annotations: { a: 'b' }, 'x-index': [1] };
    await put(storage, 'index.json', JSON.stringify(index));
    await layout.tag(await writeManifest(layout, 'two'), 'two');
    const after = JSON.parse(await text(storage, 'index.json'));
    expect(after).toMatchObject({ 'x-index': [1], annotations: { a: 'b' } });
    expect(after.manifests[0]).toEqual({ ...one, 'x-root': 1 });
    expect(after.manifests[1].annotations).toEqual({ [annotationKeys.refName]: 'two' });
  });

  test('resolves tags, digests of roots, and digests that the roots reach', async () => {
    const storage = new MemoryStorage();
    const images = [await image('a'), await image('b', 'linux/arm64')];
    const root = await exportDirectory(images, storage, { tag: 'demo:1.0' });
    const layout = await Layout.open(storage);
    expect(await layout.resolve('demo:1.0')).toMatchObject({ digest: root.digest, mediaType: mediaTypes.index });
    expect((await layout.resolve(root.digest)).digest).toBe(root.digest);
    for (const each of images) expect(await layout.resolve(each.descriptor.digest)).toEqual(each.descriptor);
    const config = images[0]!.manifest.config.digest;
    expect(await failure(layout.resolve(config))).toBe('NOT_FOUND');
    const error = await failureOf(layout.resolve('demo:2.0'));
    expect(error.code).toBe('NOT_FOUND');
    expect(error.message).toContain('demo:1.0');
  });

  test('takes the later of two roots of one name, which only others write', async () => {
    const storage = new MemoryStorage();
    const layout = await Layout.create(storage);
    const roots = [await writeManifest(layout, 'one'), await writeManifest(layout, 'two')];
    const manifests = roots.map((root) => ({ ...root, annotations: { [annotationKeys.refName]: 'twice' } }));
    await put(storage, 'index.json', JSON.stringify({ schemaVersion: 2, manifests }));
    expect((await layout.resolve('twice')).digest).toBe(roots[1]!.digest);
    await layout.tag(roots[0]!, 'twice');
    expect((await layout.resolve('twice')).digest).toBe(roots[0]!.digest);
    expect((await layout.index()).manifests.length).toBe(1);
  });

  test('lists its tags, and forgets one that is removed while the content stays', async () => {
    const layout = await Layout.create(new MemoryStorage());
    const [one, two] = [await writeManifest(layout, 'one'), await writeManifest(layout, 'two')];
    await layout.tag(one, 'a');
    await layout.tag(one, 'b');
    await layout.tag(two, two.digest);
    expect((await layout.tags()).map(({ name, descriptor }) => [name, descriptor.digest])).toEqual([
      ['a', one.digest],
      ['b', one.digest],
    ]);
    await layout.untag('a');
    expect((await layout.tags()).map(({ name }) => name)).toEqual(['b']);
    expect(await failure(layout.untag('a'))).toBe('NOT_FOUND');
    expect((await layout.resolve(one.digest)).digest).toBe(one.digest);
    await layout.untag(two.digest);
    expect(await failure(layout.resolve(two.digest))).toBe('NOT_FOUND');
    expect(await layout.has(two)).toBe(true);
  });

  test('refuses a tag that would make index.json too large to be read', async () => {
    const layout = await Layout.create(new MemoryStorage(), { limits: { jsonBytes: 500 } });
    const one = await writeManifest(layout, 'one');
    let code: string | undefined;
    for (let at = 0; code === undefined && at < 10; at++)
      code = await layout.tag(one, `tag-${at}`).then(
        () => undefined,
        (error) => error.code,
      );
    expect(code).toBe('LIMIT_EXCEEDED');
    expect((await layout.tags()).length).toBeGreaterThan(0);
  });
});

describe('collecting garbage', () => {
  test('finds what no root reaches, and deletes it when told to', async () => {
    const storage = new MemoryStorage();
    const old = await image('old');
    await exportDirectory(old, storage, { tag: 'latest' });
    const root = await exportDirectory([await image('new'), await image('new', 'linux/arm64')], storage, {
      tag: 'latest',
    });
    const layout = await Layout.open(storage);
    const stray = await layout.write('stray');
    const garbage = [old.descriptor, old.manifest.config, ...buildLayerDescriptors(old), stray];
    const expected = {
      paths: garbage.map(({ digest }) => blobPath(digest)).sort(),
      bytes: garbage.reduce((sum, { size }) => sum + size, 0),
    };
    expect(await layout.gc()).toEqual(expected);
    expect(await layout.gc({ dryRun: true })).toEqual(expected);
    expect(await layout.has(stray)).toBe(true);
    expect(await layout.gc({ dryRun: false })).toEqual(expected);
    expect(await layout.has(stray)).toBe(false);
    expect(await layout.gc()).toEqual({ paths: [], bytes: 0 });
    expect((await layout.verify()).faults).toEqual([]);
    expect((await layout.resolve('latest')).digest).toBe(root.digest);
  });

  test('deletes nothing where a document that is reached is corrupt, cut short or described wrongly', async () => {
    for (const spoil of ['corrupt', 'cut', 'size'] as const) {
      const storage = new MemoryStorage();
      const root = await exportDirectory([await image('a'), await image('a', 'linux/arm64')], storage);
      const layout = await Layout.open(storage);
      await layout.write('stray');
      const content = await text(storage, blobPath(root.digest));
      if (spoil === 'corrupt') await put(storage, blobPath(root.digest), content.replace('"size":', '"sizf":'));
      if (spoil === 'cut') await put(storage, blobPath(root.digest), content.slice(0, -10));
      if (spoil === 'size') {
        const manifests = [{ ...root, size: root.size + 1 }];
        await put(storage, 'index.json', JSON.stringify({ schemaVersion: 2, manifests }));
      }
      const before = await paths(storage);
      expect(await failure(layout.gc({ dryRun: false }))).toBe(
        spoil === 'corrupt' ? 'DIGEST_MISMATCH' : 'SIZE_MISMATCH',
      );
      expect(await paths(storage)).toEqual(before);
    }
  });

  test('goes on without what is missing, and keeps what another document only calls a blob', async () => {
    const storage = new MemoryStorage();
    const kept = await image('kept');
    await exportDirectory(kept, storage, { tag: 'kept' });
    const layout = await Layout.open(storage);
    const missing: Descriptor = { mediaType: mediaTypes.manifest, digest: digestOf('missing'), size: 7 };
    const manifests = [{ ...kept.descriptor, mediaType: 'text/plain' }, missing, kept.descriptor];
    await put(storage, 'index.json', JSON.stringify({ schemaVersion: 2, manifests }));
    expect((await layout.gc({ dryRun: false })).paths).toEqual([]);
    expect((await layout.verify()).faults.map(({ code }) => code)).toEqual(['BLOB_NOT_FOUND']);
  });

  test('ends when it is aborted', async () => {
    const layout = await Layout.create(new MemoryStorage());
    await layout.write('stray');
    const reason = new Error('enough');
    await expect(layout.gc({ dryRun: false, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect((await layout.verify()).blobs).toBe(1);
  });
});

describe('verifying', () => {
  test('counts what it read where all is well', async () => {
    const storage = new MemoryStorage();
    await exportDirectory(await image('a'), storage);
    const layout = await Layout.open(storage);
    const sizes = await Promise.all(
      (await paths(storage, 'blobs/')).map(async (path) => (await storage.stat(path))!.size),
    );
    expect(await layout.verify()).toEqual({ blobs: 3, bytes: sizes.reduce((sum, size) => sum + size, 0), faults: [] });
  });

  test('reports all faults, not the first', async () => {
    const storage = new MemoryStorage();
    const [one, two, three, four] = [await image('1'), await image('2'), await image('3'), await image('4')];
    for (const [tag, each] of Object.entries({ one, two, three, four })) await exportDirectory(each, storage, { tag });
    const layout = await Layout.open(storage);
    // A layer altered, another gone, a manifest altered, a config cut short, a root that lies, files that are no blobs.
    const layer = (each: Image): string => blobPath(each.layers[0]!.descriptor.digest);
    await put(storage, layer(one), new Uint8Array(one.layers[0]!.descriptor.size));
    await storage.delete(layer(two));
    await put(storage, blobPath(three.descriptor.digest), 'not a manifest');
    await put(storage, blobPath(four.manifest.config.digest), four.configBytes.subarray(0, 20));
    await put(storage, 'blobs/sha256/README', 'x');
    await put(storage, `blobs/sha256/${'0'.repeat(64)}/x`, 'x');
    const index = await layout.index();
    const manifests = [
      ...index.manifests,
      { ...two.descriptor, size: 1 },
      { ...one.descriptor, digest: digestOf('?') },
    ];
    await put(storage, 'index.json', JSON.stringify({ ...index, manifests }));
    const { faults, blobs } = await layout.verify();
    const expected = [
      `BLOB_NOT_FOUND ${two.descriptor.digest} names ${two.layers[0]!.descriptor.digest}`,
      `BLOB_NOT_FOUND index.json names ${digestOf('?')}`,
      `DIGEST_MISMATCH ${layer(one)}`,
      `DIGEST_MISMATCH ${blobPath(three.descriptor.digest)}`,
      `DIGEST_MISMATCH ${blobPath(four.manifest.config.digest)}`,
      `LAYOUT_INVALID blobs/sha256/${'0'.repeat(64)}/x`,
      'LAYOUT_INVALID blobs/sha256/README',
      `SIZE_MISMATCH ${four.descriptor.digest} says that ${four.manifest.config.digest}`,
      `SIZE_MISMATCH index.json says that ${two.descriptor.digest}`,
      `SIZE_MISMATCH index.json says that ${three.descriptor.digest}`,
    ];
    const told = faults.map(({ code, message }) => `${code} ${message}`);
    expect(expected.filter((start) => !told.some((sentence) => sentence.startsWith(start)))).toEqual([]);
    expect(told.length).toBe(expected.length);
    expect(blobs).toBe(11);
    expect(faults.every(({ message }) => message.endsWith('.'))).toBe(true);
  });

  test('reports a layout without a header or index, and a document of the wrong kind', async () => {
    const storage = new MemoryStorage();
    await exportDirectory(await image('a'), storage);
    const layout = await Layout.open(storage);
    const [root] = (await layout.index()).manifests as [Descriptor];
    await put(storage, 'oci-layout', '{}');
    const manifests = [{ ...root, mediaType: mediaTypes.index }];
    await put(storage, 'index.json', JSON.stringify({ schemaVersion: 2, manifests }));
    expect((await layout.verify()).faults.map(({ code }) => code)).toEqual(['LAYOUT_INVALID', 'INDEX_INVALID']);
    await storage.delete('oci-layout');
    await put(storage, 'index.json', '[]');
    expect((await layout.verify()).faults.map(({ code }) => code)).toEqual(['LAYOUT_INVALID', 'INDEX_INVALID']);
  });

  test('ends when it is aborted', async () => {
    const storage = new MemoryStorage();
    await exportDirectory(await image('a'), storage);
    const reason = new Error('enough');
    const layout = await Layout.open(storage);
    await expect(layout.verify({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe('exporting into a directory', () => {
  test('writes a whole layout with one tag, latest unless told', async () => {
    const storage = new MemoryStorage();
    const one = await image('a');
    const root = await exportDirectory(one, storage);
    expect(root).toEqual(one.descriptor);
    expect(await paths(storage)).toEqual(
      [
        'index.json',
        'oci-layout',
        ...[one.descriptor, one.manifest.config, ...buildLayerDescriptors(one)].map(({ digest }) => blobPath(digest)),
      ].sort(),
    );
    expect((await (await Layout.open(storage)).tags()).map(({ name }) => name)).toEqual(['latest']);
  });

  test('adds to a layout that is there, whose other tags stay', async () => {
    const storage = new MemoryStorage();
    await exportDirectory(await image('a'), storage, { tag: 'a' });
    await exportDirectory(await image('b'), storage, { tag: 'b' });
    await exportDirectory(await image('c'), storage, { tag: 'a' });
    const layout = await Layout.open(storage);
    expect((await layout.tags()).map(({ name }) => name).sort()).toEqual(['a', 'b']);
    expect((await Image.from(layout, 'a')).descriptor).toEqual((await image('c')).descriptor);
  });

  test('writes several platforms as one index', async () => {
    const storage = new MemoryStorage();
    const images = [await image('a'), await image('b', 'linux/arm64'), await image('c', 'linux/arm/v7')];
    const root = await exportDirectory(images, storage, { tag: 'multi' });
    const index = parse<{ manifests: Descriptor[] }>(await all(await (await Layout.open(storage)).read(root)));
    expect(index.manifests).toEqual(images.map(({ descriptor }) => JSON.parse(JSON.stringify(descriptor))));
  });

  test('refuses a bad name, no image, or two for one platform before anything is written', async () => {
    const one = await image('a');
    const cases: [Parameters<typeof exportDirectory>[0], string, string][] = [
      [one, 'not a name', 'REFERENCE_INVALID'],
      [one, '', 'REFERENCE_INVALID'],
      [[], 'a', 'ARGUMENT_INVALID'],
      [[one, await image('b')], 'a', 'ARGUMENT_INVALID'],
    ];
    for (const [images, tag, code] of cases) {
      const storage = new MemoryStorage();
      expect(await failure(exportDirectory(images, storage, { tag }))).toBe(code);
      expect(await paths(storage)).toEqual([]);
    }
  });

  test('ends with the reason when it is aborted, and sets no tag', async () => {
    const storage = new MemoryStorage();
    const reason = new Error('enough');
    const controller = new AbortController();
    const exporting = exportDirectory(await image('a'), storage, {
      signal: controller.signal,
      onProgress: () => controller.abort(reason),
    });
    await expect(exporting).rejects.toBe(reason);
    const layout = await Layout.open(storage);
    expect(await layout.tags()).toEqual([]);
    expect((await layout.verify()).faults).toEqual([]);
  });
});

describe('the parts of an image', () => {
  test('are its config blob and its layer descriptors, base layers first', async () => {
    const layers = [await createLayer([{ path: 'a' }]), await createLayer([{ path: 'b' }], { compression: 'none' })];
    const built = layers.reduce((made, layer) => made.append(layer), Image.scratch(epoch));
    expect(buildLayerDescriptors(built)).toEqual(layers.map(({ descriptor }) => descriptor));
    const { bytes, digest } = buildConfigBlob(built);
    expect(digest).toBe(digestOf(bytes));
    expect(parse<object>(bytes)).toEqual(built.config);
  });
});

import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/bytes/hash.ts';
import type { Progress } from '../../src/bytes/progress.ts';
import { blobPath } from '../../src/content/blob-store.ts';
import type { BlobStore, ContentSource, ContentStore } from '../../src/content/content.ts';
import { copy, copyGraph } from '../../src/content/copy.ts';
import { walkGraph } from '../../src/content/graph.ts';
import { Image } from '../../src/image/image.ts';
import { Layout } from '../../src/layout/layout.ts';
import type { Limits } from '../../src/limits.ts';
import { type Descriptor, emptyDescriptor } from '../../src/oci/descriptor.ts';
import { imageIndex } from '../../src/oci/image-index.ts';
import { serializeManifest } from '../../src/oci/manifest.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import { serializeIndex } from '../../src/oci/serialize-index.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { put } from '../storage/contract.ts';
import { all, bytes, describeBytes, failure, failureOf, pattern, text } from './contract.ts';

describe('copy', () => {
  test('brings an image with all that it names, and the tag', async () => {
    const { layout: from, root } = await imageLayout(['linux/amd64']);
    const to = await emptyLayout();
    expect(await copy(from, to, { references: ['demo'] })).toEqual([expect.objectContaining({ digest: root.digest })]);
    expect((await to.resolve('demo')).digest).toBe(root.digest);
    expect(await to.verify()).toMatchObject({ faults: [], blobs: (await from.verify()).blobs });
    const image = await Image.from(to, 'demo');
    expect(image.manifestBytes).toEqual((await Image.from(from, 'demo')).manifestBytes);
  });

  test('takes many references, tags and digests, and gives their roots in that order', async () => {
    const { layout: from, root } = await imageLayout(['linux/amd64']);
    const other = await writeIndex(from, [root]);
    await from.tag(other, 'other');
    const to = await emptyLayout();
    const copied = await copy(from, to, { references: ['other', root.digest, 'demo'] });
    expect(copied.map(({ digest }) => digest)).toEqual([other.digest, root.digest, root.digest]);
    expect((await to.tags()).map(({ name }) => name).sort()).toEqual(['demo', 'other']);
    expect((await to.verify()).faults).toEqual([]);
  });

  test('copies by digest without giving a name', async () => {
    const { layout: from, root } = await imageLayout(['linux/amd64']);
    const to = await emptyLayout();
    await copy(from, to, { references: [root.digest] });
    expect(await to.tags()).toEqual([]);
    expect((await to.resolve(root.digest)).digest).toBe(root.digest);
  });

  test('reads each blob once, however often it is named', async () => {
    const { layout: from, root } = await imageLayout(['linux/amd64', 'linux/arm64', 'linux/arm/v7']);
    const nested = await writeIndex(from, [root, root]);
    const outer = await writeIndex(from, [nested, root, nested]);
    await from.tag(outer, 'outer');
    const { source, reads } = counting(from);
    const to = await emptyLayout();
    await copy(source, to, { references: ['outer'] });
    expect([...reads.values()].filter((times) => times > 1)).toEqual([]);
    expect((await to.verify()).faults).toEqual([]);
  });

  test('writes children before parents, also where a document is named on several levels', async () => {
    const { layout: from, root } = await imageLayout(['linux/amd64', 'linux/arm64']);
    const [manifest] = imageIndex.parse(await all(await from.read(root))).manifests as [Descriptor];
    const nested = await writeIndex(from, [manifest]);
    const deeper = await writeIndex(from, [nested, manifest]);
    for (const roots of [
      [await writeIndex(from, [manifest, deeper])],
      [await writeIndex(from, [deeper, manifest])],
      [manifest, await writeIndex(from, [nested, manifest, deeper])],
      [deeper, nested, manifest],
    ]) {
      const to = await emptyLayout();
      const order: Descriptor[] = [];
      await copyGraph(from, writing(to, order), roots);
      await expectChildrenFirst(from, order);
    }
  });

  test('lists parents before children when it walks', async () => {
    const { layout, root } = await imageLayout(['linux/amd64', 'linux/arm64']);
    const [one, two] = imageIndex.parse(await all(await layout.read(root))).manifests as [Descriptor, Descriptor];
    const nested = await writeIndex(layout, [one]);
    const outer = await writeIndex(layout, [one, nested, two]);
    const { documents } = await walkGraph(layout, [outer]);
    expect(documents.map(({ descriptor }) => descriptor.digest)).toEqual(
      [outer, nested, one, two].map(({ digest }) => digest),
    );
  });

  test('skips what is there, and says so', async () => {
    const { layout: from } = await imageLayout(['linux/amd64', 'linux/arm64']);
    const to = await emptyLayout();
    await copy(from, to, { references: ['demo'] });
    const { source, reads } = counting(from);
    const seen: Progress[] = [];
    await copy(source, to, { references: ['demo'], onProgress: (progress) => seen.push({ ...progress }) });
    expect(seen.every(({ phase, transferred, total }) => phase === 'skip' && transferred === total)).toBe(true);
    expect(new Set(seen.map(({ descriptor }) => descriptor?.digest)).size).toBe((await to.verify()).blobs);
    // Documents have to be read to know what they name; configs and layers do not.
    expect([...reads.keys()].length).toBe(3);
  });

  test('goes on where a broken copy stopped', async () => {
    const { layout: from } = await imageLayout(['linux/amd64']);
    const to = await emptyLayout();
    const error = new Error('the line went dead');
    let writes = 0;
    const broken: ContentStore = {
      ...bound(to),
      write: (...args) => (++writes === 2 ? Promise.reject(error) : to.write(...args)),
    };
    await expect(copy(from, broken, { references: ['demo'], concurrency: 1 })).rejects.toBe(error);
    expect(await to.tags()).toEqual([]);
    expect((await to.verify()).faults).toEqual([]);
    const skipped: unknown[] = [];
    await copy(from, to, { references: ['demo'], onProgress: ({ phase }) => phase === 'skip' && skipped.push(1) });
    expect(skipped.length).toBe(1);
    expect((await to.verify()).faults).toEqual([]);
  });

  test('reports each blob as it moves, from nothing to all of it', async () => {
    const { layout: from } = await imageLayout(['linux/amd64'], pattern(1_000_000));
    const to = await emptyLayout();
    const seen = new Map<string, Progress[]>();
    await copy(from, to, {
      references: ['demo'],
      onProgress: (progress) => {
        const { digest } = progress.descriptor as Descriptor;
        seen.set(digest, [...(seen.get(digest) ?? []), { ...progress }]);
      },
    });
    expect(seen.size).toBe((await to.verify()).blobs);
    for (const reports of seen.values()) {
      expect(reports.every(({ phase }) => phase === 'write')).toBe(true);
      const transferred = reports.map((report) => report.transferred);
      expect(transferred).toEqual(transferred.toSorted((a, b) => a - b));
      expect(transferred.at(-1)).toBe(reports[0]?.total);
    }
    expect([...seen.values()].some((reports) => reports.length > 2)).toBe(true);
  });

  test('has no more blobs under way than it was told', async () => {
    const { layout: from } = await imageLayout(['linux/amd64', 'linux/arm64', 'linux/s390x', 'linux/ppc64le']);
    for (const concurrency of [1, 3]) {
      const to = await emptyLayout();
      let [now, most] = [0, 0];
      const store: ContentStore = {
        ...bound(to),
        async write(...args) {
          most = Math.max(most, ++now);
          await new Promise((resolve) => setTimeout(resolve, 2));
          return to.write(...args).finally(() => now--);
        },
      };
      await copy(from, store, { references: ['demo'], concurrency });
      expect(most).toBe(concurrency);
    }
    const to = await emptyLayout();
    expect(await failure(copy(from, to, { references: ['demo'], concurrency: 0 }))).toBe('ARGUMENT_INVALID');
  });

  test('ends with the reason when it is aborted, and leaves no document without its children', async () => {
    const { layout: from } = await imageLayout(['linux/amd64'], pattern(2_000_000));
    const reason = new Error('enough');
    const { digest } = await from.resolve('demo');
    const blobs = (await from.verify()).blobs;
    for (let stop = 0; stop <= blobs; stop++) {
      const to = await emptyLayout();
      const controller = new AbortController();
      let reports = 0;
      const onProgress = (): void => {
        if (reports++ === stop) controller.abort(reason);
      };
      if (stop === blobs) controller.abort(reason);
      const copying = copy(from, to, { references: ['demo'], signal: controller.signal, onProgress });
      await expect(copying).rejects.toBe(reason);
      expect(await to.tags()).toEqual([]);
      await to.tag({ mediaType: mediaTypes.manifest, digest, size: 1 }, 'x').catch(() => {});
      expect((await to.verify()).faults).toEqual([]);
    }
  });

  test('names what is missing', async () => {
    const { layout: from } = await imageLayout(['linux/amd64']);
    const { manifest } = await Image.from(from, 'demo');
    expect(await failure(copy(from, await emptyLayout(), { references: ['nope'] }))).toBe('NOT_FOUND');
    for (const child of [manifest.config, manifest.layers[0]!]) {
      const other = new MemoryStorage();
      await copy(from, await Layout.create(other), { references: ['demo'] });
      await other.delete(blobPath(child.digest));
      const to = await emptyLayout();
      const error = await failureOf(copy(await Layout.open(other), to, { references: ['demo'] }));
      expect(error.code).toBe('BLOB_NOT_FOUND');
      expect(error.message).toContain(child.digest);
      expect(await to.tags()).toEqual([]);
    }
  });

  test('refuses corrupt content, and the target stays whole', async () => {
    const { layout: from, storage } = await imageLayout(['linux/amd64']);
    const image = await Image.from(from, 'demo');
    for (const child of [image.descriptor, image.manifest.config, image.manifest.layers[0]!]) {
      const before = await all(await from.read(child));
      await put(storage, blobPath(child.digest), before.slice().fill(32, 3, 9));
      const to = await emptyLayout();
      expect(await failure(copy(from, to, { references: ['demo'] }))).toBe('DIGEST_MISMATCH');
      expect((await to.verify()).faults).toEqual([]);
      await put(storage, blobPath(child.digest), before);
    }
  });

  test('releases what it opened when the target fails', async () => {
    const { layout: from } = await imageLayout(['linux/amd64']);
    const to = await emptyLayout();
    let [opened, released] = [0, 0];
    const source: ContentSource = {
      ...bound(from),
      async read(descriptor) {
        const content = await all(await from.read(descriptor));
        opened++;
        return new ReadableStream(
          {
            pull(controller) {
              controller.enqueue(content);
              controller.close();
              released++;
            },
            cancel: () => void released++,
          },
          { highWaterMark: 0 },
        );
      },
    };
    const full: ContentStore = { ...bound(to), write: () => Promise.reject(new Error('disk full')) };
    await expect(copy(source, full, { references: ['demo'] })).rejects.toThrow('disk full');
    expect(released).toBe(opened);
  });
});

describe('copy of some platforms', () => {
  test('writes an index of those alone, under the same tag', async () => {
    const { layout: from, root } = await imageLayout(['linux/amd64', 'linux/arm64', 'linux/arm/v7']);
    const to = await emptyLayout();
    const [copied] = (await copy(from, to, { references: ['demo'], platforms: 'linux/arm64,linux/arm/v7' })) as [
      Descriptor,
    ];
    expect(copied.digest).not.toBe(root.digest);
    const index = imageIndex.parse(await all(await to.read(await to.resolve('demo'))));
    expect(index.manifests.map(({ platform }) => platform?.architecture)).toEqual(['arm64', 'arm']);
    const report = await to.verify();
    expect(report.faults).toEqual([]);
    expect(report.blobs).toBe(1 + 2 * 3);
  });

  test('keeps the digest where all platforms are wanted', async () => {
    const { layout: from, root } = await imageLayout(['linux/amd64', 'linux/arm64']);
    const to = await emptyLayout();
    const platforms = [
      { os: 'linux', architecture: 'arm64' },
      { os: 'linux', architecture: 'amd64' },
    ];
    const [copied] = await copy(from, to, { references: ['demo'], platforms });
    expect(copied?.digest).toBe(root.digest);
  });

  test('takes the attestations of its manifests along, and leaves those of others', async () => {
    const { layout: from, root } = await imageLayout(['linux/amd64', 'linux/arm64']);
    const { manifests } = imageIndex.parse(await all(await from.read(root)));
    const attestations = await Promise.all(
      manifests.map(async (subject) => {
        const attestation = await writeAttestation(from, subject.digest);
        return {
          ...attestation,
          platform: { os: 'unknown', architecture: 'unknown' },
          annotations: {
            'vnd.docker.reference.digest': subject.digest,
            'vnd.docker.reference.type': 'attestation-manifest',
          },
        };
      }),
    );
    await from.tag(await writeIndex(from, [...manifests, ...attestations]), 'attested');
    const to = await emptyLayout();
    await copy(from, to, { references: ['attested'], platforms: 'linux/arm64' });
    const index = imageIndex.parse(await all(await to.read(await to.resolve('attested'))));
    expect(index.manifests.map(({ digest }) => digest)).toEqual([manifests[1]?.digest, attestations[1]?.digest]);
    expect((await to.verify()).faults).toEqual([]);
  });

  test('names what there is where a platform is not, and refuses a list of none', async () => {
    const { layout: from } = await imageLayout(['linux/amd64', 'linux/arm64']);
    const to = await emptyLayout();
    const error = await failureOf(copy(from, to, { references: ['demo'], platforms: 'linux/amd64,linux/s390x' }));
    expect(error.code).toBe('NOT_FOUND');
    expect(error.message).toMatch(/linux\/s390x.*linux\/amd64, linux\/arm64/);
    expect(await failure(copy(from, to, { references: ['demo'], platforms: [] }))).toBe('ARGUMENT_INVALID');
    expect(await failure(copy(from, to, { references: ['demo'], platforms: '' }))).toBe('PLATFORM_INVALID');
    expect((await to.verify()).blobs).toBe(0);
    const { layout: single } = await imageLayout(['linux/amd64']);
    expect(await failure(copy(single, to, { references: ['demo'], platforms: 'linux/amd64' }))).toBe(
      'ARGUMENT_INVALID',
    );
  });
});

describe('hostile and odd graphs', () => {
  test('indexes nested too deep are refused, and no less deep ones', async () => {
    const { layout: from, root } = await imageLayout(['linux/amd64']);
    const limits = { indexDepth: 3 };
    let index = await writeIndex(from, [root]);
    for (let depth = 0; depth < 3; depth++) index = await writeIndex(from, [index]);
    await from.tag(index, 'deep');
    const to = await emptyLayout();
    await copy(from, to, { references: ['deep'], limits });
    await Image.from(to, 'deep', { limits });
    await from.tag(await writeIndex(from, [index]), 'too-deep');
    const error = await failureOf(copy(from, to, { references: ['too-deep'], limits }));
    expect([error.code, error.details.limit]).toEqual(['LIMIT_EXCEEDED', 'indexDepth']);
    expect(await failure(Image.from(from, 'too-deep', { limits }))).toBe('LIMIT_EXCEEDED');
    await from.untag('deep');
    await from.untag('demo');
    const shallow = await Layout.open(from.storage, { limits });
    expect((await shallow.verify()).faults.map(({ code }) => code)).toEqual(['LIMIT_EXCEEDED']);
  });

  test('indexes that name one another again and again are each read once', async () => {
    const { layout: from, root } = await imageLayout(['linux/amd64']);
    let index = await writeIndex(from, [root]);
    // Read at each mention this would be 50^7 documents.
    for (let depth = 0; depth < 7; depth++) index = await writeIndex(from, Array(50).fill(index));
    await from.tag(index, 'wide');
    const { source, reads } = counting(from);
    const to = await emptyLayout();
    await copy(source, to, { references: ['wide'] });
    await Image.from(source, 'wide');
    expect(Math.max(...reads.values())).toBe(2);
  });

  test('graphs past the limits are refused before they are copied', async () => {
    const { layout: from } = await imageLayout(['linux/amd64', 'linux/arm64']);
    const cases: [Partial<Limits>, keyof Limits][] = [
      [{ graphNodes: 4 }, 'graphNodes'],
      [{ documentBytes: 500 }, 'documentBytes'],
      [{ jsonBytes: 300 }, 'jsonBytes'],
    ];
    for (const [limits, limit] of cases) {
      const to = await emptyLayout();
      const error = await failureOf(copy(from, to, { references: ['demo'], limits }));
      expect([error.code, error.details.limit]).toEqual(['LIMIT_EXCEEDED', limit]);
      expect((await to.verify()).blobs).toBe(0);
    }
  });

  test('a document that says it is huge is not even asked for', async () => {
    const { layout: from } = await imageLayout(['linux/amd64']);
    const { source, reads } = counting(from);
    const huge = { mediaType: mediaTypes.manifest, digest: digestOf('huge'), size: 5 * 1024 ** 3 };
    const error = await failureOf(copyGraph(source, await emptyLayout(), [huge]));
    expect([error.code, error.details.limit]).toEqual(['LIMIT_EXCEEDED', 'jsonBytes']);
    expect(reads.size).toBe(0);
  });

  test('sizes that lie are refused: of a document, of a blob, and two of one digest', async () => {
    const { layout: from, root } = await imageLayout(['linux/amd64']);
    const { manifest } = await Image.from(from, 'demo');
    const layer = manifest.layers[0]!;
    const lies = [
      { ...root, size: root.size + 1 },
      await writeManifestOf(from, [{ ...layer, size: layer.size - 1 }]),
      await writeManifestOf(from, [layer, { ...layer, size: layer.size + 1 }]),
      await writeManifestOf(from, [{ ...layer, size: 0 }]),
    ];
    for (const lie of lies) {
      const to = await emptyLayout();
      expect(await failure(copyGraph(from, to, [lie]))).toBe('SIZE_MISMATCH');
      expect((await to.verify()).faults).toEqual([]);
      expect((await to.verify()).blobs).toBeLessThan(3);
    }
  });

  test('a document of the wrong kind is refused', async () => {
    const { layout: from, root } = await imageLayout(['linux/amd64']);
    const index = await writeIndex(from, [root]);
    expect(await failure(copyGraph(from, await emptyLayout(), [{ ...root, mediaType: mediaTypes.index }]))).toBe(
      'INDEX_INVALID',
    );
    expect(await failure(copyGraph(from, await emptyLayout(), [{ ...index, mediaType: mediaTypes.manifest }]))).toBe(
      'MANIFEST_INVALID',
    );
    const broken = await from.write('{"schemaVersion":2', { mediaType: mediaTypes.manifest });
    expect(await failure(copyGraph(from, await emptyLayout(), [broken]))).toBe('JSON_INVALID');
  });

  test('a document that another one calls a plain blob still brings its children', async () => {
    const { layout: from, root } = await imageLayout(['linux/amd64']);
    for (const children of [
      [{ ...root, mediaType: 'application/octet-stream' }, root],
      [root, { ...root, mediaType: 'application/octet-stream' }],
    ]) {
      const to = await emptyLayout();
      const order: Descriptor[] = [];
      await copyGraph(from, writing(to, order), [await writeIndex(from, children)]);
      await expectChildrenFirst(from, order);
      expect(order.length).toBe(4);
    }
  });

  test('duplicate descriptors are copied once', async () => {
    const { layout: from } = await imageLayout(['linux/amd64']);
    const layer = (await Image.from(from, 'demo')).manifest.layers[0]!;
    const order: Descriptor[] = [];
    const to = await emptyLayout();
    await copyGraph(from, writing(to, order), [await writeManifestOf(from, [layer, layer, layer])]);
    expect(order.length).toBe(3);
  });

  test('content that a descriptor carries is taken from there, and checked', async () => {
    const from = await emptyLayout();
    const carried = { ...describeBytes('carried', 'text/plain'), data: btoa('carried') };
    const root = await from.write(
      manifestBytes(emptyDescriptor, [carried, { ...carried, ...describeBytes('{}'), data: 'e30=' }]),
      { mediaType: mediaTypes.manifest },
    );
    const to = await emptyLayout();
    await copyGraph(from, to, [root]);
    expect(await text(await to.read(carried))).toBe('carried');
    expect(await text(await to.read(emptyDescriptor))).toBe('{}');
    const lie = await from.write(manifestBytes(emptyDescriptor, [{ ...carried, data: btoa('CARRIED') }]), {
      mediaType: mediaTypes.manifest,
    });
    expect(await failure(copyGraph(from, await emptyLayout(), [lie]))).toBe('DIGEST_MISMATCH');
    // A root may carry itself.
    const data = btoa(String.fromCharCode(...(await all(await from.read(root)))));
    const target = await emptyLayout();
    await copyGraph(await emptyLayout(), target, [{ ...root, data }]);
    expect(await target.has(root)).toBe(true);
  });

  test('an unknown algorithm in a document does no harm until its content is wanted', async () => {
    const from = await emptyLayout();
    const odd = { mediaType: mediaTypes.layer, digest: 'blake3:0123456789abcdef', size: 3 };
    const root = await from.write(manifestBytes(emptyDescriptor, [odd]), { mediaType: mediaTypes.manifest });
    expect((await walkGraph(from, [root])).blobs).toContainEqual(odd);
    expect(await failure(copyGraph(from, await emptyLayout(), [root]))).toBe('DIGEST_INVALID');
  });

  test('layers that must not be distributed are passed over where they are not held', async () => {
    for (const mediaType of [mediaTypes.nonDistributableLayerGzip, mediaTypes.docker.foreignLayer]) {
      const from = await emptyLayout();
      const foreign = { ...describeBytes('elsewhere', mediaType), urls: ['https://example.com/layer'] };
      const root = await from.write(manifestBytes(emptyDescriptor, [foreign]), { mediaType: mediaTypes.manifest });
      await from.tag(root, 'windows');
      const to = await emptyLayout();
      await copy(from, to, { references: ['windows'] });
      expect(await to.has(foreign)).toBe(false);
      expect((await to.verify()).faults).toEqual([]);
      await from.write('elsewhere', foreign);
      await copy(from, to, { references: ['windows'] });
      expect(await to.has(foreign)).toBe(true);
    }
  });
});

async function emptyLayout(): Promise<Layout> {
  return Layout.create(new MemoryStorage());
}

/** A layout with an image tagged `demo`, for one platform or as an index of several. */
async function imageLayout(
  platforms: string[],
  body: Uint8Array = bytes('hello'),
): Promise<{ layout: Layout; storage: MemoryStorage; root: Descriptor }> {
  const storage = new MemoryStorage();
  const layout = await Layout.create(storage);
  const manifests: Descriptor[] = [];
  for (const platform of platforms) {
    const image = await Image.scratch({ platform, created: 0, store: layout }).addLayer(
      [
        { path: 'platform', body: platform },
        { path: 'body', body },
      ],
      { compression: 'none', mtime: 0 },
    );
    await layout.write(image.configBytes, image.manifest.config);
    manifests.push({ ...(await layout.write(image.manifestBytes, image.descriptor)) });
  }
  const root = manifests.length === 1 ? manifests[0]! : await writeIndex(layout, manifests);
  await layout.tag(root, 'demo');
  return { layout, storage, root };
}

async function writeIndex(store: BlobStore, manifests: Descriptor[]): Promise<Descriptor> {
  return store.write(serializeIndex({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }), {
    mediaType: mediaTypes.index,
  });
}

async function writeManifestOf(store: BlobStore, layers: Descriptor[]): Promise<Descriptor> {
  await store.write('{}', emptyDescriptor);
  return store.write(manifestBytes(emptyDescriptor, layers), { mediaType: mediaTypes.manifest });
}

function manifestBytes(config: Descriptor, layers: Descriptor[]): Uint8Array {
  return serializeManifest({
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    artifactType: 'application/vnd.example',
    config,
    layers,
  });
}

async function writeAttestation(store: BlobStore, subject: string): Promise<Descriptor> {
  const statement = await store.write(`statement on ${subject}`, { mediaType: 'application/vnd.in-toto+json' });
  return writeManifestOf(store, [statement]);
}

/** The methods of a store as plain functions, to be replaced one by one. */
function bound(store: ContentStore): ContentStore {
  return {
    has: (...args) => store.has(...args),
    read: (...args) => store.read(...args),
    write: (...args) => store.write(...args),
    resolve: (...args) => store.resolve(...args),
    tag: (...args) => store.tag(...args),
  };
}

function counting(store: ContentStore): { source: ContentSource; reads: Map<string, number> } {
  const reads = new Map<string, number>();
  const source: ContentSource = {
    ...bound(store),
    read(descriptor, options) {
      reads.set(descriptor.digest, (reads.get(descriptor.digest) ?? 0) + 1);
      return store.read(descriptor, options);
    },
  };
  return { source, reads };
}

function writing(store: ContentStore, order: Descriptor[]): ContentStore {
  return {
    ...bound(store),
    async write(body, expected, options) {
      const written = await store.write(body, expected, options);
      order.push(written);
      return written;
    },
  };
}

async function expectChildrenFirst(source: ContentSource, order: readonly Descriptor[]): Promise<void> {
  const written = new Set<string>();
  for (const descriptor of order) {
    expect(written.has(descriptor.digest)).toBe(false);
    if (/(manifest|index)\.v1\+json$/.test(descriptor.mediaType)) {
      const document = JSON.parse(await text(await source.read(descriptor)));
      const children: Descriptor[] = document.manifests ?? [document.config, ...document.layers];
      for (const child of children) expect(written).toContain(child.digest);
    }
    written.add(descriptor.digest);
  }
}

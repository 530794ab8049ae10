import { beforeAll, describe, expect, test } from 'vitest';
import { readBytes, readChunks } from '../../src/bytes/byte-source.ts';
import { inPieces } from '../../src/bytes/chunks.ts';
import { gunzip } from '../../src/bytes/gunzip.ts';
import { gzip } from '../../src/bytes/gzip.ts';
import { digestOf } from '../../src/bytes/hash.ts';
import type { Progress } from '../../src/bytes/progress.ts';
import { Image } from '../../src/image/image.ts';
import { createLayer } from '../../src/layer/create-layer.ts';
import { exportDirectory } from '../../src/layout/export-directory.ts';
import { Layout } from '../../src/layout/layout.ts';
import { type LoadTarballOptions, loadTarballForPush } from '../../src/layout/load-tarball.ts';
import { type SaveTarballOptions, saveTarball } from '../../src/layout/save-tarball.ts';
import { annotationKeys } from '../../src/oci/annotations.ts';
import type { Descriptor } from '../../src/oci/descriptor.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import type { Storage } from '../../src/storage/storage.ts';
import type { TarSource } from '../../src/tar/write-tar.ts';
import { all, bytes, failure, failureOf, pattern } from '../content/contract.ts';
import { paths } from '../storage/contract.ts';
import { addDocument, entry, type Files, noise, pack, packFiles, parse, special, unpack } from './archives.ts';

const epoch = { created: 0 };
const uncompressed: SaveTarballOptions = { tag: 'demo:1.0', compression: 'none' };

let single: Image;
let several: Image[];
let archive: Uint8Array;
let multiArchive: Uint8Array;

beforeAll(async () => {
  const shared = await createLayer([{ path: 'shared', body: noise(100_000) }], { mtime: 0 });
  const make = async (platform: string): Promise<Image> =>
    (
      await Image.scratch({ ...epoch, platform })
        .append(shared)
        .addLayer([{ path: 'platform', body: platform }])
    )
      .cmd(['/platform'])
      .annotation('for', platform);
  single = await make('linux/amd64');
  several = [single, await make('linux/arm64'), await make('linux/arm/v7')];
  archive = await all(saveTarball(single, uncompressed));
  multiArchive = await all(saveTarball(several, uncompressed));
});

describe('a saved archive', () => {
  test('is the same each time, plain and compressed', async () => {
    for (const options of [uncompressed, { tag: 'demo:1.0' }, { tag: 'demo:1.0', gzip: { level: 1 } }]) {
      for (const images of [single, several]) {
        const [one, two] = [await all(saveTarball(images, options)), await all(saveTarball(images, options))];
        expect(digestOf(one)).toBe(digestOf(two));
      }
    }
    const compressed = await all(saveTarball(single, { tag: 'demo:1.0' }));
    expect(digestOf(await readBytes(gunzip(readChunks(compressed))))).toBe(digestOf(archive));
  });

  test('is an OCI layout with one tagged root and Docker’s manifest.json beside it', async () => {
    const files = await unpack(archive);
    expect([...files.keys()].slice(0, 3)).toEqual(['oci-layout', 'index.json', 'manifest.json']);
    const { manifests } = parse<{ manifests: Descriptor[] }>(files.get('index.json'));
    expect(manifests).toEqual([
      {
        ...JSON.parse(JSON.stringify(single.descriptor)),
        annotations: {
          'io.containerd.image.name': 'docker.io/library/demo:1.0',
          [annotationKeys.refName]: 'demo:1.0',
        },
      },
    ]);
    expect(parse<unknown>(files.get('manifest.json'))).toEqual([
      {
        Config: `blobs/${single.manifest.config.digest.replace(':', '/')}`,
        RepoTags: ['demo:1.0'],
        Layers: single.manifest.layers.map(({ digest }) => `blobs/${digest.replace(':', '/')}`),
      },
    ]);
    for (const [path, content] of files)
      if (path.startsWith('blobs/')) expect(`blobs/${digestOf(content).replace(':', '/')}`).toBe(path);
    expect(files.size).toBe(3 + 2 + 2);
  });

  test('holds one nested index for several platforms, and each shared blob once', async () => {
    const files = await unpack(multiArchive);
    const { manifests } = parse<{ manifests: Descriptor[] }>(files.get('index.json'));
    expect(manifests.length).toBe(1);
    expect(manifests[0]?.mediaType).toBe(mediaTypes.index);
    const nested = parse<{ manifests: Descriptor[] }>(files.get(`blobs/${manifests[0]?.digest.replace(':', '/')}`));
    expect(nested.manifests.map(({ platform }) => platform?.architecture)).toEqual(['amd64', 'arm64', 'arm']);
    expect(files.size).toBe(3 + 1 + 3 * 3 + 1);
  });

  test('is a layout as a directory is: unpacked it verifies', async () => {
    for (const source of [archive, multiArchive]) {
      const storage = new MemoryStorage();
      for (const [path, content] of await unpack(source)) {
        const file = await storage.create();
        await file.write(content);
        await file.commit(path);
      }
      const layout = await Layout.open(storage);
      expect((await layout.verify()).faults).toEqual([]);
      expect((await layout.tags()).map(({ name }) => name)).toEqual(['demo:1.0']);
    }
  });

  test('has a name that engines take only where the tag is one', async () => {
    const files = await unpack(saveTarball(single, { tag: '1.0', compression: 'none' }));
    expect(parse<{ RepoTags: unknown }[]>(files.get('manifest.json'))[0]?.RepoTags).toBe(null);
    const { manifests } = parse<{ manifests: Descriptor[] }>(files.get('index.json'));
    expect(manifests[0]?.annotations).toEqual({ [annotationKeys.refName]: '1.0' });
  });

  test('reports each blob, ends when it is aborted, and may be left', async () => {
    const seen: Progress[] = [];
    await all(saveTarball(single, { ...uncompressed, onProgress: (progress) => seen.push({ ...progress }) }));
    expect(seen.map(({ descriptor }) => descriptor?.digest)).toEqual(
      [single.manifest.config, ...single.manifest.layers].map(({ digest }) => digest),
    );
    const reason = new Error('enough');
    const controller = new AbortController();
    const stopped = saveTarball(single, {
      ...uncompressed,
      signal: controller.signal,
      onProgress: () => controller.abort(reason),
    });
    await expect(all(stopped)).rejects.toBe(reason);
    const reader = saveTarball(single, uncompressed).getReader();
    await reader.read();
    await reader.cancel();
  });

  test('is refused at once for a bad name, no image, two for one platform, an unknown compression', () => {
    const cases: [() => unknown, string][] = [
      [() => saveTarball(single, { tag: 'not a name' }), 'REFERENCE_INVALID'],
      [() => saveTarball([]), 'ARGUMENT_INVALID'],
      [() => saveTarball([single, single]), 'ARGUMENT_INVALID'],
      [() => saveTarball(single, { compression: 'zip' as 'gzip' }), 'ARGUMENT_INVALID'],
      [() => saveTarball(single, { gzip: { level: 11 } }), 'ARGUMENT_INVALID'],
    ];
    for (const [call, code] of cases) expect(call).toThrow(expect.objectContaining({ code }));
  });

  test('fails where a layer of the image is not what its digest says', async () => {
    const [layer] = single.layers;
    const broken = Image.scratch(epoch).append({ ...layer!, open: async () => new Response('other').body! });
    await expect(all(saveTarball(broken, uncompressed))).rejects.toThrow();
  });
});

describe('a loaded archive', () => {
  test('gives back what was saved: images, digests, tag', async () => {
    for (const source of [archive, await compressed(archive), new Blob([archive as Uint8Array<ArrayBuffer>])]) {
      const { images, tag, isMultiPlatform, cleanup } = await loadTarballForPush(source);
      expect([tag, isMultiPlatform, images.length]).toEqual(['demo:1.0', false, 1]);
      const [loaded] = images;
      expect(loaded).toMatchObject({
        manifest: single.manifestBytes,
        manifestDigest: single.descriptor.digest,
        config: single.configBytes,
        configDigest: single.manifest.config.digest,
        platform: { os: 'linux', architecture: 'amd64' },
        annotations: { for: 'linux/amd64' },
      });
      expect(loaded!.layers.map(({ digest, size, mediaType }) => ({ digest, size, mediaType }))).toEqual(
        single.manifest.layers,
      );
      for (const layer of loaded!.layers) {
        expect(digestOf(await all(await layer.getData()))).toBe(layer.digest);
        expect(digestOf(await all(await layer.getData()))).toBe(layer.digest);
      }
      expect(digestOf(await all(saveTarball(loaded!.image, uncompressed)))).toBe(digestOf(archive));
      await cleanup();
    }
  });

  test('tells of each of its files as it is read', async () => {
    const told: Progress[] = [];
    await loadTarballForPush(archive, { onProgress: (progress) => told.push(progress) });
    const whole = told.filter(({ phase, transferred, total }) => phase === 'read' && transferred === total);
    const sizes = [...(await unpack(archive))].map(([path, { length }]) => [path, length]);
    expect(whole.map(({ path, total }) => [path, total])).toEqual(sizes);
    const thrown = new Error('enough');
    const onProgress = (): never => {
      throw thrown;
    };
    await expect(loadTarballForPush(archive, { onProgress })).rejects.toBe(thrown);
  });

  test('of several platforms gives them in order, whether nested or flat as the seed writes it', async () => {
    const flat: Files = new Map();
    for (const [path, content] of await unpack(multiArchive)) if (path !== 'manifest.json') flat.set(path, content);
    const manifests = several.map(({ descriptor }) => descriptor);
    const annotations = { [annotationKeys.refName]: 'flat:1.0' };
    flat.set('index.json', bytes(JSON.stringify({ schemaVersion: 2, manifests, annotations })));
    for (const [source, name] of [
      [multiArchive, 'demo:1.0'],
      [await packFiles(flat), 'flat:1.0'],
    ] as const) {
      const { images, tag, isMultiPlatform, cleanup } = await loadTarballForPush(source);
      expect([tag, isMultiPlatform]).toEqual([name, true]);
      expect(images.map(({ manifestDigest }) => manifestDigest)).toEqual(manifests.map(({ digest }) => digest));
      expect(images.map(({ platform }) => platform)).toEqual(several.map(({ platform }) => platform));
      expect(
        digestOf(
          await all(
            saveTarball(
              images.map(({ image }) => image),
              uncompressed,
            ),
          ),
        ),
      ).toBe(digestOf(multiArchive));
      await cleanup();
    }
  });

  test('may have its entries in any order, with ./ before them and directories anywhere', async () => {
    const files = [...(await unpack(multiArchive))];
    for (let turn = 0; turn < files.length; turn += 3) {
      const entries: TarSource[] = [special('./', { type: 'directory' })];
      for (const [path, content] of [...files.slice(turn), ...files.slice(0, turn)].reverse()) {
        entries.push(entry(turn % 2 ? `./${path}` : `././${path}`, content));
        entries.push(special('./blobs', { type: 'directory' }));
      }
      const { images } = await loadTarballForPush(await pack(entries));
      expect(images.length).toBe(3);
    }
  });

  test('that has an image under two tags, or twice in its index, gives it once', async () => {
    const storage = new MemoryStorage();
    await exportDirectory(single, storage, { tag: 'one' });
    await exportDirectory(single, storage, { tag: 'two' });
    const { images, isMultiPlatform, tag } = await loadTarballForPush(await packFiles(await filesOf(storage)));
    expect([images.length, isMultiPlatform, tag]).toEqual([1, false, 'one']);
  });

  test('passes over attestations and artifacts', async () => {
    const files = await unpack(archive);
    const { manifests } = parse<{ manifests: Descriptor[] }>(files.get('index.json'));
    const empty = addDocument(files, mediaTypes.empty, {});
    const artifact = addDocument(files, mediaTypes.manifest, {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      artifactType: 'application/vnd.example',
      config: empty,
      layers: [empty],
    });
    const attestation = { ...artifact, platform: { os: 'unknown', architecture: 'unknown' } };
    files.set('index.json', index([attestation, artifact, ...manifests]));
    expect((await loadTarballForPush(await packFiles(files))).images.length).toBe(1);
    files.set('index.json', index([attestation, artifact]));
    expect(await failure(loadTarballForPush(await packFiles(files)))).toBe('LAYOUT_INVALID');
  });

  test('of docker save has its layers checked against the config', async () => {
    const files = await dockerFiles();
    const { images, tag, isMultiPlatform } = await loadTarballForPush(await packFiles(files));
    expect([images.length, tag, isMultiPlatform]).toEqual([1, 'demo:1.0', false]);
    expect(images[0]?.configDigest).toBe(single.manifest.config.digest);
    for (const layer of images[0]!.layers) expect(digestOf(await all(await layer.getData()))).toBe(layer.digest);
    const layer = [...files.keys()].find((path) => path.endsWith('layer.tar')) as string;
    files.set(layer, pattern(2048));
    const error = await failureOf(loadTarballForPush(await packFiles(files)));
    expect(error.code).toBe('DIGEST_MISMATCH');
    expect(error.message).toContain(layer);
  });

  test('of docker save may share layers by links', async () => {
    const entries = [...(await dockerFiles())].map(([path, content]) => entry(path, content));
    const first = entries.findIndex(({ path }) => path.endsWith('layer.tar'));
    const target = entries[first]!.path;
    const moved = entries.map((each, at) => (at === first ? { ...each, path: 'shared/real.tar' } : each));
    for (const link of [
      special(target, { type: 'symlink', linkTarget: '../shared/real.tar' }),
      special(target, { type: 'hardlink', linkTarget: 'shared/real.tar' }),
    ]) {
      expect((await loadTarballForPush(await pack([link, ...moved]))).images.length).toBe(1);
      expect((await loadTarballForPush(await pack([...moved, link]))).images.length).toBe(1);
    }
  });
});

describe('a large archive', () => {
  const load = (source: Uint8Array, options: LoadTarballOptions): ReturnType<typeof loadTarballForPush> =>
    loadTarballForPush(readable(source), options);

  test('goes through the spill storage past the threshold only, and cleanup leaves nothing there', async () => {
    for (const [memoryThreshold, spills] of [
      [archive.length, false],
      [10_000, true],
      [0, true],
    ] as const) {
      const spill = new MemoryStorage();
      const { images, cleanup } = await load(archive, { memoryThreshold, spill });
      expect((await paths(spill)).length > 0).toBe(spills);
      for (const layer of images[0]!.layers) expect(digestOf(await all(await layer.getData()))).toBe(layer.digest);
      await cleanup();
      await cleanup();
      expect(await paths(spill)).toEqual([]);
      expect(await failure(images[0]!.layers[0]!.getData())).toBe('BLOB_NOT_FOUND');
    }
  });

  test('touches nothing else in the spill storage, and two do not meet there', async () => {
    const spill = new MemoryStorage();
    const file = await spill.create();
    await file.commit('mine');
    const both = await Promise.all(
      [archive, multiArchive].map((source) => load(source, { memoryThreshold: 0, spill })),
    );
    await both[0]!.cleanup();
    for (const { layers } of both[1]!.images)
      for (const layer of layers) expect(digestOf(await all(await layer.getData()))).toBe(layer.digest);
    await both[1]!.cleanup();
    expect(await paths(spill)).toEqual(['mine']);
  });

  test('may call its files what no disk could', async () => {
    const files = [...(await unpack(archive))].map(([path, content]) => entry(path, content));
    const odd = ['README', 'readme', 'README/below', `${'long'.repeat(100)}`, 'con', 'aa:b', 'ü', 'u\u0308'];
    const source = await pack([...files, ...odd.map((path) => entry(path, path))]);
    const spill = new MemoryStorage();
    const { images, cleanup } = await load(source, { memoryThreshold: 0, spill });
    expect(images.length).toBe(1);
    expect((await paths(spill)).every((path) => /^load-[0-9a-f]{32}-\d+$/.test(path))).toBe(true);
    await cleanup();
    expect(await paths(spill)).toEqual([]);
  });

  test('is refused where there is no spill storage', async () => {
    const error = await failureOf(load(archive, { memoryThreshold: 10_000 }));
    expect(error.code).toBe('LIMIT_EXCEEDED');
    expect(error.message).toMatch(/memoryThreshold = 10000.*spill/);
    expect(await failure(load(archive, { memoryThreshold: Number.NaN }))).toBe('ARGUMENT_INVALID');
    expect(await failure(load(archive, { memoryThreshold: -1 }))).toBe('ARGUMENT_INVALID');
  });

  test('leaves nothing in the spill storage where it is cut short, corrupt, or the storage fails', async () => {
    for (const length of [0, 100, 511, 512, 5000, archive.length - 1500, archive.length / 2]) {
      const spill = new MemoryStorage();
      const code = await failure(load(archive.slice(0, length), { memoryThreshold: 100, spill }));
      expect(['TAR_TRUNCATED', 'TAR_INVALID', 'LAYOUT_INVALID', 'BLOB_NOT_FOUND']).toContain(code);
      expect(await paths(spill)).toEqual([]);
    }
    const zipped = await compressed(archive);
    for (const spoil of [zipped.slice(0, -5), zipped.map((byte, at) => (at === 60_000 ? byte ^ 255 : byte))]) {
      const spill = new MemoryStorage();
      expect(['GZIP_INVALID', 'TAR_INVALID']).toContain(await failure(load(spoil, { memoryThreshold: 100, spill })));
      expect(await paths(spill)).toEqual([]);
    }
    const full = new MemoryStorage();
    let files = 0;
    const storage: Storage = {
      stat: (path) => full.stat(path),
      read: (path, range) => full.read(path, range),
      list: (prefix) => full.list(prefix),
      move: (from, to) => full.move(from, to),
      delete: (path) => full.delete(path),
      exclusive: (name, task) => full.exclusive(name, task),
      create: () => (++files > 3 ? Promise.reject(new Error('disk full')) : full.create()),
    };
    await expect(load(archive, { memoryThreshold: 0, spill: storage })).rejects.toThrow('disk full');
    expect(await paths(full)).toEqual([]);
  });

  test('leaves nothing behind when it is aborted, and rejects with the reason', async () => {
    const reason = new Error('enough');
    for (let stop = 1; stop < 12; stop++) {
      const spill = new MemoryStorage();
      const controller = new AbortController();
      let [given, cancelled] = [0, 0];
      const source = new ReadableStream<Uint8Array>(
        {
          pull(stream) {
            if (given === stop) controller.abort(reason);
            stream.enqueue(archive.slice(given * 9000, ++given * 9000));
          },
          cancel: () => void cancelled++,
        },
        { highWaterMark: 0 },
      );
      const loading = loadTarballForPush(source, { memoryThreshold: 0, spill, signal: controller.signal });
      await expect(loading).rejects.toBe(reason);
      expect(given).toBeLessThanOrEqual(stop + 1);
      expect(cancelled).toBe(1);
      expect(await paths(spill)).toEqual([]);
    }
  });
});

describe('a hostile archive is refused, and leaves nothing', () => {
  const expectRefused = async (source: Uint8Array, code: string | string[], options: LoadTarballOptions = {}) => {
    for (const memoryThreshold of [0, undefined]) {
      const spill = new MemoryStorage();
      const error = await failureOf(loadTarballForPush(source, { memoryThreshold, spill, ...options }));
      expect([code].flat()).toContain(error.code);
      expect(await paths(spill)).toEqual([]);
    }
  };

  for (const path of [
    '/etc/passwd',
    '../escape',
    'blobs/../../escape',
    'a/./b',
    'a//b',
    'a\\b',
    'C:/windows',
    'c:evil',
    '..',
    './../x',
    'x'.repeat(5000),
  ]) {
    test(`a file called ${JSON.stringify(path.slice(0, 30))}`, async () => {
      const wanted = path.length > 4096 ? 'LIMIT_EXCEEDED' : 'PATH_INVALID';
      await expectRefused(await pack([entry(path, 'x')]), wanted);
      const files = [...(await unpack(archive))].map(([name, content]) => entry(name, content));
      await expectRefused(await pack([...files, entry(path, 'x')]), wanted);
      if (!path.endsWith('..'))
        await expectRefused(await pack([special(path, { type: 'directory' }), ...files]), wanted);
    });
  }

  for (const target of ['/etc/passwd', '../../etc/passwd', 'a/../../../x', '..']) {
    test(`a link to ${JSON.stringify(target)}`, async () => {
      const link = (type: 'symlink' | 'hardlink') => special('top', { type, linkTarget: target });
      await expectRefused(await pack([link('symlink')]), 'PATH_INVALID');
      await expectRefused(await pack([link('hardlink')]), 'PATH_INVALID');
    });
  }

  test('devices and fifos', async () => {
    const device = { major: 1, minor: 3 };
    await expectRefused(await pack([special('a', { type: 'fifo' })]), 'LAYOUT_INVALID');
    await expectRefused(await pack([special('a', { type: 'character-device', device })]), 'LAYOUT_INVALID');
    await expectRefused(await pack([special('a', { type: 'block-device', device })]), 'LAYOUT_INVALID');
  });

  test('the same file twice, however spelt', async () => {
    for (const again of ['index.json', './index.json']) {
      const files = [...(await unpack(archive))].map(([name, content]) => entry(name, content));
      await expectRefused(await pack([...files, entry(again, '{}')]), 'PATH_DUPLICATE');
      const link = special(again, { type: 'symlink', linkTarget: 'oci-layout' });
      await expectRefused(await pack([...files, link]), 'PATH_DUPLICATE');
      await expectRefused(await pack([link, ...files]), 'PATH_DUPLICATE');
    }
  });

  test('links in a circle', async () => {
    const files = await dockerFiles();
    const { Config } = parse<{ Config: string }[]>(files.get('manifest.json'))[0]!;
    files.delete(Config);
    const entries = [...files].map(([path, content]) => entry(path, content));
    const circle = [
      special(Config, { type: 'symlink', linkTarget: 'b' }),
      special('b', { type: 'symlink', linkTarget: Config }),
    ];
    await expectRefused(await pack([...circle, ...entries]), 'LAYOUT_INVALID');
  });

  test('a wrong checksum, and what follows an end of gzip', async () => {
    const wrong = archive.slice();
    wrong[100]! ^= 1;
    await expectRefused(wrong, 'TAR_INVALID');
    const zipped = await compressed(archive);
    await expectRefused(new Uint8Array([...zipped, 1, 2, 3]), 'GZIP_INVALID');
  });

  test('more than it may inflate to, more entries, names and documents than it may have', async () => {
    const zipped = await compressed(archive);
    await expectRefused(zipped, 'LIMIT_EXCEEDED', { limits: { inflatedBytes: 50_000 } });
    await expectRefused(archive, 'LIMIT_EXCEEDED', { limits: { tarEntries: 5 } });
    await expectRefused(archive, 'LIMIT_EXCEEDED', { limits: { graphNodes: 5 } });
    await expectRefused(archive, 'LIMIT_EXCEEDED', { limits: { jsonBytes: 300 } });
    await expectRefused(multiArchive, 'LIMIT_EXCEEDED', { limits: { documentBytes: 2000 } });
    await expectRefused(archive, 'LIMIT_EXCEEDED', { limits: { pathBytes: 50 } });
    const links = Array.from({ length: 100 }, (_, at) =>
      special(`link-${at}`, { type: 'symlink', linkTarget: 'x'.repeat(50) }),
    );
    await expectRefused(await pack(links), 'LIMIT_EXCEEDED', { limits: { documentBytes: 5000 } });
  });

  test('layers that inflate, one by one, to more than an archive may', async () => {
    const zeros = new Uint8Array(1_000_000);
    const files: Files = new Map();
    const diffIds: string[] = [];
    for (let layer = 0; layer < 4; layer++) {
      const tar = zeros.slice().fill(layer, 0, 9);
      diffIds.push(digestOf(tar));
      files.set(`${layer}.tar`, await compressed(tar));
    }
    const config = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: diffIds } };
    files.set('config.json', bytes(JSON.stringify(config)));
    files.set(
      'manifest.json',
      bytes(JSON.stringify([{ Config: 'config.json', Layers: [...files.keys()].slice(0, 4) }])),
    );
    const source = await packFiles(files);
    await loadTarballForPush(source, { limits: { inflatedBytes: 4_000_000 } });
    await expectRefused(source, 'LIMIT_EXCEEDED', { limits: { inflatedBytes: 3_999_999 } });
  });

  test('documents that lie: about digests, sizes, kinds, or what is there', async () => {
    const spoil = async (change: (files: Files, root: Descriptor) => void, code: string | string[]): Promise<void> => {
      const files = await unpack(archive);
      const { manifests } = parse<{ manifests: Descriptor[] }>(files.get('index.json'));
      change(files, manifests[0]!);
      await expectRefused(await packFiles(files), code);
    };
    const path = (digest: string): string => `blobs/${digest.replace(':', '/')}`;
    const { config, layers } = single.manifest;
    await spoil((files) => files.delete('oci-layout') && files.delete('manifest.json'), 'LAYOUT_INVALID');
    await spoil((files) => files.delete('index.json'), 'LAYOUT_INVALID');
    await spoil((files) => files.set('oci-layout', bytes('{"imageLayoutVersion":"9"}')), 'LAYOUT_INVALID');
    await spoil((files) => files.set('index.json', bytes('{"schemaVersion":2,"manifests":[]}')), 'LAYOUT_INVALID');
    await spoil((files) => files.set('index.json', bytes('{"__proto__":1}')), 'JSON_INVALID');
    await spoil((files) => files.set('index.json', Uint8Array.of(0xff, 0xfe)), 'JSON_INVALID');
    await spoil((files) => files.set('index.json', bytes('['.repeat(50_000))), 'JSON_INVALID');
    await spoil(
      (files, root) => files.set('index.json', index([{ ...root, digest: 'sha256:../x' }])),
      'DESCRIPTOR_INVALID',
    );
    await spoil((files, root) => files.set('index.json', index([{ ...root, digest: 'md5:abc' }])), 'DIGEST_INVALID');
    await spoil((files, root) => files.set('index.json', index([{ ...root, size: 1 }])), 'SIZE_MISMATCH');
    await spoil((files, root) => files.set('index.json', index([{ ...root, size: -1 }])), 'DESCRIPTOR_INVALID');
    await spoil((files, root) => files.set('index.json', index([{ ...root, size: 2 ** 50 }])), 'LIMIT_EXCEEDED');
    await spoil(
      (files, root) => files.set('index.json', index([{ ...root, mediaType: mediaTypes.index }])),
      'INDEX_INVALID',
    );
    await spoil((files, root) => files.delete(path(root.digest)), 'BLOB_NOT_FOUND');
    await spoil((files, root) => files.set(path(root.digest), new Uint8Array(root.size)), 'DIGEST_MISMATCH');
    await spoil((files) => files.delete(path(config.digest)), 'BLOB_NOT_FOUND');
    await spoil((files) => files.set(path(config.digest), new Uint8Array(config.size)), 'DIGEST_MISMATCH');
    await spoil((files) => files.delete(path(layers[0]!.digest)), 'BLOB_NOT_FOUND');
    await spoil((files) => files.set(path(layers[1]!.digest), bytes('short')), 'SIZE_MISMATCH');
  });

  test('a layer that is not what its digest says never ends cleanly', async () => {
    const files = await unpack(archive);
    const [layer] = single.manifest.layers;
    const content = files.get(`blobs/${layer!.digest.replace(':', '/')}`)!.slice();
    content[50_000]! ^= 1;
    files.set(`blobs/${layer!.digest.replace(':', '/')}`, content);
    const { images } = await loadTarballForPush(await packFiles(files));
    expect(await failure(images[0]!.layers[0]!.getData().then(all))).toBe('DIGEST_MISMATCH');
  });

  test('indexes that are nested too deep, or name one another again and again', async () => {
    const files = await unpack(archive);
    let { manifests } = parse<{ manifests: Descriptor[] }>(files.get('index.json'));
    for (let depth = 0; depth < 7; depth++)
      manifests = Array(40).fill(addDocument(files, mediaTypes.index, parse(index(manifests))));
    files.set('index.json', index(manifests));
    expect((await loadTarballForPush(await packFiles(files))).images.length).toBe(1);
    for (let depth = 0; depth < 3; depth++) manifests = [addDocument(files, mediaTypes.index, parse(index(manifests)))];
    files.set('index.json', index(manifests));
    await expectRefused(await packFiles(files), 'LIMIT_EXCEEDED');
  });

  test('manifest.json of docker save that is none, or names what is not there or leads out', async () => {
    const spoil = async (change: unknown, code: string | string[]): Promise<void> => {
      const files = await dockerFiles();
      const [saved] = parse<object[]>(files.get('manifest.json'));
      const value = typeof change === 'object' && change !== null ? [{ ...saved, ...change }] : change;
      files.set('manifest.json', bytes(typeof value === 'string' ? value : JSON.stringify(value)));
      await expectRefused(await packFiles(files), code);
    };
    await spoil('', 'JSON_INVALID');
    await spoil(7, 'LAYOUT_INVALID');
    await spoil('[]', 'LAYOUT_INVALID');
    await spoil('{}', 'LAYOUT_INVALID');
    await spoil('[null]', 'LAYOUT_INVALID');
    await spoil({ Config: 5 }, 'LAYOUT_INVALID');
    await spoil({ Config: '' }, ['LAYOUT_INVALID', 'PATH_INVALID']);
    await spoil({ Config: '../../etc/passwd' }, ['LAYOUT_INVALID', 'PATH_INVALID']);
    await spoil({ Config: 'missing.json' }, 'LAYOUT_INVALID');
    await spoil({ Config: 'manifest.json' }, 'CONFIG_INVALID');
    await spoil({ Layers: [] }, 'MANIFEST_INVALID');
    await spoil({ Layers: 'layer.tar' }, 'LAYOUT_INVALID');
    await spoil({ Layers: ['a', 'b'] }, 'LAYOUT_INVALID');
    await spoil({ Layers: ['/etc/passwd', '../x'] }, ['LAYOUT_INVALID', 'PATH_INVALID']);
    await spoil({ RepoTags: 'x' }, 'LAYOUT_INVALID');
  });
});

async function dockerFiles(): Promise<Files> {
  const files: Files = new Map();
  const layers: string[] = [];
  for (const layer of single.layers) {
    const tar = await readBytes(gunzip(readChunks(await layer.open())));
    layers.push(`${layer.diffId.slice(7)}/layer.tar`);
    files.set(layers.at(-1)!, tar);
  }
  const config = `${single.manifest.config.digest.slice(7)}.json`;
  files.set(config, single.configBytes);
  files.set('manifest.json', bytes(JSON.stringify([{ Config: config, RepoTags: ['demo:1.0'], Layers: layers }])));
  return files;
}

async function filesOf(storage: Storage): Promise<Files> {
  const files: Files = new Map();
  for (const path of await paths(storage)) files.set(path, await all(await storage.read(path)));
  return files;
}

function index(manifests: unknown[]): Uint8Array {
  return bytes(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }));
}

function compressed(content: Uint8Array): Promise<Uint8Array> {
  return readBytes(inPieces(gzip(readChunks(content)), 65536));
}

function readable(content: Uint8Array): ReadableStream<Uint8Array> {
  return new Blob([content as Uint8Array<ArrayBuffer>]).stream();
}

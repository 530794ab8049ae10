import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readChunks, toStream } from '../../src/bytes/byte-source.ts';
import { digestOf, verifyChunks } from '../../src/bytes/hash.ts';
import {
  blobStore,
  createLayer,
  diffLayer,
  exportDirectory,
  filterFiles,
  type History,
  Image,
  type Layer,
  Layout,
  MemoryStorage,
  mapLayer,
  mediaTypes,
  rebase,
  recompress,
  removeLayer,
  renameFiles,
  setTimestamps,
  type TarHeader,
  toDocker,
  toOci,
  withConfig,
} from '../../src/index.ts';
import { layerFrom } from '../../src/layer/layer.ts';
import { rawLayer } from '../layer/raw-layer.ts';
import { imageOf, plainLayer, randomTree, unreadable, view } from './trees.ts';

describe('what does not touch a layer does not read it', () => {
  test('a label changes config and manifest alone, and every function of documents leaves layers unread', async () => {
    const layers = [await plainLayer([{ path: 'a' }]), await plainLayer([{ path: 'b' }])].map(unreadable);
    const image = imageOf(...layers);
    const labelled = image.label('k', 'v');
    expect(labelled.layers).toEqual(image.layers);
    expect(labelled.manifest.layers).toEqual(image.manifest.layers);
    const newBase = imageOf(unreadable(await plainLayer([{ path: 'c' }])));
    for (const changed of [
      withConfig(image, { author: 'me' }),
      removeLayer(image, 0),
      rebase(image, imageOf(layers[0]!), newBase),
      toDocker(image),
      toOci(toDocker(image)),
      await recompress(image, 'none'),
      await mapLayer(
        image,
        () => false,
        (entries) => entries,
      ),
    ]) {
      expect(changed.manifest.layers.map(({ digest }) => digest)).toEqual(
        changed.layers.map(({ descriptor }) => descriptor.digest),
      );
    }
  });

  test('a label writes two small blobs where the image is, and the open image unchanged writes none', async () => {
    const storage = new MemoryStorage();
    await exportDirectory(imageOf(await plainLayer([{ path: 'a', body: 'x'.repeat(100_000) }])), storage, { tag: 'x' });
    const image = await Image.from(await Layout.open(storage), 'x');
    const written = async (changed: Image): Promise<unknown[]> => {
      const digests = new Set<unknown>();
      await exportDirectory(changed, storage, {
        tag: 'x',
        onProgress: ({ phase, descriptor }) => phase === 'write' && digests.add(descriptor?.digest),
      });
      return [...digests];
    };
    const labelled = image.label('k', 'v');
    expect(await written(image)).toEqual([]);
    expect(await written(labelled)).toEqual([labelled.manifest.config.digest, labelled.descriptor.digest]);
  });

  test('mapping the top layer reads no other', async () => {
    const top = await plainLayer([{ path: 'b', body: 'x' }]);
    const mapped = await mapLayer(
      imageOf(unreadable(await plainLayer([{ path: 'a' }])), top),
      -1,
      (entries) => entries,
    );
    expect(mapped.layers[1]!.diffId).toBe(top.diffId);
  });

  test('an image of which nothing is changed is the same image', async () => {
    const image = imageOf(await createLayer([{ path: 'a', body: 'x', mtime: 7 }], { mtime: 7 }));
    expect(await filterFiles(image, () => true)).toBe(image);
    expect(await renameFiles(image, (path) => path)).toBe(image);
    expect(await recompress(image, 'gzip')).toBe(image);
    expect(toOci(image)).toBe(image);
    expect(
      await mapLayer(
        image,
        () => false,
        () => [],
      ),
    ).toBe(image);
    const dated = await setTimestamps(image, 7);
    expect(dated.layers).toEqual(image.layers);
    expect((await setTimestamps(dated, 7)).descriptor.digest).toBe(dated.descriptor.digest);
  });
});

describe('mapLayer', () => {
  test('keeps order, metadata and bodies of what passes unchanged', async () => {
    const entries = [
      { path: './z/', mode: 0o700, mtime: 3, nanoseconds: 5 },
      { path: './z/file', content: 'body', uname: 'me', gname: 'us', xattrs: { 'user.a': Uint8Array.of(0, 255) } },
      { path: './a', type: 'symlink' as const, linkTarget: '/z/file' },
      { path: './dev', type: 'block-device' as const, device: { major: 8, minor: 1 } },
      { path: './link', type: 'hardlink' as const, linkTarget: './z/file' },
      '.wh.gone',
    ];
    const layer = await rawLayer(entries);
    const mapped = await mapLayer(imageOf(layer), 0, (read) => read);
    expect(mapped.layers[0]!.diffId).toBe(layer.diffId);
    expect(mapped.config.rootfs.diff_ids).toEqual([layer.diffId]);
  });

  test('takes out, changes and adds entries, the new ones in the short form of createLayer', async () => {
    const image = imageOf(
      await plainLayer([
        { path: 'a', body: 'one' },
        { path: 'b', body: 'two' },
      ]),
    );
    const mapped = await mapLayer(image, 0, async function* (entries, layer, index) {
      expect([layer, index]).toEqual([image.layers[0], 0]);
      yield { path: 'first', body: 'new' };
      for await (const entry of entries) if (entry.path !== 'a') yield { ...entry, mode: 0o600 };
      yield { path: 'last/', mtime: new Date(1500) };
    });
    expect(await headers(mapped.layers[0]!)).toMatchObject([
      { path: 'first', size: 3, mode: 0o644, mtime: 0 },
      { path: 'b', size: 3, mode: 0o600 },
      { path: 'last', type: 'directory', mtime: 1, nanoseconds: 5e8 },
    ]);
    expect(mapped.config.history).toMatchObject([{ created_by: `ADD ${mapped.layers[0]!.diffId} /` }]);
  });

  test('reads the layer to its end, and so verifies it, though the function stops before', async () => {
    const layer = await plainLayer([
      { path: 'a', body: 'x'.repeat(100_000) },
      { path: 'b', body: 'y' },
    ]);
    const descriptor = { ...layer.descriptor, digest: digestOf('other') };
    const verified = async (): Promise<ReadableStream<Uint8Array>> =>
      toStream(verifyChunks(readChunks(await layer.open()), descriptor));
    const image = imageOf(layerFrom({ read: verified }, descriptor, layer.diffId));
    const storage = new MemoryStorage();
    await expect(
      mapLayer(
        image,
        0,
        async function* (entries) {
          for await (const entry of entries) {
            yield { ...entry, size: 0, body: undefined };
            return;
          }
        },
        { store: blobStore(storage) },
      ),
    ).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
    for await (const path of storage.list('')) expect.unreachable(path);
  });

  test('writes where and how it is told, and keeps annotations that say nothing of bytes', async () => {
    const store = blobStore(new MemoryStorage());
    const annotations = { 'org.example': 'kept', 'containerd.io/snapshot/stargz/toc.digest': 'sha256:0' };
    const image = imageOf(await createLayer([{ path: 'a' }], { annotations }));
    const mapped = await mapLayer(image, 0, (entries) => entries, { store, compression: 'none' });
    const { descriptor } = mapped.layers[0]!;
    expect(descriptor).toMatchObject({ mediaType: mediaTypes.layer, annotations: { 'org.example': 'kept' } });
    expect(Object.keys(descriptor.annotations!)).toEqual(['org.example']);
    expect(await store.has(descriptor)).toBe(true);
  });

  test('says which layers there are, refuses what is no entry, and ends with the reason of an aborted signal', async () => {
    const image = imageOf(await plainLayer([{ path: 'a', body: 'x' }]));
    for (const which of [1, -2, 0.5])
      await expect(mapLayer(image, which, (entries) => entries)).rejects.toMatchObject({ code: 'ARGUMENT_INVALID' });
    await expect(mapLayer(image, 0, () => [null as never])).rejects.toMatchObject({ code: 'FILE_INVALID' });
    await expect(mapLayer(image, 0, () => [{ path: 'x', mode: -1 }])).rejects.toMatchObject({ code: 'FILE_INVALID' });
    await expect(mapLayer(image, 0, (entries) => entries, { compression: 'lzma' as never })).rejects.toMatchObject({
      code: 'ARGUMENT_INVALID',
    });
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    await expect(mapLayer(image, 0, (entries) => entries, { signal })).rejects.toBe(reason);
  });

  test('tells of each file as it is written', async () => {
    const told: unknown[] = [];
    const image = imageOf(await plainLayer([{ path: 'a', body: 'abc' }]));
    await mapLayer(image, 0, (entries) => entries, { onProgress: ({ path, total }) => told.push([path, total]) });
    expect(told).toEqual([['a', 3]]);
  });
});

describe('removeLayer', () => {
  test('takes the layer and the history entry that made it', async () => {
    const image = imageOf(await plainLayer([{ path: 'a' }]))
      .label('k', 'v')
      .append(await plainLayer([{ path: 'b' }]), { created_by: 'second' })
      .append(await plainLayer([{ path: 'c' }]), { created_by: 'third' });
    const removed = removeLayer(image, 1);
    expect(removed.layers).toEqual([image.layers[0], image.layers[2]]);
    expect(removed.config.history?.map((entry) => entry.created_by)).not.toContain('second');
    expectTrue(removed);
    expectTrue(removeLayer(image, (_, index) => index > 0));
    expect(removeLayer(image, () => false)).toBe(image);
    expect(() => removeLayer(image, 3)).toThrow(expect.objectContaining({ code: 'ARGUMENT_INVALID' }));
  });

  test('keeps an image without a history without one', async () => {
    const image = withConfig(imageOf(await plainLayer([{ path: 'a' }])), { history: undefined });
    expect(removeLayer(image, 0).config).not.toHaveProperty('history');
  });
});

describe('filtered and renamed files', () => {
  test('show what the image showed, without those left out, whatever the layers', async () => {
    await fc.assert(
      fc.asyncProperty(stack, fc.constantFrom('a', 'b/', 'c', 'a/b'), async (image, part) => {
        const keep = (path: string): boolean => !`${path}/`.includes(part);
        const filtered = await filterFiles(await image(), keep, { compression: 'none' });
        const expected = Object.entries(await view(await image())).filter(([path]) => keep(path));
        expect(contents(await view(filtered))).toEqual(contents(Object.fromEntries(expected)));
        expectTrue(filtered);
      }),
      { numRuns: 100 },
    );
  });

  test('show what the image showed, under their new names, whatever the layers', async () => {
    const renames: Record<string, (path: string) => string> = {
      prefix: (path) => `usr/${path}`,
      moved: (path) => path.replace(/^a(?=\/|$)/, 'x/a'),
      each: (path) => path.replaceAll('b', 'bee'),
      apart: (path) => (path.endsWith('/c') ? `moved/${path.replaceAll('/', '-')}` : path),
    };
    await fc.assert(
      fc.asyncProperty(stack, fc.constantFrom(...Object.keys(renames)), async (image, kind) => {
        const rename = renames[kind]!;
        const renamed = await renameFiles(await image(), rename, { compression: 'none' });
        const seen = contents(await view(renamed));
        const expected = contents(
          Object.fromEntries(Object.entries(await view(await image())).map(([path, file]) => [rename(path), file])),
        );
        for (const [path, content] of Object.entries(expected)) expect([path, seen[path]]).toEqual([path, content]);
        const files = (from: Record<string, string>): string[] =>
          Object.keys(from).filter((path) => !from[path]!.startsWith('directory'));
        expect(files(seen).sort()).toEqual(files(expected).sort());
        expectTrue(renamed);
      }),
      { numRuns: 100 },
    );
  });

  test('leave layers alone in which there is nothing to do, whiteouts and all', async () => {
    const image = imageOf(
      await plainLayer([{ path: 'keep/a' }, { path: 'keep/b' }, { path: 'doc/x' }]),
      await rawLayer(['keep/.wh.a']),
    );
    const filtered = await filterFiles(image, (path) => !path.startsWith('doc'));
    expect(filtered.layers[0]).not.toBe(image.layers[0]);
    expect(filtered.layers[1]).toBe(image.layers[1]);
  });

  test('pass content on to a link whose file is left out, in the same layer or from one below', async () => {
    const image = imageOf(
      await plainLayer([
        { path: 'a', body: 'content' },
        { path: 'b', type: 'hardlink', linkTarget: 'a' },
        { path: 'c', type: 'hardlink', linkTarget: 'a' },
      ]),
      await rawLayer([{ path: 'd', type: 'hardlink', linkTarget: 'a' }]),
    );
    const filtered = await filterFiles(image, (path) => path !== 'a');
    const seen = await view(filtered);
    expect(Object.keys(seen)).toEqual(['b', 'c', 'd']);
    expect(seen).toMatchObject({
      b: { content: 'content' },
      c: { content: 'content', first: 'b' },
      d: { content: 'content' },
    });
  });

  test('leave no whiteout that tells of what was left out', async () => {
    const image = imageOf(await plainLayer([{ path: 'secret' }, { path: 'a' }]), await rawLayer(['.wh.secret', 'b']));
    const filtered = await filterFiles(image, (path) => path !== 'secret');
    expect((await headers(filtered.layers[1]!)).map(({ path }) => path)).toEqual(['b']);
  });

  test('make directories one, and refuse to make files one or to give a file no name', async () => {
    const image = imageOf(await plainLayer([{ path: 'bin/a' }, { path: 'usr/bin/b' }, { path: 'usr/bin/a/x' }]));
    const merge = (path: string): string => path.replace(/^bin(?=\/|$)/, 'usr/bin');
    await expect(renameFiles(image, merge)).rejects.toMatchObject({ code: 'PATH_DUPLICATE' });
    const sound = await filterFiles(image, (path) => !path.startsWith('usr/bin/a'));
    expect(Object.keys(await view(await renameFiles(sound, merge)))).toEqual([
      'usr',
      'usr/bin',
      'usr/bin/a',
      'usr/bin/b',
    ]);
    for (const name of ['', '/', '../x', '.wh.x', undefined as never])
      await expect(renameFiles(image, () => name)).rejects.toMatchObject({ code: 'PATH_INVALID' });
  });
});

describe('setTimestamps', () => {
  test('dates files, config and history, and makes two builds of the same files one', async () => {
    const build = async (mtime: number): Promise<Image> =>
      Image.scratch({ created: mtime })
        .append(await createLayer([{ path: 'a', body: 'x' }, { path: 'd/b' }], { mtime, nanoseconds: true }))
        .label('k', 'v');
    const time = new Date('2026-01-02T03:04:05.5Z');
    const [one, other] = [await setTimestamps(await build(1.25), time), await setTimestamps(await build(2), time)];
    expect(one.descriptor.digest).toBe(other.descriptor.digest);
    expect(one.config.created).toBe('2026-01-02T03:04:05.500Z');
    expect(new Set(one.config.history?.map(({ created }) => created))).toEqual(new Set([one.config.created]));
    for (const header of await headers(one.layers[0]!))
      expect(header).toMatchObject({ mtime: 1767323045, nanoseconds: 5e8 });
    await expect(setTimestamps(one, Number.NaN)).rejects.toMatchObject({ code: 'ARGUMENT_INVALID' });
  });
});

describe('recompress', () => {
  test('changes blobs and media types, and neither diff IDs nor config', async () => {
    const image = imageOf(
      await createLayer([{ path: 'a', body: 'x'.repeat(1000) }]),
      await plainLayer([{ path: 'b' }]),
    );
    const plain = await recompress(image, 'none');
    expect(plain.layers.map(({ descriptor }) => descriptor.mediaType)).toEqual([mediaTypes.layer, mediaTypes.layer]);
    expect(plain.layers[0]!.descriptor.digest).toBe(image.layers[0]!.diffId);
    expect(plain.layers[1]).toBe(image.layers[1]);
    const back = await recompress(plain, 'gzip');
    expect(back.layers[0]!.descriptor).toEqual(image.layers[0]!.descriptor);
    for (const each of [plain, back]) {
      expect(each.configBytes).toEqual(image.configBytes);
      expect(await view(each)).toEqual(await view(image));
    }
  });

  test('writes zstd where the runtime can, and says so where it cannot', async () => {
    const image = imageOf(await createLayer([{ path: 'a', body: 'x'.repeat(1000) }]));
    const result = await recompress(image, 'zstd').catch((error: unknown) => error);
    if (result instanceof Image) {
      expect(result.layers[0]!.descriptor.mediaType).toBe(mediaTypes.layerZstd);
      expect(result.layers[0]!.diffId).toBe(image.layers[0]!.diffId);
      expect(await view(result)).toEqual(await view(image));
    } else {
      expect(result).toMatchObject({ code: 'RUNTIME_UNSUPPORTED' });
    }
    await expect(recompress(toDocker(image), 'zstd')).rejects.toMatchObject({ code: 'MEDIA_TYPE_UNSUPPORTED' });
    await expect(recompress(image, 'xz' as never)).rejects.toMatchObject({ code: 'ARGUMENT_INVALID' });
  });

  test('refuses a layer that is not what its diff ID says, and stores nothing', async () => {
    const layer = await createLayer([{ path: 'a' }]);
    const storage = new MemoryStorage();
    const image = imageOf({ ...layer, diffId: digestOf('other') });
    await expect(recompress(image, 'none', { store: blobStore(storage) })).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
    });
    for await (const path of storage.list('')) expect.unreachable(path);
  });
});

describe('rebase', () => {
  const base = async (...names: string[]): Promise<Image> => {
    let image = Image.scratch();
    for (const name of names)
      image = image.append(await plainLayer([{ path: name, body: name }]), { created_by: `base ${name}` });
    return image.cmd(['/bin/base']).env({ PATH: '/base' });
  };

  test('exchanges layers and history of the base, and keeps the configuration of the image', async () => {
    const [oldBase, newBase] = [await base('one', 'two'), await base('three')];
    const app = oldBase.append(await plainLayer([{ path: 'app' }]), { created_by: 'app' }).cmd(['/app']);
    const rebased = rebase(app, oldBase, newBase);
    expect(rebased.layers).toEqual([...newBase.layers, app.layers[2]]);
    expect(rebased.config.config).toEqual(app.config.config);
    const said = (history: History[] | undefined): unknown[] => history!.map((entry) => entry.created_by);
    expect(said(rebased.config.history)).toEqual([
      ...said(newBase.config.history),
      ...said(app.config.history).slice(oldBase.config.history!.length),
    ]);
    expectTrue(rebased);
    expect(rebase(rebased, newBase, oldBase).descriptor.digest).toBe(app.descriptor.digest);
  });

  test('keeps true an annotation that names the base, and unknown fields', async () => {
    const [oldBase, newBase] = [await base('one'), await base('two')];
    const named = withConfig(oldBase.append(await plainLayer([{ path: 'app' }])), { 'x-unknown': [1] })
      .annotation('org.opencontainers.image.base.digest', oldBase.descriptor.digest)
      .annotation('org.opencontainers.image.base.name', 'base:1')
      .annotation('other', 'kept');
    const { manifest, config } = rebase(named, oldBase, newBase);
    expect(manifest.annotations).toEqual({
      other: 'kept',
      'org.opencontainers.image.base.digest': newBase.descriptor.digest,
    });
    expect(config['x-unknown']).toEqual([1]);
    const told = rebase(named, oldBase, newBase, { baseName: 'base:2' }).manifest.annotations;
    expect(told?.['org.opencontainers.image.base.name']).toBe('base:2');
  });

  test('fits layers of the other family of media types to the manifest of the image', async () => {
    const oldBase = await base('one');
    const app = toDocker(oldBase.append(await plainLayer([{ path: 'app' }])));
    const types = rebase(app, oldBase, await base('two')).manifest.layers.map(({ mediaType }) => mediaType);
    expect(types).toEqual([mediaTypes.docker.layer, mediaTypes.docker.layer]);
  });

  test('refuses a base that the image is not built on, one that is higher, and one for another platform', async () => {
    const [oldBase, newBase] = [await base('one'), await base('two')];
    const app = oldBase.append(await plainLayer([{ path: 'app' }]));
    expect(() => rebase(app, newBase, oldBase)).toThrow(expect.objectContaining({ code: 'BASE_MISMATCH' }));
    expect(() => rebase(oldBase, app, newBase)).toThrow(/layer 1 .* missing/);
    const arm = withConfig(newBase, { architecture: 'arm64' });
    expect(() => rebase(app, oldBase, arm)).toThrow(/linux\/amd64.*linux\/arm64/);
  });
});

describe('withConfig', () => {
  test('sets and removes fields, one by one, and keeps all others', async () => {
    const image = imageOf(await plainLayer([{ path: 'a' }]))
      .cmd(['/a'])
      .user('me')
      .author('I');
    const changed = withConfig(image, {
      author: undefined,
      'x-new': 1,
      config: { Cmd: undefined, StopSignal: 'SIGINT' },
    });
    expect(changed.config).not.toHaveProperty('author');
    expect(changed.config).toMatchObject({ 'x-new': 1, config: { User: 'me', StopSignal: 'SIGINT' } });
    expect(changed.config.config).not.toHaveProperty('Cmd');
    expect(changed.config.history).toEqual(image.config.history);
    expect(withConfig(image, { config: undefined }).config).not.toHaveProperty('config');
    expect(withConfig(image, { created: '2020-01-01T00:00:00Z' }).config.created).toBe('2020-01-01T00:00:00Z');
  });

  test('gives a function a copy, so that the old image stays as it is', async () => {
    const image = imageOf(await plainLayer([{ path: 'a' }])).label('k', 'v');
    const { digest } = image.descriptor;
    const changed = withConfig(image, (config) => {
      config.config!.Labels!.k = 'w';
      return config;
    });
    expect(changed.config.config?.Labels).toEqual({ k: 'w' });
    expect(image.config.config?.Labels).toEqual({ k: 'v' });
    expect(image.descriptor.digest).toBe(digest);
  });

  test('refuses other diff IDs, a history of other layers, and fields of the wrong kind', async () => {
    const image = imageOf(await plainLayer([{ path: 'a' }]));
    const wrong: Parameters<typeof withConfig>[1][] = [
      (config) => ({ ...config, rootfs: { ...config.rootfs, diff_ids: [] } }),
      { history: [{ created_by: 'one' }, { created_by: 'two' }] },
      { config: { Cmd: 'sh' as never } },
      { architecture: undefined },
    ];
    for (const change of wrong)
      expect(() => withConfig(image, change)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
  });
});

describe('toDocker and toOci', () => {
  test('change media types alone, and lead back to the same image', async () => {
    const image = imageOf(await createLayer([{ path: 'a' }]), await plainLayer([{ path: 'b' }]));
    const docker = toDocker(image);
    expect(docker.manifest.mediaType).toBe(mediaTypes.docker.manifest);
    expect(docker.descriptor.mediaType).toBe(mediaTypes.docker.manifest);
    expect(docker.manifest.config).toEqual({ ...image.manifest.config, mediaType: mediaTypes.docker.config });
    expect(docker.manifest.layers.map(({ mediaType }) => mediaType)).toEqual([
      mediaTypes.docker.layerGzip,
      mediaTypes.docker.layer,
    ]);
    expect(docker.configBytes).toEqual(image.configBytes);
    expect(toDocker(docker)).toBe(docker);
    expect(toOci(docker).descriptor).toEqual(image.descriptor);
    expect(await view(docker)).toEqual(await view(image));
  });

  test('drops what Docker has no field for, and keeps what nobody knows', async () => {
    const layer = await createLayer([{ path: 'a' }], { annotations: { of: 'layer' } });
    const made = imageOf(layer).annotation('of', 'manifest').label('of', 'config');
    const image = made.with({ manifest: { ...made.manifest, 'x-unknown': true, subject: made.descriptor } });
    const { manifest, config } = toDocker(image);
    expect(Object.keys(manifest)).toEqual(['schemaVersion', 'mediaType', 'config', 'layers', 'x-unknown']);
    expect(Object.keys(manifest.layers[0]!)).toEqual(['mediaType', 'digest', 'size']);
    expect(config.config?.Labels).toEqual({ of: 'config' });
  });

  test('keep layers that registries do not hold what they are, and refuse zstd for Docker', async () => {
    const layer = unreadable(await plainLayer([{ path: 'a' }]));
    const typed = (mediaType: string): Image => imageOf({ ...layer, descriptor: { ...layer.descriptor, mediaType } });
    const types = (image: Image): string[] => image.manifest.layers.map(({ mediaType }) => mediaType);
    expect(types(toDocker(typed(mediaTypes.nonDistributableLayerGzip)))).toEqual([mediaTypes.docker.foreignLayer]);
    expect(types(toOci(toDocker(typed(mediaTypes.nonDistributableLayer))))).toEqual([mediaTypes.nonDistributableLayer]);
    expect(() => toDocker(typed(mediaTypes.layerZstd))).toThrow(
      expect.objectContaining({ code: 'MEDIA_TYPE_UNSUPPORTED' }),
    );
  });
});

/** A base of files, a layer that changes some and whites some out, and one more of files. */
const stack: fc.Arbitrary<() => Promise<Image>> = fc
  .tuple(randomTree, randomTree, randomTree)
  .map(([one, other, third]) => {
    let image: Promise<Image> | undefined;
    const make = async (): Promise<Image> => {
      const base = imageOf(await plainLayer(one));
      const middle = base.append(await diffLayer(base, imageOf(await plainLayer(other)), { compression: 'none' }));
      return middle.append(await diffLayer(middle, imageOf(await plainLayer(third)), { compression: 'none' }));
    };
    return () => (image ??= make());
  });

/** Type and content of each path: metadata of directories may come to be made up. */
function contents(seen: Record<string, unknown>): Record<string, string> {
  const files = Object.entries(seen) as [string, TarHeader & { content: string }][];
  return Object.fromEntries(
    files
      .filter(([, { type }]) => type !== 'directory')
      .map(([path, { type, mode, mtime, linkTarget, content }]) => [
        path,
        [type, mode, mtime, linkTarget, content].join(' '),
      ]),
  );
}

function expectTrue(image: Image): void {
  expect(image.config.rootfs.diff_ids).toEqual(image.layers.map(({ diffId }) => diffId));
  expect(image.config.history?.filter((entry) => !entry.empty_layer).length).toBe(image.layers.length);
}

async function headers(layer: Layer): Promise<TarHeader[]> {
  const found: TarHeader[] = [];
  for await (const { header } of layer.entries()) found.push(header);
  return found;
}

import { beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/bytes/hash.ts';
import { blobStore } from '../../src/content/blob-store.ts';
import type { BlobStore, ContentSource } from '../../src/content/content.ts';
import { Image } from '../../src/image/image.ts';
import { createLayer } from '../../src/layer/create-layer.ts';
import { Layout } from '../../src/layout/layout.ts';
import { type Descriptor, emptyDescriptor } from '../../src/oci/descriptor.ts';
import type { Manifest } from '../../src/oci/manifest.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { all, bytes, failure, failureOf } from '../content/contract.ts';
import { paths } from '../storage/contract.ts';

const epoch = { created: 0 };
const epochText = '1970-01-01T00:00:00Z';

describe('a new image', () => {
  test('is for linux/amd64, has no layers, and is dated at the epoch unless told', () => {
    const { config, manifest, layers, platform } = Image.scratch(epoch);
    expect(platform).toEqual({ os: 'linux', architecture: 'amd64' });
    expect(layers).toEqual([]);
    expect(config).toEqual({
      created: epochText,
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: [] },
      history: [],
    });
    expect(manifest.layers).toEqual([]);
    expect(manifest.mediaType).toBe(mediaTypes.manifest);
  });

  test('takes platforms in words and as data, with variant and version of the system', () => {
    expect(Image.scratch({ ...epoch, platform: 'linux/arm/v7' }).platform).toEqual({
      os: 'linux',
      architecture: 'arm',
      variant: 'v7',
    });
    const windows = { os: 'windows', architecture: 'amd64', 'os.version': '10.0.20348.1', 'os.features': ['win32k'] };
    const image = Image.scratch({ ...epoch, platform: windows });
    expect(image.platform).toEqual(windows);
    expect(image.descriptor.platform).toEqual(windows);
    expect(image.config).toMatchObject(windows);
    expect(() => Image.scratch({ platform: 'nonsense' })).toThrow(
      expect.objectContaining({ code: 'PLATFORM_INVALID' }),
    );
  });

  test('names its config and itself by the digests of their bytes', () => {
    const image = Image.scratch(epoch).label('a', 'b');
    expect(image.manifest.config).toEqual({
      mediaType: mediaTypes.config,
      digest: digestOf(image.configBytes),
      size: image.configBytes.length,
    });
    expect(image.descriptor).toMatchObject({
      mediaType: mediaTypes.manifest,
      digest: digestOf(image.manifestBytes),
      size: image.manifestBytes.length,
    });
    expect(parse(image.configBytes)).toEqual(image.config);
    expect(parse(image.manifestBytes)).toEqual(image.manifest);
  });
});

describe('setting the configuration', () => {
  test('writes each field as the specification has it, and says what was done', () => {
    const image = Image.scratch(epoch)
      .entrypoint(['/app/server', '--verbose'])
      .cmd(['serve'])
      .env({ PORT: '8080', EMPTY: '' })
      .workdir('/app')
      .user('1000:1000')
      .expose(8080, '53/udp', '443/tcp')
      .volume('/data', '/cache')
      .stopSignal('SIGTERM')
      .label('b', '2')
      .label('a', '1')
      .author('Jo <jo@example.com>')
      .created(86400)
      .history({ created_by: 'noted' });
    expect(image.config).toMatchObject({
      created: '1970-01-02T00:00:00Z',
      author: 'Jo <jo@example.com>',
      config: {
        Entrypoint: ['/app/server', '--verbose'],
        Cmd: ['serve'],
        Env: ['PORT=8080', 'EMPTY='],
        WorkingDir: '/app',
        User: '1000:1000',
        ExposedPorts: { '8080/tcp': {}, '53/udp': {}, '443/tcp': {} },
        Volumes: { '/data': {}, '/cache': {} },
        StopSignal: 'SIGTERM',
        Labels: { a: '1', b: '2' },
      },
    });
    expect(image.config.history?.map((entry) => [entry.created_by, entry.empty_layer])).toEqual([
      ['ENTRYPOINT ["/app/server","--verbose"]', true],
      ['CMD ["serve"]', true],
      ['ENV PORT=8080 EMPTY=', true],
      ['WORKDIR /app', true],
      ['USER 1000:1000', true],
      ['EXPOSE 8080/tcp 53/udp 443/tcp', true],
      ['VOLUME /data /cache', true],
      ['STOPSIGNAL SIGTERM', true],
      ['LABEL b=2', true],
      ['LABEL a=1', true],
      ['noted', true],
    ]);
  });

  test('replaces a variable in its place', () => {
    const image = Image.scratch(epoch)
      .env({ A: '1', B: '2', C: '3' })
      .env({ D: '4', B: 'two', A: 'with = and spaces' });
    expect(image.config.config?.Env).toEqual(['A=with = and spaces', 'B=two', 'C=3', 'D=4']);
  });

  test('gives the same digest for labels, ports and annotations in any order', () => {
    const one = Image.scratch(epoch).annotation('b', '2').annotation('a', '1');
    const two = Image.scratch(epoch).annotation('a', '1').annotation('b', '2');
    expect(one.descriptor.digest).toBe(two.descriptor.digest);
    expect(Object.keys(Image.scratch(epoch).expose(9, 80, '10/udp').config.config?.ExposedPorts ?? {})).toEqual(
      Object.keys(Image.scratch(epoch).expose('10/udp').expose(80).expose(9).config.config?.ExposedPorts ?? {}),
    );
  });

  test('removes a command by an empty list', () => {
    const { config } = Image.scratch(epoch).entrypoint(['/a']).cmd(['b']).entrypoint([]).cmd([]).config;
    expect(config).toEqual({});
  });

  test('puts annotations on the manifest and leaves the config alone', () => {
    const before = Image.scratch(epoch).label('a', 'b');
    const after = before.annotation('org.opencontainers.image.title', 'demo');
    expect(after.manifest.annotations).toEqual({ 'org.opencontainers.image.title': 'demo' });
    expect(after.manifest.config.digest).toBe(before.manifest.config.digest);
    expect(after.descriptor.digest).not.toBe(before.descriptor.digest);
  });

  test('refuses what no runtime could use, by name', () => {
    const image = Image.scratch(epoch);
    const refused: [() => unknown, string][] = [
      [() => image.env({ '': 'x' }), '""'],
      [() => image.env({ 'A=B': 'x' }), 'A=B'],
      [() => image.env({ A: 'x\0y' }), '"A"'],
      [() => image.expose(0), '0'],
      [() => image.expose(65536), '65536'],
      [() => image.expose('80/http'), '80/http'],
      [() => image.expose('-1'), '-1'],
      [() => image.expose(Number.NaN), 'null'],
      [() => image.created(Number.NaN), 'time'],
      [() => image.created(new Date('never')), 'time'],
      [() => image.created(Date.UTC(2024)), 'milliseconds'],
      [() => image.created(-1e12), 'outside'],
    ];
    for (const [call, named] of refused) {
      expect(call).toThrow(expect.objectContaining({ code: 'ARGUMENT_INVALID' }));
      expect(call).toThrow(named);
    }
    expect(() => image.label('a', 1 as unknown as string)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
    expect(() => image.label('__proto__', 'x')).toThrow(expect.objectContaining({ code: 'JSON_INVALID' }));
  });

  test('dates to the millisecond', () => {
    for (const milliseconds of [1234567890123, 1700000000570, 1699999999999, -1, 1]) {
      const image = Image.scratch({ created: new Date(milliseconds) });
      expect(Date.parse(image.config.created as string)).toBe(milliseconds);
    }
  });

  test('never changes the image that it is asked of, nor what it was given', async () => {
    const command = ['/a'];
    const variables = { A: '1' };
    const base = (await Image.scratch(epoch).addLayer([{ path: 'a' }]))
      .entrypoint(command)
      .env(variables)
      .expose(80)
      .volume('/v')
      .label('a', 'b')
      .annotation('c', 'd');
    const before = [base.configBytes.slice(), base.manifestBytes.slice(), JSON.stringify(base.config)];
    base.entrypoint(['/b']).cmd(['c']).env({ A: '2', B: '3' }).workdir('/').user('me').expose(81).volume('/w');
    base.stopSignal('SIGINT').label('a', 'c').annotation('c', 'e').author('me').created(5).history({ comment: 'x' });
    await base.addLayer([{ path: 'b' }]);
    await base.copy([{ path: 'c' }], '/d');
    base.append(base.layers[0]!);
    command.push('changed');
    variables.A = 'changed';
    expect([base.configBytes, base.manifestBytes, JSON.stringify(base.config)]).toEqual(before);
    expect(base.config.config).toMatchObject({ Entrypoint: ['/a'], Env: ['A=1'] });
    expect(parse(base.configBytes)).toEqual(base.config);
  });
});

describe('layers', () => {
  test('go on top, with their diff IDs and one history entry each', async () => {
    const one = await Image.scratch(epoch).addLayer([{ path: 'a', body: 'a' }]);
    const two = (await one.cmd(['/run']).copy([{ path: 'b/c', body: 'b' }], '/opt')).label('x', 'y');
    expect(two.layers.map(({ diffId }) => diffId)).toEqual(two.config.rootfs.diff_ids);
    expect(two.manifest.layers).toEqual(two.layers.map(({ descriptor }) => descriptor));
    expect(two.layers[0]?.descriptor).toEqual(one.layers[0]?.descriptor);
    const described = two.config.history?.filter((entry) => !entry.empty_layer);
    expect(described?.map((entry) => entry.created_by)).toEqual(['COPY . /', 'COPY . /opt']);
    expect(two.config.history?.length).toBe(4);
  });

  test('are copied under a directory, links with what they link', async () => {
    for (const destination of ['/app', 'app', './app/', '/app//']) {
      const image = await Image.scratch(epoch).copy(
        [
          { path: '/server', body: 'x' },
          { path: 'hard', type: 'hardlink', linkTarget: 'server' },
          { path: 'soft', type: 'symlink', linkTarget: 'server' },
          { name: 'item', data: bytes('y') },
        ],
        destination,
      );
      expect(await listing(image)).toEqual([
        'app',
        'app/item',
        'app/server',
        'app/soft -> server',
        'app/hard -> app/server',
      ]);
    }
    expect(await listing(await Image.scratch(epoch).copy([{ path: 'a/b' }], '/'))).toEqual(['a', 'a/b']);
    for (const destination of ['/../etc', 'a\0b'])
      expect(await failure(Image.scratch(epoch).copy([{ path: 'a' }], destination))).toBe('PATH_INVALID');
    expect(await failure(Image.scratch(epoch).copy([{ path: '../a' }], '/app/deep'))).toBe('PATH_INVALID');
  });

  test('are dated like the image, unless told', async () => {
    const image = Image.scratch({ created: 1000 });
    for (const [made, mtime] of [
      [await image.addLayer([{ path: 'a' }]), 1000],
      [await image.addLayer([{ path: 'a' }], { mtime: 5 }), 5],
    ] as const) {
      for await (const { header } of made.layers[0]!.entries()) expect(header.mtime).toBe(mtime);
    }
  });

  test('go into the store of the image, unless told', async () => {
    const [own, other] = [new MemoryStorage(), new MemoryStorage()];
    const image = Image.scratch({ ...epoch, store: blobStore(own) });
    await image.addLayer([{ path: 'a' }]);
    expect((await paths(own)).length).toBe(1);
    await image.addLayer([{ path: 'b' }], { store: blobStore(other) });
    expect([(await paths(own)).length, (await paths(other)).length]).toEqual([1, 1]);
  });

  test('that were made elsewhere are appended, and may say how', async () => {
    const layer = await createLayer([{ path: 'a', body: 'x' }]);
    const image = Image.scratch(epoch).append(layer, { created_by: 'RUN make', author: 'me' });
    expect(image.layers).toEqual([layer]);
    expect(image.config.rootfs.diff_ids).toEqual([layer.diffId]);
    expect(image.config.history).toEqual([
      { created: epochText, created_by: 'RUN make', comment: 'stowage', author: 'me' },
    ]);
  });

  test('that cannot be packed leave the image as it was', async () => {
    const image = Image.scratch(epoch);
    expect(await failure(image.addLayer([{ path: '../x' }]))).toBe('PATH_INVALID');
    expect(image.layers).toEqual([]);
  });
});

/** A base image with all that is odd in it: unknown fields everywhere, and unusual white space. */
async function oddBase(
  store: BlobStore,
  changes: { docker?: boolean; history?: unknown[]; diffIds?: string[] } = {},
): Promise<{ root: Descriptor; config: Record<string, unknown>; manifest: Manifest; text: [string, string] }> {
  const layer = await createLayer([{ path: 'base', body: 'base' }], { mtime: 0, store });
  const { docker } = mediaTypes;
  const config = {
    architecture: 'arm64',
    'x-first': { nested: [1, 2.5, null, 'ü'] },
    os: 'linux',
    variant: 'v8',
    created: '2020-01-02T03:04:05.678901234Z',
    author: 'somebody',
    config: {
      Env: ['PATH=/bin', 'A=1'],
      Cmd: ['/bin/sh'],
      Labels: { kept: 'label' },
      OnBuild: ['RUN x'],
      'x-container': true,
      Healthcheck: { Test: ['CMD', 'true'], Interval: 30_000_000_000 },
    },
    rootfs: { type: 'layers', diff_ids: changes.diffIds ?? [layer.diffId], 'x-rootfs': 1 },
    history: changes.history ?? [{ created_by: 'base', 'x-history': 'kept' }],
    docker_version: '20.10',
  };
  const configText = JSON.stringify(config, null, 3);
  const configDescriptor = await store.write(configText, {
    mediaType: changes.docker ? docker.config : mediaTypes.config,
  });
  const manifest = {
    layers: [
      {
        ...layer.descriptor,
        mediaType: changes.docker ? docker.layerGzip : mediaTypes.layerGzip,
        'x-layer': 'kept',
        annotations: { layer: 'annotation' },
      },
    ],
    schemaVersion: 2 as const,
    'x-manifest': ['kept'],
    mediaType: changes.docker ? docker.manifest : mediaTypes.manifest,
    config: { ...configDescriptor, 'x-config': 'kept' },
    annotations: { z: 'last', a: 'first' },
  };
  const manifestText = `${JSON.stringify(manifest, null, '\t')}\n`;
  const root = await store.write(manifestText, { mediaType: manifest.mediaType });
  return { root, config, manifest, text: [manifestText, configText] };
}

describe('an existing image', () => {
  let layout: Layout;
  let base: Awaited<ReturnType<typeof oddBase>>;

  beforeAll(async () => {
    layout = await Layout.create(new MemoryStorage());
    base = await oddBase(layout);
    await layout.tag(base.root, 'base');
  });

  test('keeps its bytes and digests as long as it is not changed', async () => {
    for (const reference of ['base', base.root.digest, base.root]) {
      const image = await Image.from(layout, reference);
      expect([decode(image.manifestBytes), decode(image.configBytes)]).toEqual(base.text);
      expect(image.descriptor.digest).toBe(base.root.digest);
      expect(image.platform).toEqual({ os: 'linux', architecture: 'arm64', variant: 'v8' });
      expect(digestOf(await all(await image.layers[0]!.open()))).toBe(base.manifest.layers[0]!.digest);
    }
  });

  test('keeps every field that is not known here when it is changed', async () => {
    const image = (await (await Image.from(layout, 'base', epoch)).addLayer([{ path: 'new' }]))
      .env({ A: '2' })
      .label('new', 'label')
      .annotation('new', 'annotation');
    const config = parse(image.configBytes) as Record<string, Record<string, unknown>>;
    expect(config).toMatchObject({
      ...base.config,
      created: epochText,
      config: {
        ...(base.config.config as object),
        Env: ['PATH=/bin', 'A=2'],
        Labels: { kept: 'label', new: 'label' },
      },
      rootfs: { type: 'layers', 'x-rootfs': 1, diff_ids: image.layers.map(({ diffId }) => diffId) },
      history: [{ created_by: 'base', 'x-history': 'kept' }, {}, {}, {}],
    });
    const manifest = parse(image.manifestBytes) as Manifest;
    expect(manifest['x-manifest']).toEqual(['kept']);
    expect(manifest.config).toMatchObject({ 'x-config': 'kept', digest: digestOf(image.configBytes) });
    expect(manifest.layers[0]).toEqual(base.manifest.layers[0]);
    expect(manifest.annotations).toEqual({ a: 'first', new: 'annotation', z: 'last' });
  });

  test('keeps the bytes of its config when only an annotation is set', async () => {
    const image = (await Image.from(layout, 'base')).annotation('a', 'b');
    expect(decode(image.configBytes)).toBe(base.text[1]);
    expect(image.manifest.config.digest).toBe(base.manifest.config.digest);
  });

  test('keeps its time when it is changed, unless another is given', async () => {
    const image = await Image.from(layout, 'base');
    expect(image.cmd(['x']).config.created).toBe('2020-01-02T03:04:05.678901234Z');
    const dated = (await Image.from(layout, 'base', { created: 86400 })).cmd(['x']);
    expect(dated.config.created).toBe('1970-01-02T00:00:00Z');
    expect(dated.config.history?.at(-1)?.created).toBe('1970-01-02T00:00:00Z');
  });

  test('is appended to without reading a byte of its layers', async () => {
    const layers = new Set(base.manifest.layers.map(({ digest }) => digest));
    const source: ContentSource = {
      has: (descriptor) => layout.has(descriptor),
      resolve: (...args) => layout.resolve(...args),
      read(descriptor, options) {
        if (layers.has(descriptor.digest)) throw new Error('a base layer was read');
        return layout.read(descriptor, options);
      },
    };
    const image = (await Image.from(source, 'base')).append(await createLayer([{ path: 'top' }])).label('a', 'b');
    expect(image.layers.length).toBe(2);
  });

  test('of Docker stays of Docker, and its new layers are of Docker’s type', async () => {
    const store = await Layout.create(new MemoryStorage());
    const { root } = await oddBase(store, { docker: true });
    const from = await Image.from(store, root, epoch);
    const image = (await from.addLayer([{ path: 'a' }])).append(
      await createLayer([{ path: 'b' }], { compression: 'none' }),
    );
    expect(image.descriptor.mediaType).toBe(mediaTypes.docker.manifest);
    expect(image.manifest.mediaType).toBe(mediaTypes.docker.manifest);
    expect(image.manifest.config.mediaType).toBe(mediaTypes.docker.config);
    expect(image.manifest.layers.map(({ mediaType }) => mediaType)).toEqual([
      mediaTypes.docker.layerGzip,
      mediaTypes.docker.layerGzip,
      mediaTypes.docker.layer,
    ]);
    expect(await listing(image, 1)).toEqual(['a']);
    expect(await listing(image, 2)).toEqual(['b']);
  });

  test('whose history does not speak of its layers gets entries for them before the new one', async () => {
    const store = await Layout.create(new MemoryStorage());
    const odd: unknown[][] = [[], [{ created_by: 'ENV A=1', empty_layer: true }]];
    for (const history of odd) {
      const { root } = await oddBase(store, { history });
      const image = await (await Image.from(store, root, epoch)).addLayer([{ path: 'a' }]);
      const entries = image.config.history ?? [];
      expect(entries.slice(0, history.length)).toEqual(history);
      expect(entries.filter(({ empty_layer }) => !empty_layer).length).toBe(image.layers.length);
      expect(entries.at(-1)?.created_by).toBe('COPY . /');
    }
  });

  test('whose config and manifest disagree on the layers is refused', async () => {
    const store = await Layout.create(new MemoryStorage());
    for (const diffIds of [[], [digestOf('a'), digestOf('b')]]) {
      const { root } = await oddBase(store, { diffIds });
      const error = await failureOf(Image.from(store, root));
      expect(error.code).toBe('MANIFEST_INVALID');
      expect(error.message).toMatch(/1 layers.*diff_ids/);
    }
  });

  test('that is an artifact or no manifest is refused', async () => {
    const store = await Layout.create(new MemoryStorage());
    await store.write('{}', emptyDescriptor);
    const artifact = {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      artifactType: 'application/vnd.example',
      config: emptyDescriptor,
      layers: [],
    };
    const root = await store.write(JSON.stringify(artifact), { mediaType: mediaTypes.manifest });
    expect(await failure(Image.from(store, root))).toBe('MEDIA_TYPE_UNSUPPORTED');
    const blob = await store.write('blob', { mediaType: mediaTypes.layer });
    expect(await failure(Image.from(store, blob))).toBe('MEDIA_TYPE_UNSUPPORTED');
    const schema1 = await store.write('{"schemaVersion":1,"fsLayers":[]}', { mediaType: mediaTypes.manifest });
    expect(await failure(Image.from(store, schema1))).toBe('MEDIA_TYPE_UNSUPPORTED');
  });

  test('that is not there, broken or lied about is refused by its code', async () => {
    const store = await Layout.create(new MemoryStorage());
    const { root, manifest } = await oddBase(store);
    expect(await failure(Image.from(store, 'nope'))).toBe('NOT_FOUND');
    expect(await failure(Image.from(store, { ...root, digest: digestOf('nope') }))).toBe('BLOB_NOT_FOUND');
    expect(await failure(Image.from(store, { ...root, size: root.size + 1 }))).toBe('SIZE_MISMATCH');
    const asIndex = { ...root, mediaType: mediaTypes.index };
    expect(await failure(Image.from(store, asIndex))).toBe('INDEX_INVALID');
    const noConfig = { ...manifest, config: { ...manifest.config, digest: digestOf('nope') } };
    const written = await store.write(JSON.stringify(noConfig), { mediaType: mediaTypes.manifest });
    expect(await failure(Image.from(store, written))).toBe('BLOB_NOT_FOUND');
    const limits = { jsonBytes: 100 };
    expect(await failure(Image.from(store, root, { limits }))).toBe('LIMIT_EXCEEDED');
  });

  test('is opened within the bounds of a signal', async () => {
    const reason = new Error('enough');
    await expect(Image.from(layout, 'base', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe('an index of images', () => {
  let layout: Layout;

  beforeAll(async () => {
    layout = await Layout.create(new MemoryStorage());
    const manifests: Descriptor[] = [];
    for (const platform of ['linux/arm/v6', 'linux/arm64', 'linux/amd64', 'windows/amd64']) {
      const image = Image.scratch({ ...epoch, platform });
      await layout.write(image.configBytes, image.manifest.config);
      await layout.write(image.manifestBytes, image.descriptor);
      manifests.push(image.descriptor);
    }
    const attestation = { ...manifests[0]!, platform: { os: 'unknown', architecture: 'unknown' } };
    const index = async (list: Descriptor[], tag: string): Promise<Descriptor> => {
      const text = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: list });
      const written = await layout.write(text, { mediaType: mediaTypes.index });
      await layout.tag(written, tag);
      return written;
    };
    const all = await index([attestation, ...manifests], 'all');
    await index([all], 'nested');
    await index([manifests[1]!, attestation], 'arm64-only');
    await index([manifests[0]!, manifests[1]!], 'arms');
    await index([], 'none');
  });

  const pick = async (reference: string, platform?: string): Promise<string> => {
    const { platform: chosen } = await Image.from(layout, reference, { platform });
    return [chosen.os, chosen.architecture, chosen.variant].filter(Boolean).join('/');
  };

  test('gives the image that was asked for, or the closest that runs there', async () => {
    for (const reference of ['all', 'nested']) {
      expect(await pick(reference, 'linux/arm64')).toBe('linux/arm64');
      expect(await pick(reference, 'linux/aarch64')).toBe('linux/arm64');
      expect(await pick(reference, 'windows/amd64')).toBe('windows/amd64');
      expect(await pick(reference, 'linux/arm/v7')).toBe('linux/arm/v6');
    }
  });

  test('gives its only image, else that of linux/amd64', async () => {
    expect(await pick('all')).toBe('linux/amd64');
    expect(await pick('nested')).toBe('linux/amd64');
    expect(await pick('arm64-only')).toBe('linux/arm64');
  });

  test('says what it holds where it does not hold what was asked for', async () => {
    const error = await failureOf(Image.from(layout, 'all', { platform: 'linux/s390x' }));
    expect(error.code).toBe('NOT_FOUND');
    expect(error.message).toContain('linux/s390x');
    expect(error.message).toContain('linux/arm/v6, linux/arm64, linux/amd64, windows/amd64');
    expect((await failureOf(Image.from(layout, 'arms'))).message).toContain('linux/amd64');
    expect((await failureOf(Image.from(layout, 'arm64-only', { platform: 'linux/arm/v5' }))).code).toBe('NOT_FOUND');
    expect((await failureOf(Image.from(layout, 'none'))).message).toContain('no image');
    expect(await failure(Image.from(layout, 'all', { platform: 'nonsense' }))).toBe('PLATFORM_INVALID');
  });
});

async function listing(image: Image, layer = 0): Promise<string[]> {
  const found: string[] = [];
  for await (const { header } of image.layers[layer]!.entries())
    found.push(header.linkTarget ? `${header.path} -> ${header.linkTarget}` : header.path);
  return found;
}

function decode(content: Uint8Array): string {
  return new TextDecoder().decode(content);
}

function parse(content: Uint8Array): unknown {
  return JSON.parse(decode(content));
}

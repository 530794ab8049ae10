import { beforeAll, describe, expect, test } from 'vitest';
import {
  addPlatform,
  blobStore,
  type ContentSource,
  copy,
  type Descriptor,
  emptyDescriptor,
  filterPlatforms,
  Image,
  type ImageIndex,
  imageIndex,
  Layout,
  MemoryStorage,
  mapPlatforms,
  mediaTypes,
  removePlatform,
  serializeIndex,
  serializeManifest,
  toDocker,
  toOci,
} from '../../src/index.ts';
import { plainLayer } from './trees.ts';

const unknown = { os: 'unknown', architecture: 'unknown' };

let layout: Layout;
let images: Image[];

/** `app`: two images, each with an attestation, and a signature of one of these. `nested`: an index in an index. `one`: an image. */
beforeAll(async () => {
  layout = await Layout.create(new MemoryStorage());
  images = [];
  for (const platform of ['linux/amd64', 'linux/arm64']) {
    const layer = await plainLayer([{ path: platform, body: platform }]);
    images.push(Image.scratch({ platform, store: blobStore(new MemoryStorage()) }).append(layer));
  }
  const manifests: Descriptor[] = [];
  for (const image of images) {
    await store(image);
    manifests.push({ ...image.descriptor, annotations: { of: image.platform.architecture }, 'x-unknown': 1 });
  }
  for (const image of images) manifests.push(await attestation(image.descriptor));
  manifests.push(await artifact(manifests[2]!));
  const root = await writeIndex({ schemaVersion: 2, mediaType: mediaTypes.index, manifests, annotations: { a: 'b' } });
  await layout.tag(root, 'app');
  await layout.tag(await writeIndex({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [root] }), 'nested');
  await layout.tag(images[0]!.descriptor, 'one');
  const docker = images.map(toDocker);
  for (const image of docker) await store(image);
  const list = {
    schemaVersion: 2,
    mediaType: mediaTypes.docker.manifestList,
    manifests: docker.map(({ descriptor }) => descriptor),
  } as const;
  await layout.tag(await writeIndex(list), 'docker');
});

describe('mapPlatforms', () => {
  test('gives a root that can be copied anywhere, with each image changed and all else kept', async () => {
    const seen: unknown[] = [];
    const content = await mapPlatforms(layout, 'app', (image, descriptor) => {
      seen.push([image.platform.architecture, descriptor.annotations?.of]);
      return image.label('k', image.platform.architecture);
    });
    expect(seen).toEqual([
      ['amd64', 'amd64'],
      ['arm64', 'arm64'],
    ]);
    const to = await Layout.create(new MemoryStorage());
    await copy(content, to, { references: ['app'] });
    expect((await to.verify()).faults).toEqual([]);
    for (const { platform } of images) {
      const image = await Image.from(to, 'app', { platform });
      expect(image.config.config?.Labels).toEqual({ k: platform.architecture });
      expect(image.layers[0]!.descriptor).toEqual(
        images.find((each) => each.platform.architecture === platform.architecture)!.layers[0]!.descriptor,
      );
    }
    const index = await read(to, 'app');
    expect(index.annotations).toEqual({ a: 'b' });
    expect(index.manifests).toMatchObject([
      { platform: { architecture: 'amd64' }, annotations: { of: 'amd64' }, 'x-unknown': 1 },
      { platform: { architecture: 'arm64' }, annotations: { of: 'arm64' }, 'x-unknown': 1 },
    ]);
    expect(index.manifests.length).toBe(2);
  });

  test('keeps the attestations of an image that is unchanged, and drops those of one that changed, and what signs them', async () => {
    const before = (await read(layout, 'app')).manifests;
    const content = await mapPlatforms(layout, 'app', (image) =>
      image.platform.architecture === 'arm64' ? image : image.label('k', 'v'),
    );
    const { manifests } = await read(content, 'app');
    expect(manifests.slice(1)).toEqual([before[1], before[3]]);
    const other = await mapPlatforms(layout, 'app', (image) =>
      image.platform.architecture === 'arm64' ? undefined : image,
    );
    expect((await read(other, 'app')).manifests).toEqual([before[0], before[2], before[4]]);
  });

  test('leaves an index of which nothing changes as it is, nested or not', async () => {
    for (const reference of ['app', 'nested', 'one', 'docker']) {
      const content = await mapPlatforms(layout, reference, (image) => image);
      expect(content.root).toEqual(await layout.resolve(reference));
    }
  });

  test('changes what is nested, and an image alone', async () => {
    const nested = await mapPlatforms(layout, 'nested', (image) => image.label('k', 'v'));
    const to = await Layout.create(new MemoryStorage());
    await copy(nested, to, { references: ['nested'] });
    expect((await Image.from(to, 'nested', { platform: 'linux/arm64' })).config.config?.Labels).toEqual({ k: 'v' });
    const one = await mapPlatforms(layout, 'one', (image) => image.label('k', 'v'));
    expect(one.root.digest).toBe(images[0]!.label('k', 'v').descriptor.digest);
    expect((await one.resolve(one.root.digest)).digest).toBe(one.root.digest);
  });

  test('makes an index of a list of Docker whose images become OCI ones, and says its new platform of an image', async () => {
    const content = await mapPlatforms(layout, 'docker', toOci);
    expect(content.root.mediaType).toBe(mediaTypes.index);
    const index = await read(content, 'docker');
    expect(index.mediaType).toBe(mediaTypes.index);
    expect(index.manifests.map(({ digest }) => digest)).toEqual(images.map(({ descriptor }) => descriptor.digest));
    const moved = await mapPlatforms(layout, 'app', (image) =>
      image.with({ config: { ...image.config, variant: 'v9' } }),
    );
    expect((await read(moved, 'app')).manifests[0]!.platform).toMatchObject({ variant: 'v9' });
  });

  test('refuses to leave nothing, passes on what the function throws, and ends when aborted', async () => {
    await expect(mapPlatforms(layout, 'app', () => undefined)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(mapPlatforms(layout, 'one', () => undefined)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(mapPlatforms(layout, 'none', (image) => image)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const reason = new Error('enough');
    const fail = (): never => {
      throw reason;
    };
    await expect(mapPlatforms(layout, 'app', fail)).rejects.toBe(reason);
    const signal = AbortSignal.abort(reason);
    await expect(mapPlatforms(layout, 'app', (image) => image, { signal })).rejects.toBe(reason);
    await expect(mapPlatforms(layout, 'nested', (image) => image, { limits: { indexDepth: 0 } })).rejects.toMatchObject(
      {
        code: 'LIMIT_EXCEEDED',
      },
    );
  });
});

describe('filterPlatforms and removePlatform', () => {
  test('keep what attests an image that stays, and nothing of one that goes', async () => {
    const { manifests } = await read(layout, 'app');
    const amd = [manifests[0], manifests[2], manifests[4]];
    for (const content of [
      await filterPlatforms(layout, 'app', 'linux/amd64'),
      await filterPlatforms(layout, 'app', ({ architecture }) => architecture === 'amd64'),
      await removePlatform(layout, 'app', [{ os: 'linux', architecture: 'arm64' }]),
    ]) {
      expect((await read(content, 'app')).manifests).toEqual(amd);
    }
    expect((await filterPlatforms(layout, 'app', 'linux/amd64,linux/arm64')).root).toEqual(await layout.resolve('app'));
  });

  test('read no layer and no config', async () => {
    const blobs = new Set(
      images.flatMap((image) => [image.manifest.config.digest, image.layers[0]!.descriptor.digest]),
    );
    const watched: ContentSource = {
      resolve: (reference) => layout.resolve(reference),
      has: (descriptor) => layout.has(descriptor),
      read: async (descriptor, options) => {
        if (blobs.has(descriptor.digest)) throw new Error(`${descriptor.digest} was read`);
        return layout.read(descriptor, options);
      },
    };
    expect((await read(await removePlatform(watched, 'app', 'linux/amd64'), 'app')).manifests.length).toBe(2);
  });

  test('say which platforms there are where one is missing, and refuse to leave none', async () => {
    await expect(removePlatform(layout, 'app', 'linux/s390x')).rejects.toThrow(
      /linux\/s390x.*linux\/amd64, linux\/arm64/,
    );
    await expect(removePlatform(layout, 'app', () => true)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(filterPlatforms(layout, 'app', 'nonsense')).rejects.toMatchObject({ code: 'PLATFORM_INVALID' });
  });
});

describe('addPlatform', () => {
  const arm = async (): Promise<Image> =>
    Image.scratch({ platform: 'linux/arm/v6' }).append(await plainLayer([{ path: 'arm' }]));

  test('puts an image at the end of an index, and makes one of a single image', async () => {
    const image = await arm();
    for (const [reference, count] of [
      ['app', 6],
      ['one', 2],
      ['docker', 3],
    ] as const) {
      const content = await addPlatform(layout, reference, image);
      const to = await Layout.create(new MemoryStorage());
      await copy(content, to, { references: [reference] });
      expect((await to.verify()).faults).toEqual([]);
      const index = await read(to, reference);
      expect(index.manifests.length).toBe(count);
      expect(index.manifests.at(-1)).toMatchObject({ platform: { architecture: 'arm', variant: 'v6' } });
      expect(new Set(index.manifests.slice(0, 2).map(({ mediaType }) => mediaType)).size).toBe(1);
      expect((await Image.from(to, reference, { platform: 'linux/arm/v6' })).config).toEqual(image.config);
    }
    expect((await read(await addPlatform(layout, 'docker', image), 'docker')).manifests.at(-1)?.mediaType).toBe(
      mediaTypes.docker.manifest,
    );
  });

  test('refuses a second image for one platform', async () => {
    for (const reference of ['app', 'nested', 'one'])
      await expect(addPlatform(layout, reference, images[0]!)).rejects.toMatchObject({ code: 'ARGUMENT_INVALID' });
  });
});

async function store(image: Image): Promise<void> {
  await layout.write(image.configBytes, image.manifest.config);
  for (const layer of image.layers) await layout.write(await layer.open(), layer.descriptor);
  await layout.write(image.manifestBytes, image.descriptor);
}

/** As BuildKit writes them. */
async function attestation(of: Descriptor): Promise<Descriptor> {
  const annotations = {
    'vnd.docker.reference.type': 'attestation-manifest',
    'vnd.docker.reference.digest': of.digest,
  };
  return { ...(await artifact(undefined, of.digest)), annotations, platform: unknown };
}

async function artifact(subject?: Descriptor, note = ''): Promise<Descriptor> {
  await layout.write('{}', emptyDescriptor);
  const bytes = serializeManifest({
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    artifactType: 'application/vnd.example',
    config: { ...emptyDescriptor },
    layers: [{ ...emptyDescriptor }],
    ...(subject && { subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size } }),
    annotations: { note },
  });
  return layout.write(bytes, { mediaType: mediaTypes.manifest });
}

async function writeIndex(index: ImageIndex): Promise<Descriptor> {
  return layout.write(serializeIndex(index), { mediaType: index.mediaType! });
}

async function read(from: ContentSource, reference: string): Promise<ImageIndex> {
  const descriptor = await from.resolve(reference);
  const bytes = await new Response(await from.read(descriptor)).text();
  return imageIndex.parse(bytes);
}

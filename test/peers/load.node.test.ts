/** Every archive that the field's tools write loads, small in memory or large through a storage, and keeps its digests. */
import { createReadStream, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import {
  exportDirectory,
  formatPlatform,
  type Image,
  type LoadedImage,
  type LoadedTarball,
  type LoadTarballOptions,
  loadTarballForPush,
  saveTarball,
} from '../../src/index.ts';
import { NodeStorage } from '../../src/storage/node.ts';
import { describeArchive, describeLayout, type ExpectedImage, sha256 } from './expected.ts';
import { archive, archiveNames, archiveNeeds, greeting } from './images.ts';
import { peerTest, run, runWithRunc, temporaryDirectory, writeStream } from './peers.ts';

describe('an archive that another tool wrote', () => {
  for (const name of archiveNames) {
    peerTest(archiveNeeds, `loads in memory and keeps its digests: ${name}`, async () => {
      const { path, expected } = await archive(name);
      const loaded = await loadTarballForPush(new Uint8Array(readFileSync(path)));
      await expectLoaded(loaded, expected.images);
      expect(loaded.tag).toBe(expected.tag);
      expect(loaded.isMultiPlatform).toBe(expected.isMultiPlatform);
      await loaded.cleanup();
    });

    peerTest(archiveNeeds, `loads through a storage and leaves nothing there: ${name}`, async () => {
      const { path, expected } = await archive(name);
      const directory = temporaryDirectory();
      const loaded = await loadTarballForPush(createReadStream(path), spillInto(directory));
      expect(filesIn(directory)).not.toEqual([]);
      await expectLoaded(loaded, expected.images);
      await loaded.cleanup();
      expect(filesIn(directory)).toEqual([]);
    });

    peerTest(archiveNeeds, `is read by skopeo when written out again: ${name}`, async () => {
      const { path, expected } = await archive(name);
      const loaded = await loadTarballForPush(createReadStream(path));
      for (const images of groups(loaded)) {
        const saved = join(temporaryDirectory(), 'image.tar.gz');
        await writeStream(saveTarball(images, { tag: 'again:1' }), saved);
        const wanted = images.map((image) => expected.images[loaded.images.findIndex((one) => one.image === image)]!);
        expectSame((await describeArchive(saved)).images, wanted);
        const copied = join(temporaryDirectory(), 'layout');
        // Without the name: skopeo finds a manifest of Docker's type, which an image keeps, only as the single one.
        const source = `oci-archive:${saved}`;
        await run('skopeo', ['copy', '--quiet', '--all', '--preserve-digests', source, `oci:${copied}:copied`]);
        expectSame(describeLayout(copied).images, wanted);
      }
      await loaded.cleanup();
    });
  }

  peerTest(
    [...archiveNeeds, 'runc'],
    'still holds a program that runs, from OCI and from Docker archives',
    async () => {
      for (const name of ['podman save, oci-archive', 'docker save before 25, one layer twice'] as const) {
        const loaded = await loadTarballForPush(createReadStream((await archive(name)).path));
        const layout = temporaryDirectory();
        await exportDirectory(loaded.images[0]!.image, new NodeStorage(layout), { tag: 'again' });
        await loaded.cleanup();
        expect(await runWithRunc(layout, 'again')).toBe(greeting);
      }
    },
  );

  peerTest(archiveNeeds, 'is refused, not held in memory, where it is large and no storage was given', async () => {
    const { path } = await archive('podman save, oci-archive');
    const loading = loadTarballForPush(createReadStream(path), { memoryThreshold: 64 * 1024 });
    await expect(loading).rejects.toMatchObject({ name: 'StowageError', code: 'LIMIT_EXCEEDED' });
  });
});

/** What was loaded, read byte by byte, is what GNU tar found in the archive. */
async function expectLoaded({ images }: LoadedTarball, expected: readonly ExpectedImage[]): Promise<void> {
  expect(images).toHaveLength(expected.length);
  for (const [position, image] of images.entries()) await expectImage(image, expected[position]!);
}

async function expectImage(image: LoadedImage, expected: ExpectedImage): Promise<void> {
  expect(formatPlatform(image.platform)).toBe(expected.platform);
  expect(image.configDigest).toBe(expected.configDigest);
  expect(sha256(image.config)).toBe(expected.configDigest);
  expect(sha256(image.manifest)).toBe(image.manifestDigest);
  if (expected.manifestDigest !== undefined) expect(image.manifestDigest).toBe(expected.manifestDigest);
  expect(image.layers.map((layer) => layer.digest)).toEqual(expected.layerDigests);
  for (const layer of image.layers) {
    const bytes = new Uint8Array(await new Response(await layer.getData()).arrayBuffer());
    expect(sha256(bytes)).toBe(layer.digest);
    expect(bytes).toHaveLength(layer.size);
  }
}

function expectSame(actual: readonly ExpectedImage[], expected: readonly ExpectedImage[]): void {
  const known = expected.map(({ manifestDigest, ...rest }) =>
    manifestDigest === undefined ? rest : { ...rest, manifestDigest },
  );
  expect(actual).toMatchObject(known);
}

/** The images of several platforms together; those of several names each by itself. */
function groups({ images }: LoadedTarball): Image[][] {
  const platforms = new Set(images.map(({ platform }) => formatPlatform(platform)));
  return platforms.size === images.length ? [images.map(({ image }) => image)] : images.map(({ image }) => [image]);
}

function spillInto(directory: string): LoadTarballOptions {
  return { memoryThreshold: 64 * 1024, spill: new NodeStorage(directory) };
}

function filesIn(directory: string): string[] {
  const paths = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  return paths.filter((path) => statSync(join(directory, path)).isFile());
}

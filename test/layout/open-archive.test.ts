import { beforeAll, describe, expect, test } from 'vitest';
import { readBytes } from '../../src/bytes/byte-source.ts';
import {
  createLayer,
  exportDirectory,
  Image,
  Layout,
  loadTarballForPush,
  MemoryStorage,
  openArchive,
  type SaveTarballOptions,
  saveTarball,
} from '../../src/index.ts';
import { entry, type Files, join, pack, packFiles, unpack } from './archives.ts';

let image: Image;
let tar: Uint8Array;

beforeAll(async () => {
  const big = Uint8Array.from({ length: 3_000_000 }, (_, index) => (index * index) >> 7);
  const layer = await createLayer([{ path: 'big', body: big }], { compression: 'none' });
  image = (
    await Image.scratch()
      .append(layer)
      .addLayer([{ path: 'etc/motd', body: 'hello' }])
  ).cmd(['/big']);
  tar = await save({ compression: 'none' });
});

describe('an archive in a Blob', () => {
  test('is opened where it lies, and its images read and copied from it', async () => {
    const archive = await openArchive(new Blob([tar as Uint8Array<ArrayBuffer>]));
    expect((await archive.tags()).map(({ name }) => name)).toEqual(['demo:1.0']);
    expect(archive.roots.length).toBe(1);
    const opened = await Image.from(archive, 'demo:1.0');
    expect(opened.descriptor.digest).toBe(image.descriptor.digest);
    expect(new TextDecoder().decode(await (await opened.files()).readFile('etc/motd'))).toBe('hello');
    expect((await Image.from(archive, image.descriptor.digest)).descriptor.digest).toBe(image.descriptor.digest);
    const storage = new MemoryStorage();
    await exportDirectory(opened, storage, { tag: 'copied' });
    expect((await (await Layout.open(storage)).verify()).faults).toEqual([]);
  });

  test('costs the reading of its headers and documents, not of its layers', async () => {
    const counting = countReads(tar);
    const archive = await openArchive(counting.blob);
    await Image.from(archive, 'demo:1.0');
    expect(counting.bytes()).toBeLessThan(100_000);
    expect(tar.length).toBeGreaterThan(3_000_000);
  });

  test('may be one that docker save wrote, whose images are found by name or in roots', async () => {
    const files = await withoutOci();
    const archive = await openArchive(new Blob([(await packFiles(files)) as Uint8Array<ArrayBuffer>]));
    expect((await archive.tags()).map(({ name }) => name)).toEqual(['demo:1.0']);
    const opened = await Image.from(archive, 'demo:1.0');
    expect(opened.config).toEqual(image.config);
    await expect((await opened.files()).stat('big')).resolves.toMatchObject({ size: 3_000_000 });
    expect(await archive.resolve(archive.roots[0]!.digest)).toEqual(archive.roots[0]);
  });

  test('has no names but its own', async () => {
    const archive = await openArchive(new Blob([tar as Uint8Array<ArrayBuffer>]));
    await expect(archive.resolve('other')).rejects.toThrow('demo:1.0');
    await expect(archive.resolve(`sha256:${'0'.repeat(64)}`)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const missing = { mediaType: 'x', digest: `sha256:${'0'.repeat(64)}`, size: 1 };
    expect(await archive.has(missing)).toBe(false);
    await expect(archive.read(missing)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
  });

  test('is refused where it is compressed, cut short, hostile or no archive', async () => {
    const refuse = (bytes: Uint8Array, code: string): Promise<void> =>
      expect(openArchive(new Blob([bytes as Uint8Array<ArrayBuffer>]))).rejects.toMatchObject({ code });
    await refuse(await save({}), 'ARGUMENT_INVALID');
    await refuse(tar.subarray(0, tar.length - 2_000_000), 'TAR_TRUNCATED');
    await refuse(new TextEncoder().encode('x'.repeat(600)), 'TAR_INVALID');
    await refuse(new Uint8Array(), 'LAYOUT_INVALID');
    await refuse(await pack([entry('../oci-layout', '{}')]), 'PATH_INVALID');
    await refuse(await pack([entry('a', '1'), entry('a', '2')]), 'PATH_DUPLICATE');
    // Whatever lies behind the end of the tar is of no account.
    await openArchive(new Blob([join([tar, new Uint8Array(1_000_000)]) as Uint8Array<ArrayBuffer>]));
    const reason = new Error('enough');
    const options = { signal: AbortSignal.abort(reason) };
    await expect(openArchive(new Blob([tar as Uint8Array<ArrayBuffer>]), options)).rejects.toBe(reason);
  });

  test('whose blob is damaged says so when that is read', async () => {
    const damaged = tar.slice();
    damaged[damaged.length >> 1]! ^= 1;
    const archive = await openArchive(new Blob([damaged]));
    const opened = await Image.from(archive, 'demo:1.0');
    await expect((await opened.files()).stat('big')).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
  });
});

describe('an archive in zstd', () => {
  test('is written where the runtime can, and refused by name where it cannot; it loads everywhere', async () => {
    let bytes: Uint8Array;
    try {
      bytes = await save({ compression: 'zstd' });
    } catch (error) {
      expect(error).toMatchObject({ code: 'RUNTIME_UNSUPPORTED' });
      bytes = zstdStored(tar);
    }
    expect([...bytes.subarray(0, 4)]).toEqual([0x28, 0xb5, 0x2f, 0xfd]);
    const loaded = await loadTarballForPush(bytes);
    expect(loaded.images.map(({ manifestDigest }) => manifestDigest)).toEqual([image.descriptor.digest]);
  });
});

async function save(options: SaveTarballOptions): Promise<Uint8Array> {
  const stream = saveTarball(image, { tag: 'demo:1.0', ...options });
  return readBytes(stream);
}

/** Only what `docker save` writes: `manifest.json`, and what that names. */
async function withoutOci(): Promise<Files> {
  const files = await unpack(tar);
  files.delete('oci-layout');
  files.delete('index.json');
  return files;
}

/** A Blob, and how many bytes of it were read. */
function countReads(bytes: Uint8Array): { blob: Blob; bytes(): number } {
  let read = 0;
  const counting = (inner: Blob): Blob =>
    ({
      size: inner.size,
      slice: (start?: number, end?: number) => counting(inner.slice(start, end)),
      stream: () => {
        read += inner.size;
        return inner.stream();
      },
    }) as Blob;
  return { blob: counting(new Blob([bytes as Uint8Array<ArrayBuffer>])), bytes: () => read };
}

/** One zstd frame of raw blocks. */
function zstdStored(content: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [new Uint8Array([0x28, 0xb5, 0x2f, 0xfd, 0, 0x58])];
  for (let at = 0; at < content.length; at += 131072) {
    const block = content.subarray(at, at + 131072);
    const header = (block.length << 3) | (at + 131072 >= content.length ? 1 : 0);
    parts.push(new Uint8Array([header & 255, (header >> 8) & 255, header >> 16]), block);
  }
  return join(parts);
}

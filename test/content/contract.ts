/** What every content store promises, as tests: run over each of them, in whatever runtime it lives. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readBytes } from '../../src/bytes/byte-source.ts';
import { digestBy, digestOf } from '../../src/bytes/hash.ts';
import type { BlobStore, ContentStore } from '../../src/content/content.ts';
import { StowageError } from '../../src/errors.ts';
import type { Descriptor } from '../../src/oci/descriptor.ts';
import { emptyDescriptor } from '../../src/oci/descriptor.ts';
import { serializeManifest } from '../../src/oci/manifest.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';

/** A store under test, and what the tests do to it behind its back. */
export interface OpenedStore<Store> {
  store: Store;
  /** Puts other bytes where the store keeps a blob. */
  corrupt(descriptor: Descriptor, content: Uint8Array): Promise<void>;
  /** The digests of the blobs that are visible, sorted. */
  blobs(): Promise<string[]>;
  cleanup(): Promise<void>;
}

export interface ContractOptions {
  /** False for a place beyond our reach that believes what it holds, whatever became of it. Default true. */
  mends?: boolean;
}

/** Registers the tests of the `BlobStore` part. `open` gives an empty store. */
export function blobStoreContract(
  name: string,
  open: () => Promise<OpenedStore<BlobStore>>,
  { mends = true }: ContractOptions = {},
): void {
  describe(`${name} keeps the contract of blob stores`, () => {
    let opened: OpenedStore<BlobStore>;
    let store: BlobStore;

    beforeEach(async () => {
      opened = await open();
      store = opened.store;
    });
    afterEach(() => opened.cleanup());

    test('a blob that was written is there, and reads back as it was', async () => {
      for (const content of [bytes('hello'), new Uint8Array(0), pattern(700_000)]) {
        const descriptor = await store.write(content);
        expect(descriptor).toEqual({
          mediaType: 'application/octet-stream',
          digest: digestOf(content),
          size: content.length,
        });
        expect(await store.has(descriptor)).toBe(true);
        expect(same(await all(await store.read(descriptor)), content)).toBe(true);
        expect(same(await all(await store.read(descriptor)), content)).toBe(true);
      }
    });

    test('a body may be any source of bytes', async () => {
      const { digest } = await store.write('hello');
      for (const body of [bytes('hello'), bytes('hello').buffer, new Blob(['hel', 'lo']), streamOf('hel', 'lo')]) {
        expect((await store.write(body as Uint8Array)).digest).toBe(digest);
      }
      expect((await store.write(chunksOf('h', '', 'ello'))).digest).toBe(digest);
      expect((await store.write([bytes('he'), bytes('llo')])).digest).toBe(digest);
      expect(await opened.blobs()).toEqual([digest]);
    });

    test('a body may use one buffer for all its chunks', async () => {
      const content = pattern(3_000_000);
      const expected = describeBytes(content);
      for (const size of [7000, 65_536, 1_100_000])
        expect(await store.write(inOneBuffer(content, size))).toEqual(expected);
      expect(same(await all(await store.read(expected)), content)).toBe(true);
    });

    test('what is expected of a blob beyond its digest and size is kept in its descriptor', async () => {
      const annotations = { 'com.example.key': 'value' };
      const written = await store.write('x', { mediaType: mediaTypes.layer, annotations });
      expect(written).toEqual({ mediaType: mediaTypes.layer, annotations, digest: digestOf('x'), size: 1 });
    });

    test('sha384 and sha512 name blobs as sha256 does', async () => {
      for (const algorithm of ['sha384', 'sha512'] as const) {
        const digest = await digestBy(algorithm, bytes('hello'));
        const descriptor = await store.write('hello', { digest });
        expect(descriptor.digest).toBe(digest);
        expect(await store.has(descriptor)).toBe(true);
        expect(await text(await store.read(descriptor))).toBe('hello');
        expect(await failure(store.write('other', { digest: await digestBy(algorithm, bytes('x')) }))).toBe(
          'DIGEST_MISMATCH',
        );
      }
    });

    test('what is not held is not there, and reading it rejects with BLOB_NOT_FOUND', async () => {
      const missing = describeBytes('missing');
      expect(await store.has(missing)).toBe(false);
      expect(await failure(store.read(missing))).toBe('BLOB_NOT_FOUND');
    });

    test('a digest that is none names nothing, in whatever way it is meant', async () => {
      for (const digest of ['', 'sha256:../../../etc/passwd', 'sha256:abc', 'md5:d41d8cd98f00b204e9800998ecf8427e']) {
        const descriptor = { mediaType: mediaTypes.layer, digest, size: 1 };
        expect(await failure(store.has(descriptor))).toBe('DIGEST_INVALID');
        expect(await failure(store.read(descriptor))).toBe('DIGEST_INVALID');
        expect(await failure(store.write('x', descriptor))).toBe('DIGEST_INVALID');
      }
      expect(await opened.blobs()).toEqual([]);
    });

    test('a corrupt blob never ends cleanly, nor is it given out whole', async () => {
      const content = pattern(300_000);
      for (const at of [0, 150_000, 299_999]) {
        const descriptor = await store.write(content);
        const wrong = content.slice();
        wrong[at]! ^= 1;
        await opened.corrupt(descriptor, wrong);
        const { code, length } = await readUntilFailure(store, descriptor);
        expect(code).toBe('DIGEST_MISMATCH');
        expect(length).toBeLessThan(content.length);
      }
    });

    test('a blob of another size than its descriptor says is not read', async () => {
      const descriptor = await store.write('hello');
      for (const size of [0, 4, 6, 5e9]) {
        expect((await readUntilFailure(store, { ...descriptor, size })).code).toBe('SIZE_MISMATCH');
        expect(await store.has({ ...descriptor, size })).toBe(false);
      }
      await opened.corrupt(descriptor, bytes('hell'));
      expect((await readUntilFailure(store, descriptor)).code).toBe('SIZE_MISMATCH');
      expect(await store.has(descriptor)).toBe(false);
    });

    if (mends) {
      test('a blob that was cut short is mended by writing it again', async () => {
        const descriptor = await store.write('hello');
        await opened.corrupt(descriptor, bytes('hell'));
        await store.write('hello', descriptor);
        expect(await text(await store.read(descriptor))).toBe('hello');
      });
    }

    test('a body that is not what was expected leaves nothing', async () => {
      const wanted = describeBytes('hello');
      expect(await failure(store.write('hallo', wanted))).toBe('DIGEST_MISMATCH');
      expect(await failure(store.write('hallo', { digest: wanted.digest }))).toBe('DIGEST_MISMATCH');
      expect(await failure(store.write('hello!', wanted))).toBe('SIZE_MISMATCH');
      expect(await failure(store.write('hell', wanted))).toBe('SIZE_MISMATCH');
      expect(await failure(store.write('hello', { size: 4 }))).toBe('SIZE_MISMATCH');
      expect(await failure(store.write('hello', { size: 6 }))).toBe('SIZE_MISMATCH');
      expect(await opened.blobs()).toEqual([]);
      expect(await store.has(wanted)).toBe(false);
      await store.write('hello', { size: 5 });
      expect(await store.has(wanted)).toBe(true);
    });

    test('a body that is too long is left at once and released', async () => {
      const source = countedSource();
      expect(await failure(store.write(source, { size: 100_000 }))).toBe('SIZE_MISMATCH');
      expect(source.given).toBe(2);
      expect(source.released).toBe(1);
      expect(await opened.blobs()).toEqual([]);
    });

    test('a body that fails leaves nothing, and its error passes through', async () => {
      const error = new Error('the source broke');
      const broken = async function* (): AsyncGenerator<Uint8Array> {
        yield pattern(200_000);
        throw error;
      };
      await expect(store.write(broken())).rejects.toBe(error);
      expect(await opened.blobs()).toEqual([]);
    });

    test('a blob that is held already is not read again, and its body is let go', async () => {
      const descriptor = await store.write('hello');
      let cancelled = 0;
      const body = new ReadableStream<Uint8Array>(
        {
          pull() {
            throw new Error('read all the same');
          },
          cancel() {
            cancelled++;
          },
        },
        { highWaterMark: 0 },
      );
      expect(await store.write(body, { mediaType: mediaTypes.layer, digest: descriptor.digest })).toEqual({
        ...descriptor,
        mediaType: mediaTypes.layer,
      });
      expect(cancelled).toBe(1);
      const source = countedSource();
      await store.write(source[Symbol.asyncIterator]() as AsyncIterableIterator<Uint8Array>, descriptor);
      expect([source.given, source.released]).toEqual([0, 1]);
    });

    test('one blob written many times at once is written well', async () => {
      const content = pattern(300_000);
      const expected = describeBytes(content);
      const written = await Promise.all(
        Array.from({ length: 12 }, (_, index) =>
          store.write(chunks(content, 10_000 + index), index % 2 ? expected : {}),
        ),
      );
      expect(new Set(written.map(({ digest }) => digest))).toEqual(new Set([expected.digest]));
      expect(await opened.blobs()).toEqual([expected.digest]);
      expect(same(await all(await store.read(expected)), content)).toBe(true);
    });

    test('many blobs written and read at once do not get mixed up', async () => {
      const contents = Array.from({ length: 30 }, (_, index) => pattern(1000 * index).fill(index, 0, 7));
      const written = await Promise.all(contents.map((content) => store.write(chunks(content, 777))));
      const read = await Promise.all(written.map(async (descriptor) => all(await store.read(descriptor))));
      expect(read.every((content, index) => same(content, contents[index]!))).toBe(true);
    });

    test('an aborted write rejects with the reason within one chunk, and leaves nothing', async () => {
      const reason = new Error('enough');
      const controller = new AbortController();
      const source = countedSource((given) => {
        if (given === 3) controller.abort(reason);
      });
      await expect(store.write(source, {}, { signal: controller.signal })).rejects.toBe(reason);
      expect(source.given).toBeLessThanOrEqual(4);
      expect(source.released).toBe(1);
      await expect(store.write('hello', {}, { signal: controller.signal })).rejects.toBe(reason);
      expect(await opened.blobs()).toEqual([]);
    });

    test('a write whose source hangs ends when it is aborted', async () => {
      const reason = new Error('enough');
      const controller = new AbortController();
      let cancelled = false;
      const body = new ReadableStream<Uint8Array>({
        pull: () => new Promise(() => setTimeout(() => controller.abort(reason), 5)),
        cancel() {
          cancelled = true;
        },
      });
      await expect(store.write(body, {}, { signal: controller.signal })).rejects.toBe(reason);
      expect(cancelled).toBe(true);
      expect(await opened.blobs()).toEqual([]);
    });

    test('an aborted read rejects with the reason within one chunk', async () => {
      const reason = new Error('enough');
      const descriptor = await store.write(pattern(3_000_000));
      const controller = new AbortController();
      const reader = (await store.read(descriptor, { signal: controller.signal })).getReader();
      expect((await reader.read()).done).toBe(false);
      controller.abort(reason);
      let failed: unknown;
      for (let further = 0; further < 2 && failed === undefined; further++) {
        await reader.read().catch((error: unknown) => (failed = error));
      }
      expect(failed).toBe(reason);
      await expect(store.read(descriptor, { signal: controller.signal })).rejects.toBe(reason);
      expect(same(await all(await store.read(descriptor)), pattern(3_000_000))).toBe(true);
    });

    test('a read may be given up before it began or in the middle', async () => {
      const descriptor = await store.write(pattern(3_000_000));
      await (await store.read(descriptor)).cancel();
      const reader = (await store.read(descriptor)).getReader();
      await reader.read();
      await reader.cancel();
      expect(same(await all(await store.read(descriptor)), pattern(3_000_000))).toBe(true);
    });
  });
}

/** Registers the tests of a `ContentStore`, those of its blobs among them. */
export function contentContract(
  name: string,
  open: () => Promise<OpenedStore<ContentStore>>,
  options: ContractOptions = {},
): void {
  blobStoreContract(name, open, options);

  describe(`${name} keeps the contract of content stores`, () => {
    let opened: OpenedStore<ContentStore>;
    let store: ContentStore;

    beforeEach(async () => {
      opened = await open();
      store = opened.store;
    });
    afterEach(() => opened.cleanup());

    test('a tag names what it was given for', async () => {
      const one = await writeManifest(store, 'one');
      await store.tag(one, '1.0');
      expect(await store.resolve('1.0')).toMatchObject(one);
      expect(await failure(store.resolve('2.0'))).toBe('NOT_FOUND');
    });

    test('a tag that is set again names the new content, and the old stays', async () => {
      const [one, two] = [await writeManifest(store, 'one'), await writeManifest(store, 'two')];
      await store.tag(one, 'latest');
      await store.tag(two, 'latest');
      expect(await store.resolve('latest')).toMatchObject(two);
      expect(await store.has(one)).toBe(true);
    });

    test('one content may have many tags', async () => {
      const one = await writeManifest(store, 'one');
      for (const tag of ['a', 'b', 'c.d_e-f']) await store.tag(one, tag);
      for (const tag of ['a', 'b', 'c.d_e-f']) expect((await store.resolve(tag)).digest).toBe(one.digest);
    });

    test('tags set at once are all there', async () => {
      const one = await writeManifest(store, 'one');
      const tags = Array.from({ length: 20 }, (_, index) => `v${index}`);
      await Promise.all(tags.map((tag) => store.tag(one, tag)));
      for (const tag of tags) expect((await store.resolve(tag)).digest).toBe(one.digest);
    });

    test('a root without a name is found by its digest, and a named one too', async () => {
      const [one, two] = [await writeManifest(store, 'one'), await writeManifest(store, 'two')];
      await store.tag(one, one.digest);
      await store.tag(two, 'two');
      expect(await store.resolve(one.digest)).toMatchObject(one);
      expect(await store.resolve(two.digest)).toMatchObject(two);
      expect(await failure(store.resolve(digestOf('three')))).toBe('NOT_FOUND');
    });

    test('what the store does not hold cannot be tagged', async () => {
      const missing = { ...describeBytes('{}'), mediaType: mediaTypes.manifest };
      expect(await failure(store.tag(missing, 'latest'))).toBe('BLOB_NOT_FOUND');
      expect(await failure(store.resolve('latest'))).toBe('NOT_FOUND');
    });

    test('a tag that is no name is refused, and nothing changes', async () => {
      const one = await writeManifest(store, 'one');
      await store.tag(one, 'kept');
      for (const tag of ['', ' ', '-a', 'a b', 'a\0', '../a', 'ä', digestOf('another')]) {
        expect(await failure(store.tag(one, tag))).toBe('REFERENCE_INVALID');
      }
      expect((await store.resolve('kept')).digest).toBe(one.digest);
    });

    test('an aborted signal keeps a tag from being set and resolved', async () => {
      const reason = new Error('enough');
      const signal = AbortSignal.abort(reason);
      const one = await writeManifest(store, 'one');
      await expect(store.tag(one, 'latest', { signal })).rejects.toBe(reason);
      expect(await failure(store.resolve('latest'))).toBe('NOT_FOUND');
      await store.tag(one, 'latest');
      await expect(store.resolve('latest', { signal })).rejects.toBe(reason);
    });
  });
}

/** A manifest with an empty config in the store; the annotation makes it another one. */
export async function writeManifest(store: BlobStore, annotation: string): Promise<Descriptor> {
  await store.write('{}', emptyDescriptor);
  const manifest = serializeManifest({
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    artifactType: 'application/vnd.example',
    config: emptyDescriptor,
    layers: [],
    annotations: { annotation },
  });
  return store.write(manifest, { mediaType: mediaTypes.manifest });
}

export function bytes(content: string): Uint8Array {
  return new TextEncoder().encode(content);
}

export async function all(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return readBytes(stream);
}

export async function text(stream: ReadableStream<Uint8Array>): Promise<string> {
  return new TextDecoder().decode(await all(stream));
}

export function describeBytes(content: string | Uint8Array, mediaType = 'application/octet-stream'): Descriptor {
  const size = typeof content === 'string' ? bytes(content).length : content.length;
  return { mediaType, digest: digestOf(content), size };
}

/** Bytes that repeat at no power of two. */
export function pattern(size: number): Uint8Array {
  const content = new Uint8Array(size);
  for (let index = 0; index < size; index++) content[index] = (index * 31 + (index >>> 8) * 7) % 251;
  return content;
}

/** The content in chunks of one size and one buffer, which is used again for each. */
export async function* inOneBuffer(content: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(size);
  for (let at = 0; at < content.length; at += size) {
    const part = content.subarray(at, at + size);
    buffer.set(part);
    yield buffer.subarray(0, part.length);
    buffer.fill(255);
  }
}

/** Whether two arrays hold the same bytes: `toEqual` takes seconds over megabytes. */
export function same(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}

/** The code with which a call fails; anything but a `StowageError` fails the test. */
export async function failure(call: Promise<unknown>): Promise<string> {
  return (await failureOf(call)).code;
}

/** The error with which a call fails, which is to be ours and a whole sentence. */
export async function failureOf(call: Promise<unknown>): Promise<StowageError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof StowageError)) throw new Error(`expected a StowageError, got ${error}`, { cause: error });
  expect(error.message.endsWith('.')).toBe(true);
  return error;
}

async function readUntilFailure(store: BlobStore, descriptor: Descriptor): Promise<{ code: string; length: number }> {
  let length = 0;
  const read = async (): Promise<void> => {
    const reader = (await store.read(descriptor)).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      length += value.length;
    }
  };
  return { code: await failure(read()), length };
}

function streamOf(...parts: string[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(bytes(part));
      controller.close();
    },
  });
}

async function* chunksOf(...parts: string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield bytes(part);
}

async function* chunks(content: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size);
}

interface CountedSource extends AsyncIterable<Uint8Array> {
  given: number;
  released: number;
}

/** Endless chunks of 64 KiB that count themselves, and how often they were let go. */
function countedSource(onChunk: (given: number) => void = () => {}): CountedSource {
  const source: CountedSource = {
    given: 0,
    released: 0,
    [Symbol.asyncIterator]() {
      return {
        async next() {
          source.given++;
          onChunk(source.given);
          return { done: false, value: new Uint8Array(65536) };
        },
        async return() {
          source.released++;
          return { done: true, value: undefined };
        },
        [Symbol.asyncIterator]() {
          return this;
        },
      } as AsyncIterableIterator<Uint8Array>;
    },
  };
  return source;
}

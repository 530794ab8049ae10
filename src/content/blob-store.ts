/** Blobs by digest in any `Storage`, under the names that image-layout.md gives them: `blobs/<algorithm>/<encoded>`. */
import { type ByteSource, readChunks, readsIntoBuffers, releaseSource, toStream } from '../bytes/byte-source.ts';
import { hasherFor, verifyChunks } from '../bytes/hash.ts';
import { load } from '../bytes/load.ts';
import { StowageError } from '../errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';
import type { Storage } from '../storage/storage.ts';
import type { BlobStore } from './content.ts';

/** Where a blob lies. Throws `DIGEST_INVALID`, so that no digest can lead out of the folder. */
export function blobPath(digest: Digest): string {
  const { algorithm, encoded } = parseDigest(digest);
  return `blobs/${algorithm}/${encoded}`;
}

/**
 * A blob store in any storage.
 *
 * @example
 * const layer = await createLayer(files, { store: blobStore(new MemoryStorage()) });
 */
export function blobStore(storage: Storage): BlobStore {
  return {
    async has(descriptor) {
      const file = await storage.stat(blobPath(descriptor.digest));
      return file !== undefined && file.size === descriptor.size;
    },

    async read(descriptor, { signal, verify = true } = {}) {
      signal?.throwIfAborted();
      const path = blobPath(descriptor.digest);
      const file = await storage.stat(path);
      if (!file) {
        throw new StowageError(
          'BLOB_NOT_FOUND',
          `Blob ${descriptor.digest} (${descriptor.mediaType}) is not in this store. Copy the whole image into it, or read it where it came from.`,
          { digest: descriptor.digest },
        );
      }
      if (file.size !== descriptor.size) {
        throw new StowageError(
          'SIZE_MISMATCH',
          `Blob ${descriptor.digest} has ${file.size} bytes where its descriptor says ${descriptor.size}. Fetch it anew.`,
          { digest: descriptor.digest, expected: descriptor.size, actual: file.size },
        );
      }
      const stream = await storage.read(path);
      const reuse = readsIntoBuffers();
      const chunks = readChunks(stream, { signal, reuse });
      const checked = verify ? verifyChunks(chunks, descriptor, `blob ${descriptor.digest}`) : chunks;
      const give = reuse ? (await load(() => import('../bytes/byte-stream.ts'))).toByteStream : toStream;
      return give(checked, () => stream.cancel(), signal);
    },

    write: (body, expected = {}, options = {}) => writeBlob(storage, body, expected, options.signal),
  };
}

async function writeBlob(
  storage: Storage,
  body: ByteSource,
  expected: Partial<Descriptor>,
  signal?: AbortSignal,
): Promise<Descriptor> {
  const describe = (digest: Digest, size: number): Descriptor => ({
    mediaType: 'application/octet-stream',
    ...expected,
    digest,
    size,
  });
  const { algorithm } = expected.digest ? parseDigest(expected.digest) : { algorithm: 'sha256' as const };
  if (expected.digest !== undefined) {
    const held = await storage.stat(blobPath(expected.digest));
    if (held && (expected.size === undefined || held.size === expected.size)) {
      await releaseSource(body);
      return describe(expected.digest, held.size);
    }
  }
  const hasher = await hasherFor(algorithm);
  let size = 0;
  const file = await storage.create({ path: expected.digest && blobPath(expected.digest) });
  try {
    for await (const chunk of readChunks(body, { signal, reuse: true })) {
      size += chunk.length;
      if (expected.size !== undefined && size > expected.size) throw sizeMismatch(expected, size);
      // The adapter writes while this thread hashes.
      const written = file.write(chunk);
      hasher.update(chunk);
      await written;
    }
    if (expected.size !== undefined && size !== expected.size) throw sizeMismatch(expected, size);
    const digest = hasher.digest();
    if (expected.digest !== undefined && digest !== expected.digest) {
      throw new StowageError(
        'DIGEST_MISMATCH',
        `Expected blob ${expected.digest}, but its bytes have the digest ${digest}. Nothing was stored; fetch it anew.`,
        { expected: expected.digest, actual: digest },
      );
    }
    signal?.throwIfAborted();
    await file.commit(blobPath(digest));
    return describe(digest, size);
  } catch (error) {
    await file.abort();
    throw error;
  }
}

function sizeMismatch(expected: Partial<Descriptor>, size: number): StowageError {
  const name = expected.digest ?? 'The blob';
  const actual = size > (expected.size as number) ? `more than that` : `${size}`;
  return new StowageError(
    'SIZE_MISMATCH',
    `${name}: expected ${expected.size} bytes, got ${actual}. Nothing was stored.`,
    { digest: expected.digest, expected: expected.size, actual: size },
  );
}

/** One copy for every pair of places: content moves from any source to any store, children before parents, each blob once. */

import { type ByteSource, readChunks } from '../bytes/byte-source.ts';
import { digestOf } from '../bytes/hash.ts';
import { pmapBounded } from '../bytes/pmap-bounded.ts';
import type { OnProgress } from '../bytes/progress.ts';
import { StowageError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import { type Descriptor, descriptorData } from '../oci/descriptor.ts';
import { type Digest, isDigest } from '../oci/digest.ts';
import { type ImageIndex, imageIndex } from '../oci/image-index.ts';
import { isIndex, isNonDistributable } from '../oci/media-types.ts';
import { formatPlatform, matchesPlatform, type Platform, parsePlatforms } from '../oci/platform.ts';
import { serializeIndex } from '../oci/serialize-index.ts';
import type { ContentSource, ContentStore } from './content.ts';
import { readDocument, walkGraph } from './graph.ts';

export interface CopyOptions {
  /**
   * What to copy: tags or digests, resolved in `from`. A tag is set in `to` as well; a digest becomes a root without a name. A pair names it
   * anew: `['myapp:1.0', '1.0']` sets the tag `1.0`. Content that several name is copied once.
   */
  references: readonly (string | readonly [from: string, to: string])[];
  /**
   * Only these, as `linux/amd64,linux/arm64` or as platforms; default all. An index that loses a platform is written
   * anew, and so gets another digest. What attests a manifest (`vnd.docker.reference.digest`) goes with it.
   */
  platforms?: string | readonly Platform[];
  /** Blobs under way at once. Default 4. */
  concurrency?: number;
  signal?: AbortSignal;
  /** Told of each blob: `write` as it moves, `skip` where `to` has it, or takes it from `from` itself. */
  onProgress?: OnProgress;
  limits?: Partial<Limits>;
}

/**
 * Copies images, with all they name, from one place to another, and returns the root descriptors in the order of
 * `references`. Skips what `to` holds; a failed copy leaves whole blobs behind, but no document without its children and
 * no tag, so that copying again goes on where it stopped. Layers that are non-distributable and absent are passed over.
 *
 * @throws `NOT_FOUND` for a reference or platform that `from` lacks, `BLOB_NOT_FOUND`, `DIGEST_MISMATCH`, `SIZE_MISMATCH`.
 * @example
 * await copy(await Layout.open(from), await Layout.create(to), { references: ['demo:1.0'] });
 */
export async function copy(from: ContentSource, to: ContentStore, options: CopyOptions): Promise<Descriptor[]> {
  const { signal } = options;
  const copied: Descriptor[] = [];
  const roots = new Map<Digest, Descriptor>();
  for (const reference of options.references) {
    const [source, target] = typeof reference === 'string' ? [reference, reference] : reference;
    signal?.throwIfAborted();
    const found = await from.resolve(source, { signal });
    let root = roots.get(found.digest);
    if (root === undefined) {
      root = found;
      if (options.platforms !== undefined) root = await copyPlatforms(from, to, found, options);
      else await copyGraph(from, to, [found], options);
      roots.set(found.digest, root);
    }
    await to.tag(root, isDigest(target) ? root.digest : target, { signal });
    copied.push(root);
  }
  return copied;
}

/** Copies what the roots reach, and sets no tag. */
export async function copyGraph(
  from: ContentSource,
  to: ContentStore,
  roots: readonly Descriptor[],
  options: Omit<CopyOptions, 'references' | 'platforms'> = {},
): Promise<void> {
  const { concurrency = 4, onProgress, signal, limits } = options;
  const { documents, blobs } = await walkGraph(from, roots, { concurrency, limits, signal });
  const skip = (descriptor: Descriptor): void =>
    onProgress?.({ phase: 'skip', descriptor, transferred: descriptor.size, total: descriptor.size });
  await pmapBounded(
    async (descriptor) => {
      signal?.throwIfAborted();
      if (await to.has(descriptor, { signal })) return skip(descriptor);
      const embedded = descriptorData(descriptor);
      if (!embedded) {
        const origin = from.origin?.(descriptor) ?? from;
        if (await to.mount?.(descriptor, origin, { signal })) return skip(descriptor);
        if (isNonDistributable(descriptor.mediaType) && !(await from.has(descriptor, { signal }))) return;
      }
      // `write` checks what it is told to expect.
      const body = embedded ?? reopened(() => from.read(descriptor, { signal, verify: false }));
      await to.write(onProgress ? reported(body, descriptor, onProgress) : body, descriptor, { signal });
    },
    blobs,
    concurrency,
  );
  for (const { descriptor, bytes } of documents.reverse()) {
    signal?.throwIfAborted();
    if (await to.has(descriptor, { signal })) skip(descriptor);
    else await to.write(onProgress ? reported(bytes, descriptor, onProgress) : bytes, descriptor, { signal });
  }
}

async function copyPlatforms(
  from: ContentSource,
  to: ContentStore,
  root: Descriptor,
  options: CopyOptions,
): Promise<Descriptor> {
  const platforms =
    typeof options.platforms === 'string' ? parsePlatforms(options.platforms) : (options.platforms ?? []);
  if (!isIndex(root.mediaType)) {
    throw new StowageError(
      'ARGUMENT_INVALID',
      `${root.digest} is no index, so there are no platforms to choose from. Copy it without platforms.`,
      { digest: root.digest },
    );
  }
  const filtered = await filterIndex(from, root, platforms, options);
  const kept = filtered.index.manifests;
  await copyGraph(from, to, kept, options);
  await to.write(filtered.bytes, filtered.descriptor, { signal: options.signal });
  return filtered.descriptor;
}

async function filterIndex(
  from: ContentSource,
  root: Descriptor,
  platforms: readonly Platform[],
  options: CopyOptions,
): Promise<{ index: ImageIndex; bytes: Uint8Array; descriptor: Descriptor }> {
  if (platforms.length === 0)
    throw new StowageError(
      'ARGUMENT_INVALID',
      'The list of platforms is empty. Name one, or leave the option out for all.',
    );
  const original = await readDocument(from, root, options);
  const index = imageIndex.parse(original, options);
  for (const platform of platforms) {
    if (index.manifests.some((child) => child.platform && matchesPlatform(child.platform, platform))) continue;
    const offered = index.manifests
      .flatMap((child) => (child.platform ? [formatPlatform(child.platform)] : []))
      .join(', ');
    throw new StowageError(
      'NOT_FOUND',
      `Index ${root.digest} holds no ${formatPlatform(platform)}. It holds: ${offered || 'no platforms'}.`,
      { digest: root.digest, platform: formatPlatform(platform) },
    );
  }
  const matching = index.manifests.filter(
    (child) => child.platform && platforms.some((platform) => matchesPlatform(child.platform as Platform, platform)),
  );
  const digests = new Set<unknown>(matching.map((child) => child.digest));
  const manifests = index.manifests.filter(
    (child) => digests.has(child.digest) || digests.has(child.annotations?.['vnd.docker.reference.digest']),
  );
  if (manifests.length === index.manifests.length) return { index, bytes: original, descriptor: root };
  const changed = { ...index, manifests };
  const bytes = serializeIndex(changed);
  return {
    index: changed,
    bytes,
    descriptor: { mediaType: root.mediaType, digest: digestOf(bytes), size: bytes.length },
  };
}

/** A blob that is opened when it is read, and anew when it is read again: a store may have to begin twice, or not at all. */
function reopened(open: () => Promise<ReadableStream<Uint8Array>>): AsyncIterable<Uint8Array> {
  return {
    async *[Symbol.asyncIterator]() {
      yield* readChunks(await open());
    },
  };
}

function reported(body: ByteSource, descriptor: Descriptor, onProgress: OnProgress): AsyncIterable<Uint8Array> {
  let most = 0;
  return {
    async *[Symbol.asyncIterator]() {
      let transferred = 0;
      for await (const chunk of readChunks(body)) {
        yield chunk;
        transferred += chunk.length;
        // A bar that has begun anew stands still until it is where it was.
        if (transferred <= most) continue;
        most = transferred;
        onProgress({ phase: 'write', descriptor, transferred, total: descriptor.size });
      }
    },
  };
}

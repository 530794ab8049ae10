/** Images rewritten as they are pulled: a read-only source in front of another. */

import { digestOf } from '../bytes/hash.ts';
import { pmapBounded } from '../bytes/pmap-bounded.ts';
import { blobPath, blobStore } from '../content/blob-store.ts';
import { checkDepth, readDocument } from '../content/graph.ts';
import { Image } from '../image/image.ts';
import { type Limits, resolveLimits } from '../limits.ts';
import { checkDescriptor, type Descriptor } from '../oci/descriptor.ts';
import { type Digest, isDigest, parseDigest } from '../oci/digest.ts';
import { imageIndex } from '../oci/image-index.ts';
import { parseJson } from '../oci/json.ts';
import { isConfig, isIndex, isManifest } from '../oci/media-types.ts';
import { parseManifest } from '../oci/parse.ts';
import type { Platform } from '../oci/platform.ts';
import { serializeIndex } from '../oci/serialize-index.ts';
import { serializeJson } from '../oci/serialize-json.ts';
import { MemoryStorage } from '../storage/memory.ts';
import type { Storage } from '../storage/storage.ts';
import { writeStorageFile } from '../storage/write.ts';
import { within } from './folder.ts';
import { readSmallFile } from './repository.ts';
import type { ServedSource } from './served.ts';

/**
 * Gives the image that clients get in place of `image`. It must depend on nothing but its arguments: the same image then has the same
 * digest wherever and whenever it is rewritten. Layers that it adds by the image's own methods go into the cache.
 */
export type Transform = (image: Image, platform: Platform) => Image | Promise<Image>;

export interface RewriteOptions {
  /**
   * Where rewritten manifests, configs and added layers are kept, and under which key. The key stands for the transform: change it
   * when that changes, and let the repository's name be part of it where not all clients may see all repositories. A client asks for
   * a manifest first and for what it names later, so where requests meet different instances, these must share a storage. Default:
   * memory, for as long as the transform lives, and shared by all sources that are given the same function.
   */
  cache?: { storage: Storage; key: string };
  /** Whether clients are sent on to where upstream redirects them for a blob, rather than served through here. Default false. */
  redirect?: boolean;
  /** Platforms of an index that are rewritten at once. Default 4. */
  concurrency?: number;
  limits?: Partial<Limits>;
}

/**
 * A source whose tags lead to the images of `upstream`, transformed. Of an index every image is; what is no image stays as it is, but
 * attestations of what was rewritten are left out, since they are about something else. Untouched blobs come from upstream as they
 * are. What is asked for by a digest of upstream's is given as it is there: nothing else could have that digest.
 *
 * @throws what `upstream` and `transform` throw.
 * @example
 * const transform = (image) => image.label('com.example.seen', 'yes');
 * const handler = serve((repository) => rewrite(new RemoteRepository(`registry.example.com/${repository}`), transform));
 */
export function rewrite(upstream: ServedSource, transform: Transform, options: RewriteOptions = {}): ServedSource {
  const { redirect = false, concurrency = 4 } = options;
  const limits = resolveLimits(options.limits);
  const cache = options.cache
    ? within(options.cache.storage, `rewrites/${digestOf(options.cache.key).slice(-64)}`)
    : memoryOf(transform);
  const blobs = blobStore(cache);

  const readRecord = async (path: string): Promise<Descriptor | undefined> => {
    const bytes = await readSmallFile(cache, path);
    return bytes && checkDescriptor(parseJson(bytes, { what: path }), path);
  };

  /** What `original` becomes, from the cache or made now. */
  const rewritten = async (original: Descriptor, depth: number, signal?: AbortSignal): Promise<Descriptor> => {
    const path = `results/${digestPath(original.digest)}`;
    const known = await readRecord(path);
    if (known) return known;
    const made = await (isIndex(original.mediaType) ? index(original, depth, signal) : image(original, signal));
    const { mediaType, digest, size } = made;
    const record = serializeJson({ mediaType, digest, size });
    if (digest !== original.digest) await writeStorageFile(cache, `documents/${digestPath(digest)}`, [record]);
    await writeStorageFile(cache, path, [record]);
    return { mediaType, digest, size };
  };

  const image = async (original: Descriptor, signal?: AbortSignal): Promise<Descriptor> => {
    if (!isManifest(original.mediaType)) return original;
    const manifest = parseManifest(await readDocument(upstream, original, { limits, signal }), {
      limits,
      mediaType: original.mediaType,
    });
    if (!isConfig(manifest.config.mediaType)) return original;
    const before = await Image.from(upstream, original, { store: blobs, limits, signal });
    const after = await transform(before, before.platform);
    if (after.descriptor.digest === original.digest) return original;
    const theirs = new Set(before.layers.map((layer) => layer.descriptor.digest));
    for (const layer of after.layers) {
      const { descriptor } = layer;
      if (theirs.has(descriptor.digest) || (await blobs.has(descriptor))) continue;
      await blobs.write(await layer.open({ signal }), descriptor, { signal });
    }
    // Documents last, so that whoever finds one finds what it names.
    if (after.manifest.config.digest !== before.manifest.config.digest)
      await blobs.write(after.configBytes, after.manifest.config, { signal });
    await blobs.write(after.manifestBytes, after.descriptor, { signal });
    return after.descriptor;
  };

  const index = async (original: Descriptor, depth: number, signal?: AbortSignal): Promise<Descriptor> => {
    checkDepth(original, depth, limits);
    const before = imageIndex.parse(await readDocument(upstream, original, { limits, signal }), { limits });
    const children = await pmapBounded(
      async (child): Promise<Descriptor> => {
        // An attestation, which names what it is about by an annotation.
        if (child.platform?.os === 'unknown') return child;
        const made = await rewritten(child, depth + 1, signal);
        return made.digest === child.digest ? child : { ...child, ...made, data: undefined };
      },
      before.manifests,
      concurrency,
    );
    const gone = new Set<unknown>();
    for (const [place, child] of before.manifests.entries())
      if (children[place]!.digest !== child.digest) gone.add(child.digest);
    if (gone.size === 0) return original;
    const manifests = children.filter((child) => !gone.has(child.annotations?.['vnd.docker.reference.digest']));
    const bytes = serializeIndex({ ...before, manifests });
    return blobs.write(bytes, { mediaType: original.mediaType }, { signal });
  };

  const source: ServedSource = {
    async resolve(reference, { signal } = {}) {
      if (isDigest(reference)) {
        const own = await readRecord(`documents/${digestPath(reference)}`);
        return own ?? upstream.resolve(reference, { signal });
      }
      return rewritten(await upstream.resolve(reference, { signal }), 0, signal);
    },
    has: async (descriptor, request) => (await blobs.has(descriptor)) || upstream.has(descriptor, request),
    read: async (descriptor, request) =>
      (await blobs.has(descriptor)) ? blobs.read(descriptor, request) : upstream.read(descriptor, request),
    stat: async (digest, request) => (await cache.stat(blobPath(digest))) ?? upstream.stat?.(digest, request),
  };
  const { fetchBlob, tags } = upstream;
  if (fetchBlob) source.fetchBlob = (digest, request) => fetchBlob.call(upstream, digest, { ...request, redirect });
  if (tags) source.tags = (request) => tags.call(upstream, request);
  return source;
}

/** So that a source made anew for each request knows what the one before it made. */
const memories = new WeakMap<Transform, MemoryStorage>();

function memoryOf(transform: Transform): MemoryStorage {
  const memory = memories.get(transform) ?? new MemoryStorage();
  memories.set(transform, memory);
  return memory;
}

function digestPath(digest: Digest): string {
  const { algorithm, encoded } = parseDigest(digest);
  return `${algorithm}/${encoded}`;
}

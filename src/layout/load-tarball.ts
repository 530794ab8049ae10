/** Archives in: whatever engines save, read once, its blobs kept in memory or in a storage, its images ready to be pushed. */
import type { ByteSource } from '../bytes/byte-source.ts';
import { load } from '../bytes/load.ts';
import type { OnProgress } from '../bytes/progress.ts';
import type { ContentSource } from '../content/content.ts';
import { StowageError } from '../errors.ts';
import { Image } from '../image/image.ts';
import { listImages } from '../image/select.ts';
import { type Limits, limitExceeded, resolveLimits } from '../limits.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { isNonDistributable } from '../oci/media-types.ts';
import { formatPlatform, type Platform } from '../oci/platform.ts';
import type { Storage } from '../storage/storage.ts';
import { readArchive } from './read-archive.ts';

export interface LoadTarballOptions {
  /** Bytes of unpacked archive that are held in memory at most. Default 100 MiB. */
  memoryThreshold?: number;
  /** Where a larger archive is unpacked to, such as a `NodeStorage` in a temporary folder or an `OpfsStorage`. */
  spill?: Storage;
  limits?: Partial<Limits>;
  signal?: AbortSignal;
  /** Told of each file of the archive as it is unpacked, phase `read`, by its path. */
  onProgress?: OnProgress;
}

/** One image of an archive, with all that a push sends. */
export interface LoadedImage {
  /** The same as a value, to change or write out. */
  image: Image;
  manifest: Uint8Array;
  manifestDigest: Digest;
  config: Uint8Array;
  configDigest: Digest;
  /** Base layers first. `getData` reads the blob where it lies, verified, as often as wanted. */
  layers: { digest: Digest; size: number; mediaType: string; getData(): Promise<ReadableStream<Uint8Array>> }[];
  /** What the index says the image is for, else what its config says. */
  platform: Platform;
  /** Of the manifest. */
  annotations: Record<string, string>;
}

export interface LoadedTarball {
  images: LoadedImage[];
  /** The name that the archive gives its image, if any. */
  tag: string | undefined;
  /** Whether the images are for different platforms: one image in several forms, not several images of one platform. */
  isMultiPlatform: boolean;
  /** Frees what was unpacked. Nothing of the images can be read after it. Safe to call twice. */
  cleanup(): Promise<void>;
}

/**
 * Reads an image archive: an OCI layout in a tar (podman, skopeo, buildah, docker from 25 on, this library) or what
 * `docker save` wrote before; plain, gzip or zstd; entries in any order. An archive for several platforms may have one nested
 * index or a flat list. Attestations and other artifacts are passed over.
 *
 * @throws `LAYOUT_INVALID` for what is no image archive; `TAR_INVALID`, `TAR_TRUNCATED`, `GZIP_INVALID`, `ZSTD_INVALID`, `PATH_INVALID`
 * for a broken or hostile one; `DIGEST_MISMATCH`; `BLOB_NOT_FOUND` for a missing part; `LIMIT_EXCEEDED` past
 * `memoryThreshold` where no `spill` was given. Nothing stays in `spill` then.
 * @example
 * const { images, tag, cleanup } = await loadTarballForPush(file.stream());
 */
export async function loadTarballForPush(source: ByteSource, options: LoadTarballOptions = {}): Promise<LoadedTarball> {
  const { memoryThreshold = 100 * 1024 * 1024, spill, signal, onProgress } = options;
  const limits = resolveLimits(options.limits);
  if (!(memoryThreshold >= 0)) {
    throw new StowageError(
      'ARGUMENT_INVALID',
      `memoryThreshold is ${memoryThreshold}; give a number of bytes, at least 0.`,
      { field: 'memoryThreshold' },
    );
  }
  // Loaded when asked for, as all that reads archives: most programs write them.
  const { unpackArchive } = await load(() => import('./archive.ts'));
  const unpacked = await unpackArchive(source, { memoryThreshold, spill, limits, signal, onProgress });
  try {
    const { content, roots, tag } = await readArchive(unpacked, limits, signal);
    const images: LoadedImage[] = [];
    // One image may have several names, or stand in several lists.
    const seen = new Set<Digest>();
    let documentBytes = 0;
    for (const root of roots) {
      for (const descriptor of await listImages(content, root, { limits, signal })) {
        if (seen.has(descriptor.digest)) continue;
        seen.add(descriptor.digest);
        const image = await openImage(content, descriptor, limits, signal);
        if (!image) continue;
        images.push(image);
        documentBytes += image.manifest.length + image.config.length;
        if (documentBytes > limits.documentBytes)
          throw limitExceeded('documentBytes', limits, 'The manifests and configs of the archive');
      }
    }
    if (images.length === 0)
      throw new StowageError(
        'LAYOUT_INVALID',
        'The archive is an image layout, but lists no image. Save the image anew.',
      );
    const platforms = new Set(
      images.map(({ platform }) => JSON.stringify([formatPlatform(platform), platform['os.version']])),
    );
    return { images, tag, isMultiPlatform: platforms.size > 1, cleanup: unpacked.cleanup };
  } catch (error) {
    await unpacked.cleanup().catch(() => {});
    throw error;
  }
}

async function openImage(
  content: ContentSource,
  descriptor: Descriptor,
  limits: Limits,
  signal?: AbortSignal,
): Promise<LoadedImage | undefined> {
  let image: Image;
  try {
    image = await Image.from(content, descriptor, { limits, signal });
  } catch (error) {
    if (error instanceof StowageError && error.code === 'MEDIA_TYPE_UNSUPPORTED') return undefined;
    throw error;
  }
  for (const { descriptor: layer } of image.layers) await checkHeld(content, layer, descriptor, signal);
  return {
    image,
    manifest: image.manifestBytes,
    manifestDigest: image.descriptor.digest,
    config: image.configBytes,
    configDigest: image.manifest.config.digest,
    layers: image.layers.map((layer) => ({
      digest: layer.descriptor.digest,
      size: layer.descriptor.size,
      mediaType: layer.descriptor.mediaType,
      getData: () => layer.open(),
    })),
    platform: descriptor.platform ?? image.platform,
    annotations: image.manifest.annotations ?? {},
  };
}

/** Digests are checked when a layer is read; that it is there, and as long as is said, is told now. */
async function checkHeld(
  content: ContentSource,
  layer: Descriptor,
  manifest: Descriptor,
  signal?: AbortSignal,
): Promise<void> {
  if (isNonDistributable(layer.mediaType) || (await content.has(layer, { signal }))) return;
  // Reading says what is wrong: nothing of that name, or another size.
  const stream = await content.read(layer, { signal });
  await stream.cancel();
  throw new StowageError(
    'BLOB_NOT_FOUND',
    `Manifest ${manifest.digest} names the layer ${layer.digest}, which the archive does not hold. Save the image anew.`,
    { digest: layer.digest },
  );
}

/** Images out as one archive, which OCI and Docker readers both understand. */

import { toStream } from '../bytes/byte-source.ts';
import { inPieces } from '../bytes/chunks.ts';
import { compress } from '../bytes/compress.ts';
import type { GzipOptions } from '../bytes/gzip.ts';
import type { OnProgress } from '../bytes/progress.ts';
import { blobPath } from '../content/blob-store.ts';
import type { Image } from '../image/image.ts';
import { type ImageContent, imageContent } from '../image/image-content.ts';
import { annotationKeys } from '../oci/annotations.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { checkRefName, serializeLayoutHeader } from '../oci/image-layout.ts';
import { isNonDistributable, mediaTypes } from '../oci/media-types.ts';
import { formatReference, parseReference, type Reference } from '../oci/reference.ts';
import { serializeIndex } from '../oci/serialize-index.ts';
import { type TarSource, writeTar } from '../tar/write-tar.ts';
import { buildLayerDescriptors } from './image-parts.ts';

export interface ExportOptions {
  /** The name that the image is found by, such as `myapp:1.0`. Default `latest`. */
  tag?: string;
  signal?: AbortSignal;
  /** Told of each blob as it moves. */
  onProgress?: OnProgress;
}

export interface SaveTarballOptions extends ExportOptions {
  /**
   * Of the archive as a whole. Default `gzip`; layers that are compressed already are stored in it as they are. `zstd` is
   * the runtime's own, where it has one: its bytes differ from release to release.
   */
  compression?: 'gzip' | 'zstd' | 'none';
  /** How `gzip` works: its engine, level and number of workers. */
  gzip?: Omit<GzipOptions, 'signal'>;
}

/**
 * An image, or the images of several platforms, as one archive: an OCI image layout in a tar, which skopeo, podman,
 * buildah and containerd read, with Docker's `manifest.json` over the same blobs for engines that know only that. It holds
 * one tagged root; for several platforms that is an index, and Docker's file names the first image. Non-distributable
 * layers are left out. The same images give the same bytes.
 *
 * It is what `docker save` gives, too: `docker load`, `podman load` and skopeo's `docker-archive:` (which wants
 * `compression: 'none'` of the archive) read gzip layers as they are, skopeo those in zstd as well, so that there is no other
 * form for Docker.
 *
 * @throws `ARGUMENT_INVALID`, `REFERENCE_INVALID`; the stream fails with `RUNTIME_UNSUPPORTED` where it cannot write zstd.
 * @example
 * await saveTarball(image, { tag: 'myapp:1.0' }).pipeTo(destination);
 */
export function saveTarball(
  images: Image | readonly Image[],
  options: SaveTarballOptions = {},
): ReadableStream<Uint8Array> {
  const { tag = 'latest', compression = 'gzip', gzip, signal } = options;
  checkRefName(tag);
  const list = Array.isArray(images) ? (images as readonly Image[]) : [images as Image];
  const tar = writeTar(archiveEntries(imageContent(list), list, tag, options), {
    signal,
    reuse: compression !== 'none',
  });
  const archive = compress(tar, compression, { ...gzip, signal });
  // What a stream gives is its reader's for good, and compressed chunks are not.
  return toStream(compression === 'none' ? archive : inPieces(archive, pieceSize));
}

/** In bytes. */
const pieceSize = 64 * 1024;

async function* archiveEntries(
  content: ImageContent,
  images: readonly Image[],
  tag: string,
  options: ExportOptions,
): AsyncGenerator<TarSource> {
  const { signal, onProgress } = options;
  const name = fullName(tag);
  const annotations = {
    ...(name && { 'io.containerd.image.name': formatReference(name) }),
    [annotationKeys.refName]: tag,
  };
  const index = serializeIndex({
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: [{ ...content.root, annotations }],
  });
  const documents = once([content.root, ...images.map((image) => image.descriptor)]);
  const blobs = once(images.flatMap((image) => [image.manifest.config, ...buildLayerDescriptors(image)])).filter(
    ({ mediaType }) => !isNonDistributable(mediaType),
  );
  const blob = async (descriptor: Descriptor): Promise<TarSource> => {
    const stream = await content.read(descriptor, { signal });
    return { ...file(blobPath(descriptor.digest)), size: descriptor.size, body: stream };
  };
  yield file('oci-layout', serializeLayoutHeader());
  yield file('index.json', index);
  yield file('manifest.json', dockerManifest(images[0]!, name && tag));
  yield directory('blobs');
  for (const algorithm of new Set([...documents, ...blobs].map(({ digest }) => digest.split(':', 1)[0]))) {
    yield directory(`blobs/${algorithm}`);
  }
  for (const descriptor of documents) yield await blob(descriptor);
  for (const descriptor of blobs) {
    signal?.throwIfAborted();
    yield await blob(descriptor);
    onProgress?.({ phase: 'write', descriptor, transferred: descriptor.size, total: descriptor.size });
  }
}

/** Each content once, where it is named first. */
function once(descriptors: readonly Descriptor[]): Descriptor[] {
  const seen = new Map<Digest, Descriptor>();
  for (const descriptor of descriptors) if (!seen.has(descriptor.digest)) seen.set(descriptor.digest, descriptor);
  return [...seen.values()];
}

/** What `docker save` calls `manifest.json`: the config and layers of an image by their paths in the archive. */
function dockerManifest(image: Image, tag: string | undefined): Uint8Array {
  const layers = image.layers.filter((layer) => !isNonDistributable(layer.descriptor.mediaType));
  const entry = {
    Config: blobPath(image.manifest.config.digest),
    RepoTags: tag === undefined ? null : [tag],
    Layers: layers.map((layer) => blobPath(layer.descriptor.digest)),
  };
  return new TextEncoder().encode(JSON.stringify([entry]));
}

/** A tag that is a whole reference, as in `myapp:1.0`; engines cannot name an image by `1.0` alone. */
function fullName(tag: string): Reference | undefined {
  try {
    const reference = parseReference(tag);
    return tag.includes(':') && reference.tag !== undefined ? reference : undefined;
  } catch {
    return undefined;
  }
}

function file(path: string, body: Uint8Array = new Uint8Array()): TarSource & { body: Uint8Array } {
  return { path, type: 'file', mode: 0o644, uid: 0, gid: 0, mtime: 0, size: body.length, body };
}

function directory(path: string): TarSource {
  return { path, type: 'directory', mode: 0o755, uid: 0, gid: 0, mtime: 0, size: 0 };
}

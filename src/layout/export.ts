/** Images out to where engines take them: a layout directory, or one archive that OCI and Docker readers both understand. */

import { readChunks, toStream } from '../bytes/byte-source.ts';
import { gzip } from '../bytes/gzip.ts';
import type { OnProgress } from '../bytes/progress.ts';
import { blobPath } from '../content/blob-store.ts';
import { copyGraph } from '../content/copy.ts';
import { walkGraph } from '../content/graph.ts';
import { StowageError } from '../errors.ts';
import type { Image } from '../image/image.ts';
import { type ImageContent, imageContent } from '../image/image-content.ts';
import { annotationKeys } from '../oci/annotations.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { serializeIndex } from '../oci/image-index.ts';
import { checkRefName, serializeLayoutHeader } from '../oci/image-layout.ts';
import { isNonDistributable, mediaTypes } from '../oci/media-types.ts';
import { formatReference, parseReference, type Reference } from '../oci/reference.ts';
import type { Storage } from '../storage/storage.ts';
import { type TarSource, writeTar } from '../tar/write-tar.ts';
import { Layout } from './layout.ts';

export interface ExportOptions {
  /** The name that the image is found by, such as `myapp:1.0`. Default `latest`. */
  tag?: string;
  signal?: AbortSignal;
  /** Told of each blob as it moves. */
  onProgress?: OnProgress;
}

export interface ExportDirectoryOptions extends ExportOptions {
  /** Blobs under way at once. Default 4. */
  concurrency?: number;
}

export interface SaveTarballOptions extends ExportOptions {
  /**
   * Of the archive as a whole. Default `gzip`; layers that are compressed already are stored in it as they are. `zstd` is
   * the runtime's own, where it has one: its bytes differ from release to release.
   */
  compression?: 'gzip' | 'zstd' | 'none';
  /** Level of gzip, 0 to 9. */
  level?: number;
}

/** An image's config as it is stored (config.md). */
export function buildConfigBlob(image: Image): { bytes: Uint8Array; digest: Digest } {
  return { bytes: image.configBytes, digest: image.manifest.config.digest };
}

/** What the manifest lists: the base image's layers first. */
export function buildLayerDescriptors(image: Image): Descriptor[] {
  return image.layers.map((layer) => layer.descriptor);
}

/**
 * Writes an image, or the images of several platforms as one index, into a layout: a new one, or over one that is there,
 * whose other tags stay. Returns what the tag names.
 *
 * @example
 * await exportDirectory(image, new NodeStorage('./myimage'), { tag: 'myapp:1.0' });
 */
export async function exportDirectory(
  images: Image | readonly Image[],
  storage: Storage,
  options: ExportDirectoryOptions = {},
): Promise<Descriptor> {
  const { tag = 'latest', ...copyOptions } = options;
  checkRefName(tag);
  const content = imageContent(images);
  const layout = await Layout.create(storage);
  await copyGraph(content, layout, [content.root], copyOptions);
  await layout.tag(content.root, tag, options);
  return content.root;
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
  const { tag = 'latest', compression = 'gzip', level, signal } = options;
  if (compression !== 'gzip' && compression !== 'zstd' && compression !== 'none') {
    throw new StowageError(
      'ARGUMENT_INVALID',
      `compression is ${JSON.stringify(compression)}; give 'gzip', 'zstd' or 'none'.`,
    );
  }
  checkRefName(tag);
  const content = imageContent(images);
  const first = Array.isArray(images) ? (images[0] as Image) : (images as Image);
  const tar = writeTar(archiveEntries(content, first, tag, options), { signal });
  if (compression === 'zstd') return toStream(zstdLater(tar, signal));
  return toStream(compression === 'gzip' ? gzip(tar, { level, signal }) : tar);
}

async function* zstdLater(tar: AsyncIterable<Uint8Array>, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const { zstd } = await import('../bytes/zstd-native.ts');
  yield* zstd(tar, { signal });
}

async function* archiveEntries(
  content: ImageContent,
  first: Image,
  tag: string,
  options: ExportOptions,
): AsyncGenerator<TarSource> {
  const { signal, onProgress } = options;
  const { documents, blobs } = await walkGraph(content, [content.root], { signal });
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
  const kept = blobs.filter((blob) => !isNonDistributable(blob.mediaType));
  yield file('oci-layout', serializeLayoutHeader());
  yield file('index.json', index);
  yield file('manifest.json', dockerManifest(first, name && tag));
  yield directory('blobs');
  for (const algorithm of new Set(
    [...documents.map(({ descriptor }) => descriptor), ...kept].map(({ digest }) => digest.split(':', 1)[0]),
  )) {
    yield directory(`blobs/${algorithm}`);
  }
  for (const { descriptor, bytes } of documents) yield file(blobPath(descriptor.digest), bytes);
  for (const descriptor of kept) {
    signal?.throwIfAborted();
    const body = readChunks(await content.read(descriptor, { signal }), { signal });
    yield { ...file(blobPath(descriptor.digest)), size: descriptor.size, body };
    onProgress?.({ phase: 'write', descriptor, transferred: descriptor.size, total: descriptor.size });
  }
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

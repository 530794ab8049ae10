/** Images in memory as a place of content, so that writing them anywhere is a copy like any other. */

import { readChunks, toStream } from '../bytes/byte-source.ts';
import { digestOf } from '../bytes/hash.ts';
import type { ContentSource } from '../content/content.ts';
import { StowageError } from '../errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { ImageIndex } from '../oci/image-index.ts';
import { mediaTypes } from '../oci/media-types.ts';
import { formatPlatform } from '../oci/platform.ts';
import { serializeIndex } from '../oci/serialize-index.ts';
import type { Image } from './image.ts';

/** The content of images, and its one root: the manifest, or for several an index of them. */
export interface ImageContent extends ContentSource {
  readonly root: Descriptor;
}

/**
 * An image, or the images of several platforms under one index, as what `copy` takes and archives hold: `root` is what a
 * tag would name.
 *
 * @throws `ARGUMENT_INVALID` for no images, or two for one platform.
 * @example
 * const { root } = imageContent([amd64, arm64]);
 * console.log(root.digest);
 */
export function imageContent(images: Image | readonly Image[]): ImageContent {
  const list = Array.isArray(images) ? (images as readonly Image[]) : [images as Image];
  const documents = new Map<Digest, Uint8Array>();
  for (const image of list) {
    documents.set(image.descriptor.digest, image.manifestBytes);
    documents.set(image.manifest.config.digest, image.configBytes);
  }
  const root = list.length === 1 ? (list[0] as Image).descriptor : addIndex(list, documents);
  const layers = new Map(
    list.flatMap((image) => image.layers.map((layer) => [layer.descriptor.digest, layer] as const)),
  );
  return {
    root,
    resolve: async (reference) => {
      if (reference === root.digest) return root;
      throw new StowageError('NOT_FOUND', `${reference} is not the digest of these images, which is ${root.digest}.`, {
        reference,
      });
    },
    origin: (descriptor) => layers.get(descriptor.digest)?.source,
    has: async (descriptor) => documents.has(descriptor.digest) || layers.has(descriptor.digest),
    read: async (descriptor, options) => {
      const bytes = documents.get(descriptor.digest);
      if (bytes) return toStream(readChunks(bytes));
      const layer = layers.get(descriptor.digest);
      if (layer) return layer.open(options);
      throw new StowageError('BLOB_NOT_FOUND', `${descriptor.digest} is no part of these images.`, {
        digest: descriptor.digest,
      });
    },
  };
}

function addIndex(images: readonly Image[], documents: Map<Digest, Uint8Array>): Descriptor {
  if (images.length === 0)
    throw new StowageError('ARGUMENT_INVALID', 'There is no image in the list. Give one at least.');
  const platforms = new Set<string>();
  for (const { platform } of images) {
    const name = [formatPlatform(platform), platform['os.version']].join(' ').trim();
    if (platforms.has(name))
      throw new StowageError('ARGUMENT_INVALID', `Two of the images are for ${name}. Give one for each platform.`, {
        platform: name,
      });
    platforms.add(name);
  }
  const index: ImageIndex = {
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: images.map((image) => image.descriptor),
  };
  const bytes = serializeIndex(index);
  const root = { mediaType: mediaTypes.index, digest: digestOf(bytes), size: bytes.length };
  documents.set(root.digest, bytes);
  return root;
}

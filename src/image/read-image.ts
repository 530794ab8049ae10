/** The documents of an image that some place holds, read and held against one another. */

import type { ContentSource } from '../content/content.ts';
import { readDocument } from '../content/graph.ts';
import { StowageError } from '../errors.ts';
import { type Layer, layerFrom } from '../layer/layer.ts';
import type { Limits } from '../limits.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { ImageConfig } from '../oci/image-config.ts';
import type { Manifest } from '../oci/manifest.ts';
import { isConfig, isManifest } from '../oci/media-types.ts';
import { parseImageConfig, parseManifest } from '../oci/parse.ts';
import type { Platform } from '../oci/platform.ts';
import { selectImage } from './select.ts';

/** An image as it was read, with the bytes of its documents. */
export interface ImageDocuments {
  config: ImageConfig;
  configBytes: Uint8Array;
  /** With the media type of its descriptor, where it states none itself. */
  manifest: Manifest;
  manifestBytes: Uint8Array;
  /** Unread. */
  layers: Layer[];
}

/** See `Image.from`. */
export async function readImage(
  source: ContentSource,
  reference: string | Descriptor,
  options: { platform?: Platform; limits?: Partial<Limits>; signal?: AbortSignal },
): Promise<ImageDocuments> {
  const { limits, signal } = options;
  const root = typeof reference === 'string' ? await source.resolve(reference, { signal }) : reference;
  const descriptor = await selectImage(source, root, options);
  if (!isManifest(descriptor.mediaType)) {
    throw new StowageError(
      'MEDIA_TYPE_UNSUPPORTED',
      `${descriptor.digest} is ${descriptor.mediaType}, which is no image manifest.`,
      { digest: descriptor.digest },
    );
  }
  const manifestBytes = await readDocument(source, descriptor, { limits, signal });
  const manifest = parseManifest(manifestBytes, { limits, mediaType: descriptor.mediaType });
  if (!isConfig(manifest.config.mediaType)) {
    throw new StowageError(
      'MEDIA_TYPE_UNSUPPORTED',
      `Manifest ${descriptor.digest} has a config of type ${manifest.config.mediaType}: an artifact, not an image. Copy it with copy().`,
      { digest: descriptor.digest },
    );
  }
  const configBytes = await readDocument(source, manifest.config, { limits, signal });
  const config = parseImageConfig(configBytes, { limits });
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== manifest.layers.length) {
    throw new StowageError(
      'MANIFEST_INVALID',
      `Manifest ${descriptor.digest} names ${manifest.layers.length} layers, but its config's rootfs.diff_ids names ${diffIds.length}. The image is broken; build or fetch it anew.`,
      { digest: descriptor.digest },
    );
  }
  const layers = manifest.layers.map((layer, index) => layerFrom(source, layer, diffIds[index] as string));
  const typed = { ...manifest, mediaType: manifest.mediaType ?? descriptor.mediaType };
  return { config, configBytes, manifest: typed, manifestBytes, layers };
}

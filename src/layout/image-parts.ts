/** What an image is made of, as a layout holds it. */
import type { Image } from '../image/image.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';

/** An image's config as it is stored (config.md). */
export function buildConfigBlob(image: Image): { bytes: Uint8Array; digest: Digest } {
  return { bytes: image.configBytes, digest: image.manifest.config.digest };
}

/** What the manifest lists: the base image's layers first. */
export function buildLayerDescriptors(image: Image): Descriptor[] {
  return image.layers.map((layer) => layer.descriptor);
}

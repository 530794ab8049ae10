/** One image in two families of media types: OCI's, and those of Docker's image manifest version 2, schema 2. */
import { StowageError } from '../errors.ts';
import type { Layer } from '../layer/layer.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Manifest } from '../oci/manifest.ts';
import { layerCompression, mediaTypes } from '../oci/media-types.ts';
import type { Image } from './image.ts';
import { mediaTypeIn, withDescriptor } from './media-family.ts';

/**
 * The image under OCI's media types. Config and layers keep their bytes and digests, and the manifest its fields; Docker's
 * own fields in a config are unknown ones to OCI, and stay. An image that is OCI's already is returned as it is.
 */
export function toOci(image: Image): Image {
  return convert(image, 'oci', (descriptor) => descriptor);
}

/**
 * The image under Docker's media types. Config and layers keep their bytes and digests. What schema 2 has no field for is
 * left out of the manifest and its descriptors: `annotations`, `artifactType`, `subject` and `data`; labels, which are the
 * config's, stay. An image that is Docker's already is returned as it is.
 *
 * @throws `MEDIA_TYPE_UNSUPPORTED` for layers in zstd, which schema 2 does not have: `recompress` them first.
 */
export function toDocker(image: Image): Image {
  for (const { descriptor } of image.layers) {
    if (layerCompression(descriptor.mediaType) !== 'zstd') continue;
    throw new StowageError(
      'MEDIA_TYPE_UNSUPPORTED',
      `Layer ${descriptor.digest} is in zstd, and Docker's schema 2 has no such layers. Use recompress(image, 'gzip') first.`,
      { digest: descriptor.digest, mediaType: descriptor.mediaType },
    );
  }
  return convert(image, 'docker', withoutOciFields);
}

function convert(
  image: Image,
  family: 'oci' | 'docker',
  fields: <T extends Manifest | Descriptor>(value: T) => T,
): Image {
  const { manifest } = image;
  const inFamily = (mediaType: string): string => mediaTypeIn(family, mediaType) ?? mediaType;
  const layers = image.layers.map((layer): Layer => {
    const { descriptor } = layer;
    return withDescriptor(layer, fields({ ...descriptor, mediaType: inFamily(descriptor.mediaType) }));
  });
  const changed: Manifest = {
    ...fields(manifest),
    mediaType: inFamily(manifest.mediaType ?? mediaTypes.manifest),
    config: fields({ ...manifest.config, mediaType: inFamily(manifest.config.mediaType) }),
  };
  const isSame = layers.every((layer, index) => layer === image.layers[index]);
  if (isSame && JSON.stringify(changed) === JSON.stringify(manifest)) return image;
  return image.with({ manifest: changed, layers });
}

function withoutOciFields<T extends Manifest | Descriptor>(value: T): T {
  const { annotations, artifactType, subject, data, ...kept } = value;
  return kept as T;
}

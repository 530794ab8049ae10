/** OCI's media types and those of Docker's schema 2: engines refuse an image that mixes the two families. */
import { type Layer, layerFrom } from '../layer/layer.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { bareMediaType, mediaTypes } from '../oci/media-types.ts';

/** Media types of an image in OCI's family and in Docker's; those of layers that registries do not hold included. */
const twins: readonly (readonly [oci: string, docker: string])[] = [
  [mediaTypes.index, mediaTypes.docker.manifestList],
  [mediaTypes.manifest, mediaTypes.docker.manifest],
  [mediaTypes.config, mediaTypes.docker.config],
  [mediaTypes.layer, mediaTypes.docker.layer],
  [mediaTypes.layerGzip, mediaTypes.docker.layerGzip],
  [mediaTypes.layerZstd, `${mediaTypes.docker.layer}.zstd`],
  [mediaTypes.nonDistributableLayer, mediaTypes.docker.foreignLayer.replace(/\.gzip$/, '')],
  [mediaTypes.nonDistributableLayerGzip, mediaTypes.docker.foreignLayer],
];

/** Whether the manifest, or the index, is of Docker's family. */
export function isDocker(mediaType: string | undefined): boolean {
  return bareMediaType(mediaType).startsWith('application/vnd.docker.');
}

/** The type's twin in the family, itself where it is of that family, `undefined` where there is none. */
export function mediaTypeIn(family: 'oci' | 'docker', mediaType: string): string | undefined {
  const bare = bareMediaType(mediaType);
  const column = family === 'oci' ? 0 : 1;
  if (twins.some((pair) => pair[column] === bare)) return mediaType;
  return twins.find((pair) => pair[1 - column] === bare)?.[column];
}

/** The layer, with the type that suits a manifest of this type; a type without a twin stays. */
export function inFamily(layer: Layer, manifestType: string | undefined): Layer {
  const { descriptor } = layer;
  const mediaType = mediaTypeIn(isDocker(manifestType) ? 'docker' : 'oci', descriptor.mediaType);
  return withDescriptor(layer, { ...descriptor, mediaType: mediaType ?? descriptor.mediaType });
}

/** The layer under another descriptor of the same blob. */
export function withDescriptor(layer: Layer, descriptor: Descriptor): Layer {
  if (JSON.stringify(descriptor) === JSON.stringify(layer.descriptor)) return layer;
  return layerFrom(layer.source ?? { read: (_, options) => layer.open(options) }, descriptor, layer.diffId);
}

/** The entry point `stowage/oci`: the documents of the OCI image specification 1.1. Synchronous, and free of the rest. */

export { type ErrorCode, StowageError } from '../errors.ts';
export type { Limits } from '../limits.ts';
export { annotationKeys, checkAnnotations } from './annotations.ts';
export { checkDescriptor, type Descriptor, emptyDescriptor } from './descriptor.ts';
export { type Digest, type DigestAlgorithm, isDigest, parseDigest } from './digest.ts';
export type { DocumentOptions, ReadOptions } from './document.ts';
export { type ContainerConfig, type History, type ImageConfig, serializeImageConfig } from './image-config.ts';
export { type ImageIndex, type ImageIndexItem, imageIndex } from './image-index.ts';
export {
  imageLayoutVersion,
  type LayoutHeader,
  serializeLayoutHeader,
} from './image-layout.ts';
export { parseJson } from './json.ts';
export { type Manifest, serializeManifest } from './manifest.ts';
export {
  isConfig,
  isIndex,
  isLayer,
  isManifest,
  isNonDistributable,
  layerCompression,
  mediaTypes,
} from './media-types.ts';
export { parseImageConfig, parseLayoutHeader, parseManifest } from './parse.ts';
export {
  formatPlatform,
  matchesPlatform,
  normalizePlatform,
  type Platform,
  parsePlatform,
} from './platform.ts';
export { formatReference, parseReference, type Reference } from './reference.ts';
export { serializeIndex } from './serialize-index.ts';
export { serializeJson } from './serialize-json.ts';

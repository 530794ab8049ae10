/** The entry point `stowage/oci`: the documents of the OCI image specification 1.1. Synchronous, and free of the rest. */
export { type ErrorCode, StowageError } from '../errors.ts';
export { defaultLimits, type Limits } from '../limits.ts';
export { annotationKeys, checkAnnotations } from './annotations.ts';
export { bestMatch, platform } from './best-match.ts';
export { checkDescriptor, type Descriptor, descriptorData, emptyDescriptor } from './descriptor.ts';
export { type Digest, type DigestAlgorithm, isDigest, parseDigest } from './digest.ts';
export type { DocumentOptions, ReadOptions } from './document.ts';
export {
  type ContainerConfig,
  type History,
  type ImageConfig,
  parseImageConfig,
  serializeImageConfig,
} from './image-config.ts';
export { type ImageIndex, type ImageIndexItem, imageIndex, serializeIndex } from './image-index.ts';
export {
  checkRefName,
  imageLayoutVersion,
  type LayoutHeader,
  parseLayoutHeader,
  refNameGrammar,
  serializeLayoutHeader,
} from './image-layout.ts';
export { parseJson, serializeJson } from './json.ts';
export { type Manifest, parseManifest, serializeManifest } from './manifest.ts';
export {
  isConfig,
  isIndex,
  isLayer,
  isManifest,
  isNonDistributable,
  layerCompression,
  mediaTypes,
} from './media-types.ts';
export {
  formatPlatform,
  matchesPlatform,
  normalizePlatform,
  type Platform,
  parsePlatform,
  parsePlatforms,
} from './platform.ts';
export { formatReference, parseReference, type Reference } from './reference.ts';

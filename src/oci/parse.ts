/** Documents read: from bytes to plain values, every field checked. Apart from what writes them, which needs no reader of JSON. */
import { checkDocument, type DocumentKind, type DocumentOptions, type ReadOptions } from './document.ts';
import { type ImageConfig, imageConfigKind } from './image-config.ts';
import { type LayoutHeader, layoutHeaderKind } from './image-layout.ts';
import { parseJson } from './json.ts';
import { type Manifest, manifestKind } from './manifest.ts';

/**
 * Reads a manifest. Keys come in the specification's order, unknown ones last; optional fields that are null are gone.
 *
 * @throws `JSON_INVALID`, `LIMIT_EXCEEDED`; `MANIFEST_INVALID` naming the field, and for an index; `DESCRIPTOR_INVALID`
 * naming the field, such as `layers[2].size`; `MEDIA_TYPE_UNSUPPORTED` for Docker's schema 1 and other kinds of document.
 */
export function parseManifest(bytes: Uint8Array | string, options?: DocumentOptions): Manifest {
  return readDocument(bytes, manifestKind, options);
}

/**
 * Reads a configuration. Keys come in the specification's order, unknown ones last.
 *
 * @throws `JSON_INVALID`, `LIMIT_EXCEEDED`; `CONFIG_INVALID` naming the field, such as `rootfs.diff_ids[0]`.
 */
export function parseImageConfig(bytes: Uint8Array | string, options?: ReadOptions): ImageConfig {
  return readDocument(bytes, imageConfigKind, options);
}

/** Reads the file `oci-layout`. @throws `JSON_INVALID`; `LAYOUT_INVALID` for no version or one that is not 1.0.0. */
export function parseLayoutHeader(bytes: Uint8Array | string, options?: ReadOptions): LayoutHeader {
  return readDocument(bytes, layoutHeaderKind, options);
}

/** A document from its bytes or text, every field checked. */
export function readDocument<T>(bytes: Uint8Array | string, kind: DocumentKind<T>, options: DocumentOptions = {}): T {
  const { what = kind.name, limits, mediaType } = options;
  return checkDocument(parseJson(bytes, { what, limits }), kind, what, mediaType);
}

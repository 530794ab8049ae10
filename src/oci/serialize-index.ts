/** Image indexes written, and what they are checked by: image-spec's image-index.md. */
import { annotations } from './annotations.ts';
import { mediaType as artifactType, list, record } from './check.ts';
import { descriptor, indexDescriptor } from './descriptor.ts';
import { type DocumentKind, documentType, schemaVersion, writeDocument } from './document.ts';
import type { ImageIndex } from './image-index.ts';
import { isIndex } from './media-types.ts';

/** Checks as `imageIndex.parse` does, and writes compact JSON in the key order of the specification's examples. */
export function serializeIndex(index: ImageIndex): Uint8Array {
  return writeDocument(index, indexKind);
}

const mediaType = documentType('index', isIndex);

/** What an index is checked by. */
export const indexKind: DocumentKind<ImageIndex> = {
  name: 'index',
  code: 'INDEX_INVALID',
  mediaType,
  fields: record(
    {
      schemaVersion: schemaVersion('config', 'layers', 'fsLayers'),
      mediaType,
      artifactType,
      manifests: list(indexDescriptor),
      subject: descriptor,
      annotations,
    },
    ['schemaVersion', 'manifests'],
  ),
};

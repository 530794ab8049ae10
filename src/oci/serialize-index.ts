/** Image indexes written, and what they are checked by: image-spec's image-index.md. */
import { annotations } from './annotations.ts';
import { list, mediaType, record, schemaVersion } from './check.ts';
import { descriptor, indexDescriptor } from './descriptor.ts';
import { type DocumentKind, refuseOtherThan, writeDocument } from './document.ts';
import type { ImageIndex } from './image-index.ts';

/** Checks as `imageIndex.parse` does, and writes compact JSON in the key order of the specification's examples. */
export function serializeIndex(index: ImageIndex): Uint8Array {
  return writeDocument(index, indexKind);
}

/** What an index is checked by. */
export const indexKind: DocumentKind<ImageIndex> = {
  name: 'index',
  code: 'INDEX_INVALID',
  fields: record(
    {
      schemaVersion,
      mediaType,
      artifactType: mediaType,
      manifests: list(indexDescriptor),
      subject: descriptor,
      annotations,
    },
    ['schemaVersion', 'manifests'],
  ),
  rule: refuseOtherThan('index'),
};

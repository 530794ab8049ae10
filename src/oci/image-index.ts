/** Image indexes, lists of manifests by platform and of anything else: image-spec's image-index.md. */
import type { Descriptor } from './descriptor.ts';
import type { Digest } from './digest.ts';
import { checkDocument, type DocumentOptions } from './document.ts';
import { mediaTypes } from './media-types.ts';
import { readDocument } from './parse.ts';
import { matchesPlatform, type Platform } from './platform.ts';
import { indexKind, serializeIndex } from './serialize-index.ts';

export interface ImageIndex {
  schemaVersion: 2;
  /** OCI's, or that of Docker's manifest list; older documents of OCI have none. */
  mediaType?: string;
  artifactType?: string;
  manifests: Descriptor[];
  /** The manifest that this index says something about. */
  subject?: Descriptor;
  annotations?: Record<string, string>;
  [unknown: string]: unknown;
}

/** One manifest of a new index, in short or with more of a descriptor's fields. `mediaType` is OCI's manifest unless told. */
export type ImageIndexItem =
  | readonly [platform: Platform, digest: Digest, size: number]
  | (Partial<Descriptor> & { platform: Platform; digest: Digest; size: number });

/** The functions on indexes. */
export const imageIndex: {
  /** A new index. @throws `DESCRIPTOR_INVALID` naming the field, such as `manifests[0].size`. */
  readonly create: (items: Iterable<ImageIndexItem>) => ImageIndex;
  /**
   * Reads an index. Unknown fields are kept; optional fields that are null are gone.
   * @throws `JSON_INVALID`, `LIMIT_EXCEEDED`; `INDEX_INVALID` naming the field, and for a manifest; `DESCRIPTOR_INVALID`
   * naming the field, such as `manifests[2].size`; `MEDIA_TYPE_UNSUPPORTED` for other kinds of document.
   */
  readonly parse: (json: Uint8Array | string, options?: DocumentOptions) => ImageIndex;
  /** The text of `serializeIndex`. */
  readonly toJson: (index: ImageIndex) => string;
  /** The first descriptor whose platform matches; those of unknown/unknown, which are attestations, are passed over. */
  readonly selectManifest: (index: ImageIndex, target: Platform) => Descriptor | undefined;
  readonly matchesPlatform: typeof matchesPlatform;
  readonly mediaType: typeof mediaTypes.index;
} = {
  create: (items) =>
    checkDocument(
      {
        schemaVersion: 2,
        mediaType: mediaTypes.index,
        manifests: Array.from(items, (item) => {
          return {
            mediaType: mediaTypes.manifest,
            ...(isTuple(item) ? { platform: item[0], digest: item[1], size: item[2] } : item),
          };
        }),
      },
      indexKind,
    ),
  parse: (json, options) => readDocument(json, indexKind, options),
  toJson: (index) => new TextDecoder().decode(serializeIndex(index)),
  selectManifest: (index, target) =>
    index.manifests.find(({ platform }) => platform && platform.os !== 'unknown' && matchesPlatform(platform, target)),
  matchesPlatform,
  mediaType: 'application/vnd.oci.image.index.v1+json',
};

function isTuple(item: ImageIndexItem): item is Extract<ImageIndexItem, readonly unknown[]> {
  return Array.isArray(item);
}

/** Image indexes, lists of manifests by platform and of anything else: image-spec's image-index.md. */
import { annotations } from './annotations.ts';
import { type Check, list, mediaType, record, refusal } from './check.ts';
import { type Descriptor, descriptor, indexDescriptor } from './descriptor.ts';
import type { Digest } from './digest.ts';
import { checkKind, type DocumentOptions, two } from './document.ts';
import { parseJson, serializeJson } from './json.ts';
import { mediaTypes } from './media-types.ts';
import { matchesPlatform, type Platform } from './platform.ts';

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
  create(items) {
    const manifests = Array.from(items, (item) => {
      const { ...fields } = Array.isArray(item) ? { platform: item[0], digest: item[1], size: item[2] } : item;
      return { mediaType: mediaTypes.manifest, ...fields };
    });
    return checkIndex({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }, 'index');
  },
  parse(json, options = {}) {
    const what = options.what ?? 'index';
    return checkIndex(parseJson(json, { what, limits: options.limits }), what, options.mediaType);
  },
  toJson: (index) => new TextDecoder().decode(serializeIndex(index)),
  selectManifest: (index, target) =>
    index.manifests.find(({ platform }) => platform && platform.os !== 'unknown' && matchesPlatform(platform, target)),
  matchesPlatform,
  mediaType: mediaTypes.index,
};

/** Checks as `imageIndex.parse` does, and writes compact JSON in the key order of the specification's examples. */
export function serializeIndex(index: ImageIndex): Uint8Array {
  return serializeJson(checkIndex(index, 'index'));
}

const fields: Check<ImageIndex> = record(
  {
    schemaVersion: two,
    mediaType,
    artifactType: mediaType,
    manifests: list(indexDescriptor),
    subject: descriptor,
    annotations,
  },
  ['schemaVersion', 'manifests'],
);

function checkIndex(value: unknown, what: string, expected?: string): ImageIndex {
  const refuse = refusal('INDEX_INVALID', what);
  checkKind(value, 'index', { what, refuse, expected });
  return fields(value, '', refuse);
}

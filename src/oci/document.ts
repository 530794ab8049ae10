/** How every document is checked and written, and how manifests and indexes are never taken for one another. */
import type { ErrorCode } from '../errors.ts';
import type { Limits } from '../limits.ts';
import { type Check, object, type Refuse, refusal } from './check.ts';
import { bareMediaType, isIndex, isManifest } from './media-types.ts';
import { serializeJson } from './serialize-json.ts';

export interface ReadOptions {
  /** The document's name in errors, such as `config sha256:…`. Default: what it is. */
  what?: string;
  /** `jsonBytes` bounds the document (default 4 MiB). */
  limits?: Partial<Limits>;
}

export interface DocumentOptions extends ReadOptions {
  /** What the descriptor or the registry says that the document is; one that says otherwise is refused. */
  mediaType?: string;
}

/** One sort of document: its name and error code, its fields, and what its fields cannot say alone. */
export interface DocumentKind<T> {
  name: string;
  code: ErrorCode;
  fields: Check<T>;
  rule?: (value: unknown, refuse: Refuse, mediaType?: string) => void;
}

/** Compact JSON in the specification's key order; what would be refused when it is read is not written. */
export function writeDocument<T>(value: T, kind: DocumentKind<T>): Uint8Array {
  return serializeJson(checkDocument(value, kind));
}

/** The value in the specification's key order. */
export function checkDocument<T>(
  value: unknown,
  kind: DocumentKind<T>,
  what: string = kind.name,
  mediaType?: string,
): T {
  const refuse = refusal(kind.code, what);
  kind.rule?.(value, refuse, mediaType);
  return kind.fields(value, '', refuse);
}

/**
 * Refuses Docker's schema 1, documents that could be read as both manifest and index (manifests that change their
 * meaning with the reader have been an attack on signatures), and media types that disagree.
 */
export function refuseOtherThan(name: 'manifest' | 'index'): Required<DocumentKind<unknown>>['rule'] {
  const [isOwn, isOther, foreign] =
    name === 'index'
      ? [isIndex, isManifest, ['config', 'layers', 'fsLayers']]
      : [isManifest, isIndex, ['manifests', 'fsLayers']];
  return (value, refuse, expected) => {
    const document = object(value, '', refuse);
    const own = document.mediaType;
    if (document.schemaVersion === 1)
      throw refuse(
        'schemaVersion',
        "2 (for Docker's schema 1, push the image anew)",
        document.schemaVersion,
        'MEDIA_TYPE_UNSUPPORTED',
      );
    for (const key of foreign)
      if (document[key] !== undefined) throw refuse(key, `absent from an image ${name}`, document[key]);
    for (const given of [expected, own]) {
      if (typeof given === 'string' && !isOwn(given))
        throw refuse(
          'mediaType',
          `that of an image ${name}`,
          given,
          isOther(given) ? undefined : 'MEDIA_TYPE_UNSUPPORTED',
        );
    }
    if (expected && own && bareMediaType(expected) !== bareMediaType(own))
      throw refuse('mediaType', `${expected}, as was announced`, own);
  };
}

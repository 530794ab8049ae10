/** How every document is checked and written, and how manifests and indexes are never taken for one another. */
import type { ErrorCode } from '../errors.ts';
import type { Limits } from '../limits.ts';
import { type Check, refusal } from './check.ts';
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

/** One sort of document: its name, its error code, and its fields. */
export interface DocumentKind<T> {
  name: string;
  code: ErrorCode;
  fields: Check<T>;
  /** Of documents that state their media type, or are known by that of the descriptor that leads to them. */
  mediaType?: Check<string>;
}

/** Compact JSON in the specification's key order; what would be refused when it is read is not written. */
export function writeDocument<T>(value: T, kind: DocumentKind<T>): Uint8Array {
  return serializeJson(checkDocument(value, kind));
}

/** The value in the specification's key order. `announced` is the media type that it should have. */
export function checkDocument<T>(
  value: unknown,
  kind: DocumentKind<T>,
  what: string = kind.name,
  announced?: string,
): T {
  const refuse = refusal(kind.code, what);
  if (announced) kind.mediaType?.(announced, 'mediaType', refuse);
  const document = kind.fields(value, '', refuse);
  const own = (document as { mediaType?: unknown }).mediaType;
  if (announced && own && bareMediaType(announced) !== bareMediaType(own))
    throw refuse('mediaType', `${announced}, as was announced`, own);
  return document;
}

/**
 * The version of manifests and indexes, told apart by it from Docker's schema 1, and by the fields that the other kind has:
 * documents that change their meaning with the reader have been an attack on signatures.
 */
/* @__NO_SIDE_EFFECTS__ */
export function schemaVersion(...foreign: string[]): Check<2> {
  return (value, field, refuse, siblings) => {
    const code = value === 1 ? 'MEDIA_TYPE_UNSUPPORTED' : undefined;
    if (value !== 2) throw refuse(field, "2 (for Docker's schema 1, push the image anew)", value, code);
    for (const key of foreign)
      if (siblings![key] !== undefined) throw refuse(key, 'absent from this kind of document', siblings![key]);
    return value;
  };
}

/** The media type of one kind of document; one that no document here has is not supported, rather than invalid. */
/* @__NO_SIDE_EFFECTS__ */
export function documentType(name: string, isOwn: (mediaType: string) => boolean): Check<string> {
  return (value, field, refuse) => {
    const type = value as string;
    if (isOwn(type)) return type;
    const isKnown = typeof value !== 'string' || isManifest(type) || isIndex(type);
    throw refuse(field, `that of an image ${name}`, value, isKnown ? undefined : 'MEDIA_TYPE_UNSUPPORTED');
  };
}

/**
 * The one error that the library throws: a code to branch on, a sentence to read, and the facts as fields.
 * An aborted `signal` is no error of ours: what it aborts rejects with `signal.reason`, as `fetch` does.
 */

/** What went wrong, stable across releases. */
export type ErrorCode =
  /** An argument or option that no input could make right. */
  | 'ARGUMENT_INVALID'
  /** A stream or Blob was handed in twice, or a body was read twice. */
  | 'BODY_CONSUMED'
  /** Not `algorithm:encoded` as image-spec's descriptor.md has it, or an algorithm that is not known here. */
  | 'DIGEST_INVALID'
  /** Content does not have the digest that names it. */
  | 'DIGEST_MISMATCH'
  /** Content is longer or shorter than was declared. */
  | 'SIZE_MISMATCH'
  | 'DESCRIPTOR_INVALID'
  | 'MANIFEST_INVALID'
  | 'INDEX_INVALID'
  | 'CONFIG_INVALID'
  /** Not JSON, not UTF-8, or JSON of the wrong shape where no more exact code fits. */
  | 'JSON_INVALID'
  | 'PLATFORM_INVALID'
  | 'REFERENCE_INVALID'
  /** A media type that cannot be read for this purpose. */
  | 'MEDIA_TYPE_UNSUPPORTED'
  /** Corrupt, truncated or followed by something else. */
  | 'GZIP_INVALID'
  /** A zstd stream that is corrupt, truncated, followed by something else, or asks for what no decoder gives. */
  | 'ZSTD_INVALID'
  /** A tar header, PAX record or sparse map that breaks the format. */
  | 'TAR_INVALID'
  /** The archive ends inside a header or a body. */
  | 'TAR_TRUNCATED'
  /** A path that is empty, absolute, escapes, or holds what no path may. */
  | 'PATH_INVALID'
  /** Two files of one layer with the same path. */
  | 'PATH_DUPLICATE'
  /** A file to be packed whose fields contradict each other or cannot be written. */
  | 'FILE_INVALID'
  /** A hard link of a layer that names nothing, or a directory. */
  | 'LINK_INVALID'
  /** Symlinks that lead round in a circle, or through more than `limits.linkHops` of them. */
  | 'LINK_LOOP'
  /** An image whose base is not the one that was named, or one for another platform. */
  | 'BASE_MISMATCH'
  /** An image layout or image archive that breaks image-layout.md. */
  | 'LAYOUT_INVALID'
  /** No tag, manifest or platform of that name. */
  | 'NOT_FOUND'
  /** A document names a blob that the store does not hold. */
  | 'BLOB_NOT_FOUND'
  /** One of `Limits` was passed; the field `limit` names it. */
  | 'LIMIT_EXCEEDED'
  /** The platform beneath a storage adapter failed; `cause` holds its error. */
  | 'STORAGE_FAILED'
  /** The storage that the platform gives is used up; `needed` and `left` say how far, in bytes. */
  | 'QUOTA_EXCEEDED'
  /** The user or the platform did not give the right to a storage, or took it back. */
  | 'PERMISSION_DENIED'
  /** A registry, or its token server, wants credentials, refuses those it got, or may not be given any. */
  | 'UNAUTHORIZED'
  /** A registry refused (`status`, `registryCodes`), or could not be reached; those tries that are safe were made. */
  | 'REGISTRY_FAILED'
  /** A registry's answer breaks the distribution specification. */
  | 'REGISTRY_INVALID'
  /** A worker thread died at its work; `cause` holds what it said. */
  | 'WORKER_FAILED'
  /** A part of the library that is loaded when it is needed cannot be fetched; `cause` holds the runtime's error. */
  | 'MODULE_UNAVAILABLE'
  /** This runtime lacks what the option asks for. */
  | 'RUNTIME_UNSUPPORTED';

/**
 * Thrown for every failure.
 *
 * @example
 * try {
 *   await layout.resolve('nope');
 * } catch (error) {
 *   if (error instanceof StowageError && error.code === 'NOT_FOUND') console.log(error.message);
 * }
 */
export class StowageError extends Error {
  readonly code: ErrorCode;
  /** The facts of the message, for programs: `path`, `digest`, `expected`, `actual`, `offset`, `limit`, `field`… */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, details: Record<string, unknown> = {}, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'StowageError';
    this.code = code;
    this.details = details;
  }
}

/** The contracts for places of content: blobs by digest, and roots by tag. A layout, an archive and a registry's repository are all one of these. */
import type { ByteSource } from '../bytes/byte-source.ts';
import type { Descriptor } from '../oci/descriptor.ts';

/** How a blob is read. */
export interface ReadBlobOptions {
  signal?: AbortSignal;
  /**
   * False where the reader checks size and digest itself, as `BlobStore.write` does with what it is told to expect, so that nothing is hashed
   * twice on its way. A source may check all the same. Default true.
   */
  verify?: boolean;
}

/** Blobs by digest, to read. */
export interface BlobSource {
  has(descriptor: Descriptor, options?: { signal?: AbortSignal }): Promise<boolean>;
  /**
   * The blob's bytes, verified unless told: the stream fails, and never ends cleanly, where size or digest differ from the
   * descriptor's. Rejects with `BLOB_NOT_FOUND` where the blob is not held.
   */
  read(descriptor: Descriptor, options?: ReadBlobOptions): Promise<ReadableStream<Uint8Array>>;
  /** For a source that stands in front of others: the one that a blob comes from. */
  origin?(descriptor: Descriptor): Pick<BlobSource, 'read'> | undefined;
}

/** Blobs by digest, to read and write. */
export interface BlobStore extends BlobSource {
  /**
   * Stores a blob and says what it is. Nothing becomes visible unless all of it was written and `digest` and `size` of
   * `expected`, where given, are true (`DIGEST_MISMATCH`, `SIZE_MISMATCH`). A blob that `expected` names and the store
   * holds already is not read again. `mediaType` of the result is that of `expected`, else `application/octet-stream`.
   * A chunk of the body is done with when the next one is asked for: its buffer may be used again for that.
   */
  write(body: ByteSource, expected?: Partial<Descriptor>, options?: { signal?: AbortSignal }): Promise<Descriptor>;
  /**
   * For a store that can take blobs from another place without their bytes going through here, as repositories of one registry can. True where it took
   * this one; false where it did not, so that it must be written.
   */
  mount?(descriptor: Descriptor, from: Pick<BlobSource, 'read'>, options?: { signal?: AbortSignal }): Promise<boolean>;
}

/** Blobs, and roots by tag, to read. */
export interface ContentSource extends BlobSource {
  /** The descriptor that a tag or a digest names. Rejects with `NOT_FOUND`. */
  resolve(reference: string, options?: { signal?: AbortSignal }): Promise<Descriptor>;
}

/** Blobs, and roots by tag, to read and write. */
export interface ContentStore extends ContentSource, BlobStore {
  /**
   * Makes `reference` name the descriptor, in place of what it named before. The content must be there already.
   * A reference that is the descriptor's own digest makes it a root without a name.
   */
  tag(descriptor: Descriptor, reference: string, options?: { signal?: AbortSignal }): Promise<void>;
}

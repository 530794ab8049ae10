/** What the server reads from: a repository of a storage, or any place of content. */
import type { ContentSource } from '../content/content.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Span } from './byte-ranges.ts';

/** What a client asks of a blob, for a source that answers it itself. */
export interface BlobRequest {
  method: 'GET' | 'HEAD';
  /** The header `Range` as it came. */
  range?: string;
  /** Whether the answer may be a redirect, which the client then follows. Default false. */
  redirect?: boolean;
  signal?: AbortSignal;
}

/**
 * A place of content to be served. Clients ask for blobs by digest alone, which `ContentSource` has no word for: what a
 * source can do beyond it is made use of, and else the server goes by the manifests that it has served.
 */
export interface ServedSource extends ContentSource {
  /** Size of a blob that is held here; `undefined` where none is. */
  stat?(digest: Digest, options?: { signal?: AbortSignal }): Promise<{ size: number } | undefined>;
  /**
   * The blob as an answer of its own, which goes to the client as it is, neither held nor hashed on the way: status 200, 206, 416 or,
   * where allowed, a redirect. `undefined` where the blob is not there.
   */
  fetchBlob?(digest: Digest, request: BlobRequest): Promise<Response | undefined>;
  tags?(options?: { signal?: AbortSignal }): AsyncIterable<string> | Promise<readonly { name: string }[]>;
  referrers?(subject: Digest, options?: { signal?: AbortSignal }): Promise<Descriptor[]>;
}

export interface ServedManifest {
  descriptor: Descriptor;
  /** The bytes that the digest is of. */
  read(): Promise<Uint8Array>;
}

export interface ServedBlob {
  size: number;
  read(span: Span): Promise<ReadableStream<Uint8Array>>;
}

/** What the reading half of the protocol asks of a repository. */
export interface ServedRepository {
  /** `undefined` where there is none, as for all here. */
  manifest(reference: string, signal?: AbortSignal): Promise<ServedManifest | undefined>;
  blob(digest: Digest, request: BlobRequest): Promise<ServedBlob | Response | undefined>;
  /** `undefined` where the repository is not known. */
  tags(signal?: AbortSignal): Promise<string[] | undefined>;
  /** What has the manifest as its subject; `undefined` where that cannot be told, which makes clients look for themselves. */
  referrers(digest: Digest, signal?: AbortSignal): Promise<Descriptor[] | undefined>;
}

/** A layer: a changeset of files, held as one blob of a store. */
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';

/** One layer of an image, wherever its blob is. Nothing is fetched until someone opens it. */
export interface Layer {
  /** Media type, digest and size of the blob as it is stored: compressed or not. */
  readonly descriptor: Descriptor;
  /** Digest of the uncompressed tar (config.md, "Layer DiffID"). */
  readonly diffId: Digest;
  /** The blob as it is stored, verified against the descriptor. */
  open(options?: { signal?: AbortSignal }): Promise<ReadableStream<Uint8Array>>;
}

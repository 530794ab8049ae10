/** A layer: a changeset of files, held as one blob of a store. */
import { load } from '../bytes/load.ts';
import type { BlobSource, ReadBlobOptions } from '../content/content.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { TarEntry } from '../tar/read-tar.ts';
import type { LayerEntriesOptions } from './layer-entries.ts';

/** One layer of an image, wherever its blob is. Nothing is fetched until someone opens it. */
export interface Layer {
  /** Media type, digest and size of the blob as it is stored: compressed or not. */
  readonly descriptor: Descriptor;
  /** Digest of the uncompressed tar (config.md, "Layer DiffID"). */
  readonly diffId: Digest;
  /** Where the blob is, for who can take it from there at once. */
  readonly source?: Pick<BlobSource, 'read'>;
  /** The blob as it is stored, verified against the descriptor unless told. */
  open(options?: ReadBlobOptions): Promise<ReadableStream<Uint8Array>>;
  /** What the layer holds, in the order of its tar. See `layerEntries`. */
  entries(options?: LayerEntriesOptions): AsyncIterable<TarEntry>;
}

/** A layer whose blob a source holds. */
export function layerFrom(source: Pick<BlobSource, 'read'>, descriptor: Descriptor, diffId: Digest): Layer {
  const layer: Layer = {
    descriptor,
    diffId,
    source,
    open: (options) => source.read(descriptor, options),
    async *entries(options) {
      // Loaded when asked for: whoever only builds images does not pay for a tar reader.
      const { layerEntries } = await load(() => import('./layer-entries.ts'));
      yield* layerEntries(layer, options);
    },
  };
  return layer;
}

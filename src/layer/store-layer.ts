/** The one way in which a layer comes into being: a tar on its way into a store, with both its digests taken as it passes. */
import { compress } from '../bytes/compress.ts';
import type { GzipOptions } from '../bytes/gzip.ts';
import { createHasher, type Hasher } from '../bytes/hash.ts';
import type { OnProgress } from '../bytes/progress.ts';
import { blobStore } from '../content/blob-store.ts';
import type { BlobStore } from '../content/content.ts';
import { mediaTypes } from '../oci/media-types.ts';
import { MemoryStorage } from '../storage/memory.ts';
import type { TarHeader } from '../tar/entry.ts';
import { type TarSources, writeTar } from '../tar/write-tar.ts';
import { type Layer, layerFrom } from './layer.ts';

export interface StoreLayerOptions {
  /** Where the blob goes, and is read from later. Default: memory. */
  store?: BlobStore;
  /** Default `gzip`. `zstd` is the runtime's own, where it has one: its bytes differ from release to release. */
  compression?: 'gzip' | 'zstd' | 'none';
  /** How `gzip` works: its engine, level and number of workers. */
  gzip?: Omit<GzipOptions, 'signal'>;
  /** Annotations of the layer's descriptor. */
  annotations?: Record<string, string>;
  signal?: AbortSignal;
}

export interface PackLayerOptions extends StoreLayerOptions {
  /** Told of each file once it is written, with its size, phase `build`. */
  onProgress?: OnProgress;
}

/** Writes entries as a tar, and stores that. */
export function packLayer(entries: TarSources, options: PackLayerOptions): Promise<Layer> {
  const { signal, onProgress } = options;
  const onWritten = ({ path, size }: TarHeader): void =>
    onProgress?.({ phase: 'build', path, transferred: size, total: size });
  return storeLayer(writeTar(entries, { signal, onWritten, reuse: true }), options);
}

/**
 * Compresses and stores a tar, whose chunks are done with when the next is asked for. `check` may still refuse it once its diff ID is
 * known, before anything is visible.
 *
 * @throws `ARGUMENT_INVALID` for what `compress` refuses, before the tar is read.
 */
export async function storeLayer(
  tar: AsyncIterable<Uint8Array>,
  options: StoreLayerOptions = {},
  check: (diffId: string) => void = () => {},
): Promise<Layer> {
  const { store = blobStore(new MemoryStorage()), compression = 'gzip', signal, annotations } = options;
  const hasher = createHasher();
  let diffId = '';
  const hashed = hashing(tar, hasher, () => {
    diffId = hasher.digest();
    check(diffId);
  });
  const blob = compress(hashed, compression, { ...options.gzip, signal });
  const mediaType = layerTypes[compression];
  const descriptor = await store.write(blob, annotations ? { mediaType, annotations } : { mediaType }, { signal });
  return layerFrom(store, descriptor, diffId);
}

const layerTypes = {
  gzip: mediaTypes.layerGzip,
  zstd: mediaTypes.layerZstd,
  none: mediaTypes.layer,
} as const;

async function* hashing(
  chunks: AsyncIterable<Uint8Array>,
  hasher: Hasher,
  done: () => void,
): AsyncGenerator<Uint8Array, void, void> {
  for await (const chunk of chunks) {
    hasher.update(chunk);
    yield chunk;
  }
  done();
}

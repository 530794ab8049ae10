/** A layer's entries: blob, decompression and tar in one stream, with faults that name the layer. */
import { readChunks } from '../bytes/byte-source.ts';
import { decompress } from '../bytes/compression.ts';
import { hasherFor } from '../bytes/hash.ts';
import type { OnProgress } from '../bytes/progress.ts';
import { StowageError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';
import { layerCompression } from '../oci/media-types.ts';
import { readTar, type TarEntry } from '../tar/read-tar.ts';
import type { Layer } from './layer.ts';

export interface LayerEntriesOptions {
  /** Told of what is odd but readable: a media type that its bytes belie. */
  onWarning?: (message: string) => void;
  limits?: Partial<Limits>;
  signal?: AbortSignal;
}

/**
 * The entries of a layer as its tar has them, whiteouts among them. A body that is not read is passed over, never held.
 * How the blob is compressed is told from its bytes. With `diffId`, the last entry is followed by a failure where the tar has another digest.
 *
 * @throws `TAR_INVALID`, `TAR_TRUNCATED`, `GZIP_INVALID`, `ZSTD_INVALID`, `LIMIT_EXCEEDED`, naming layer, entry and offset; `DIGEST_MISMATCH`.
 */
export function layerEntries(
  layer: Pick<Layer, 'descriptor' | 'open'>,
  options: LayerEntriesOptions & { diffId?: Digest } = {},
): AsyncGenerator<TarEntry, void, void> {
  return readEntries(layer.descriptor, blobChunks(layer, { signal: options.signal }), options);
}

/** A layer's blob, opened when it is read. `onProgress` is told of each chunk, phase `read`. */
export async function* blobChunks(
  layer: Pick<Layer, 'descriptor' | 'open'>,
  { signal, onProgress }: { signal?: AbortSignal; onProgress?: OnProgress },
): AsyncGenerator<Uint8Array, void, void> {
  const { descriptor } = layer;
  let transferred = 0;
  for await (const chunk of readChunks(await layer.open({ signal }), { signal })) {
    yield chunk;
    transferred += chunk.length;
    onProgress?.({ phase: 'read', descriptor, transferred, total: descriptor.size });
  }
}

/** The entries of a layer whose blob is at hand. See {@link layerEntries}. */
export async function* readEntries(
  { digest, mediaType }: Descriptor,
  blob: AsyncIterable<Uint8Array>,
  options: LayerEntriesOptions & { diffId?: Digest } = {},
): AsyncGenerator<TarEntry, void, void> {
  const { limits, signal, onWarning, diffId } = options;
  const what = `layer ${digest}`;
  const { compression, chunks } = await decompress(blob, { limits, signal, what });
  const declared = layerCompression(mediaType);
  if (declared !== undefined && declared !== compression) {
    onWarning?.(
      `Layer ${digest} is ${mediaType}, but its bytes are ${compression === 'none' ? 'not compressed' : compression}. Read as what they are.`,
    );
  }
  const tar = diffId === undefined ? chunks : verifyDiffId(chunks, diffId, what);
  const last: { entry?: TarEntry } = {};
  for await (const entry of readTar(locateFaults(tar, last), { limits, signal, what })) {
    last.entry = entry;
    yield entry;
  }
}

/** What is wrong with the compressed bytes, said with the entry at which it was noticed: their own offset tells nobody which. */
async function* locateFaults(
  chunks: AsyncIterable<Uint8Array>,
  last: { entry?: TarEntry },
): AsyncGenerator<Uint8Array, void, void> {
  try {
    for await (const chunk of chunks) yield chunk;
  } catch (error) {
    if (!(error instanceof StowageError) || !faultsOfBytes.has(error.code)) throw error;
    const { header, offset } = last.entry ?? {};
    const where = header
      ? `The last entry that was begun is ${JSON.stringify(header.path)}, at byte ${offset} of the tar.`
      : 'No entry was begun.';
    const details = { ...error.details, ...(header && { entry: header.path, entryOffset: offset }) };
    throw new StowageError(error.code, `${error.message} ${where}`, details, { cause: error });
  }
}

const faultsOfBytes: ReadonlySet<string> = new Set(['GZIP_INVALID', 'ZSTD_INVALID', 'LIMIT_EXCEEDED']);

async function* verifyDiffId(
  chunks: AsyncIterable<Uint8Array>,
  diffId: Digest,
  what: string,
): AsyncGenerator<Uint8Array, void, void> {
  const hasher = await hasherFor(parseDigest(diffId).algorithm);
  for await (const chunk of chunks) {
    hasher.update(chunk);
    yield chunk;
  }
  const actual = hasher.digest();
  if (actual === diffId) return;
  throw new StowageError(
    'DIGEST_MISMATCH',
    `${what}: its tar has the digest ${actual}, but the config says ${diffId}. Config and layer do not belong together; build or fetch the image anew.`,
    { expected: diffId, actual },
  );
}

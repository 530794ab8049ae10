/** A layer's entries: blob, decompression and tar in one stream, with faults that name the layer. */
import { readChunks } from '../bytes/byte-source.ts';
import { decompress } from '../bytes/compression.ts';
import { hasherFor } from '../bytes/hash.ts';
import { StowageError } from '../errors.ts';
import type { Limits } from '../limits.ts';
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
 * @throws `TAR_INVALID`, `TAR_TRUNCATED`, `GZIP_INVALID`, `DIGEST_MISMATCH`, `LIMIT_EXCEEDED`, naming the layer.
 */
export async function* layerEntries(
  layer: Pick<Layer, 'descriptor' | 'open'>,
  options: LayerEntriesOptions & { diffId?: Digest } = {},
): AsyncGenerator<TarEntry, void, void> {
  const { limits, signal, onWarning, diffId } = options;
  const { digest, mediaType } = layer.descriptor;
  const what = `layer ${digest}`;
  const blob = readChunks(await layer.open({ signal }), { signal });
  const { compression, chunks } = await decompress(blob, { limits, signal, what });
  const declared = layerCompression(mediaType);
  if (declared !== undefined && declared !== compression) {
    onWarning?.(
      `Layer ${digest} is ${mediaType}, but its bytes are ${compression === 'none' ? 'not compressed' : compression}. Read as what they are.`,
    );
  }
  yield* readTar(diffId === undefined ? chunks : verifyDiffId(chunks, diffId, what), { limits, signal, what });
}

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

/** Zstandard compression (RFC 8878) by the runtime, where it has it: there is no portable encoder. */
import { StowageError } from '../errors.ts';
import { atLeast } from './chunks.ts';
import { type NodeCompressor, pumpNode } from './native-compressor.ts';
import { nativeModule } from './runtime.ts';

/**
 * The chunks, compressed: one zstd frame with a checksum. Its bytes differ between releases of the runtime.
 *
 * @throws `RUNTIME_UNSUPPORTED` where the runtime has no zstd (Node before 22.15, browsers).
 */
export function zstd(
  chunks: AsyncIterable<Uint8Array>,
  options: { signal?: AbortSignal } = {},
): AsyncIterable<Uint8Array> {
  const zlib = nativeModule<NodeZstd>('node:zlib');
  const checksum = zlib?.constants?.ZSTD_c_checksumFlag;
  if (zlib?.createZstdCompress === undefined || checksum === undefined) {
    throw new StowageError(
      'RUNTIME_UNSUPPORTED',
      "This runtime cannot write zstd (Node can from 22.15 on). Use { compression: 'gzip' }.",
    );
  }
  const stream = zlib.createZstdCompress({ chunkSize: 65536, params: { [checksum]: 1 } });
  return atLeast(pumpNode(chunks, options.signal, stream));
}

interface NodeZstd {
  constants?: { ZSTD_c_checksumFlag?: number };
  createZstdCompress?: (options: { chunkSize: number; params: Record<number, number> }) => NodeCompressor;
}

/** The same layers, compressed otherwise: their diff IDs and the image's config stay, its manifest changes. */
import { readChunks } from '../bytes/byte-source.ts';
import { checkCompression } from '../bytes/compress.ts';
import { load } from '../bytes/load.ts';
import { StowageError } from '../errors.ts';
import type { Layer } from '../layer/layer.ts';
import { contentAnnotations, type RewriteLayerOptions } from '../layer/rewrite-layer.ts';
import { storeLayer } from '../layer/store-layer.ts';
import { isNonDistributable, layerCompression } from '../oci/media-types.ts';
import type { Image } from './image.ts';
import { isDocker } from './media-family.ts';
import { replaceLayers, rewriteOptions } from './replace-layers.ts';

export type RecompressOptions = Omit<RewriteLayerOptions, 'compression' | 'annotations' | 'mtime'>;

/**
 * The image with its layers in this compression. Those whose media type says that they have it already are not read, and
 * neither are non-distributable ones, which are somebody else's. Each layer is held against its diff ID on the way.
 *
 * @throws `DIGEST_MISMATCH` for a layer that is not what its diff ID says; `RUNTIME_UNSUPPORTED` for zstd where the runtime
 * cannot write it; `MEDIA_TYPE_UNSUPPORTED` for zstd in an image of Docker's, which has no such layers; `ARGUMENT_INVALID`.
 * @example
 * const smaller = await recompress(await Image.from(layout, 'app:1'), 'zstd');
 */
export async function recompress(
  image: Image,
  compression: 'gzip' | 'zstd' | 'none',
  options: RecompressOptions = {},
): Promise<Image> {
  checkCompression(compression);
  if (compression === 'zstd' && isDocker(image.manifest.mediaType)) {
    throw new StowageError(
      'MEDIA_TYPE_UNSUPPORTED',
      "Docker's schema 2 has no zstd layers. Convert the image with toOci() first.",
    );
  }
  return replaceLayers(image, (layer) => {
    const { mediaType } = layer.descriptor;
    const now = layerCompression(mediaType);
    if (now === compression || now === undefined || isNonDistributable(mediaType)) return layer;
    return recompressLayer(layer, { ...rewriteOptions(image, options), compression });
  });
}

async function recompressLayer(layer: Layer, options: RewriteLayerOptions): Promise<Layer> {
  const { limits, signal, onProgress } = options;
  const { digest } = layer.descriptor;
  const blob = readChunks(await layer.open({ signal }), { signal });
  const { decompress } = await load(() => import('../bytes/compression.ts'));
  const { chunks } = await decompress(blob, { limits, signal, what: `layer ${digest}` });
  const told = onProgress ? reported(chunks, digest, onProgress) : chunks;
  return storeLayer(told, { ...options, annotations: contentAnnotations(layer) }, (diffId) => {
    if (diffId === layer.diffId) return;
    throw new StowageError(
      'DIGEST_MISMATCH',
      `Layer ${digest} uncompressed has the digest ${diffId}, not its diff ID ${layer.diffId}. The image is broken; build or fetch it anew.`,
      { digest, expected: layer.diffId, actual: diffId },
    );
  });
}

async function* reported(
  chunks: AsyncIterable<Uint8Array>,
  path: string,
  onProgress: NonNullable<RewriteLayerOptions['onProgress']>,
): AsyncGenerator<Uint8Array> {
  let transferred = 0;
  for await (const chunk of chunks) {
    yield chunk;
    transferred += chunk.length;
    onProgress({ phase: 'build', path, transferred });
  }
}

/** Files into a layer blob: tar, two digests, gzip and storing in one pass, with memory bounded by constants. */
import { load } from '../bytes/load.ts';
import type { CreateLayerOptions, LayerFiles } from './file.ts';
import type { Layer } from './layer.ts';

/**
 * Packs files into a layer. The same set of files, in any order and any chunks, gives the same bytes: entries are sorted
 * by path, times and owners come from the options (layer.md).
 *
 * @throws `PATH_INVALID`, `PATH_DUPLICATE`, `FILE_INVALID` for files that cannot be packed, `SIZE_MISMATCH` where a body
 * is not as long as its `size`, `LIMIT_EXCEEDED` for a body of unknown size past `bufferedBytes`. Nothing is stored then.
 * @example
 * const layer = await createLayer([{ path: 'etc/motd', body: 'hello\n' }]);
 */
export async function createLayer(files: LayerFiles, options: CreateLayerOptions = {}): Promise<Layer> {
  // Loaded when asked for: whoever only configures and saves an image packs no files.
  const { packFiles } = await load(() => import('./pack-files.ts'));
  return packFiles(files, options);
}

/** Files into a layer blob: tar, two digests, gzip and storing in one pass, with memory bounded by constants. */
import { type ByteSource, readBytes } from '../bytes/byte-source.ts';
import { checkCompression, expectMuch } from '../bytes/compress.ts';
import { load } from '../bytes/load.ts';
import { StowageError } from '../errors.ts';
import { type Limits, resolveLimits } from '../limits.ts';
import { type TarSource, withPath } from '../tar/write-tar.ts';
import type { LayerFiles } from './file.ts';
import type { Layer } from './layer.ts';
import type { PlannedFile } from './plan-files.ts';
import { type PackLayerOptions, packLayer } from './store-layer.ts';
import { resolveTimestamp, type Timestamp } from './timestamp.ts';

export interface CreateLayerOptions extends PackLayerOptions {
  /** For files without an `mtime`, and made-up parents. Default `SOURCE_DATE_EPOCH`, else the epoch. */
  mtime?: Timestamp;
  /** Keeps fractions of a second of mtimes, in PAX records. Default false: whole seconds. */
  nanoseconds?: boolean;
  /**
   * Whether directories that no file names are made up (0755, owned by 0:0). Default true. Turn it off to leave the
   * modes and owners of a base image's directories as they are.
   */
  parents?: boolean;
  limits?: Partial<Limits>;
}

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
  const { signal } = options;
  if (options.compression !== undefined) checkCompression(options.compression);
  const limits = resolveLimits(options.limits);
  // Loaded when asked for: whoever only configures and saves an image packs no files.
  const { planFiles } = await load(() => import('./plan-files.ts'));
  let compressed = (): void => {};
  try {
    const planned = await planFiles(files, {
      mtime: resolveTimestamp(options.mtime),
      nanoseconds: options.nanoseconds ?? false,
      parents: options.parents ?? true,
      limits,
      signal,
      onLarge: () => {
        compressed = expectMuch(options.compression ?? 'gzip', options.gzip ?? {});
      },
    });
    return await packLayer(sources(planned, limits, signal), options);
  } finally {
    compressed();
  }
}

/** What is to be written for a planned file. A body of unknown size is held, to learn it. */
export function tarSource(
  { header, body }: PlannedFile,
  limits: Limits,
  signal?: AbortSignal,
): TarSource | Promise<TarSource> {
  if (body === undefined) return header;
  if (header.size >= 0) return { ...header, body };
  return bufferBody(header.path, body, limits, signal).then((bytes) => ({
    ...header,
    size: bytes.length,
    body: bytes,
  }));
}

function* sources(
  planned: readonly PlannedFile[],
  limits: Limits,
  signal: AbortSignal | undefined,
): Generator<TarSource | Promise<TarSource>> {
  for (const file of planned) yield tarSource(file, limits, signal);
}

/** A tar header comes before its body and says its size, so a body of unknown size must be held to be counted. */
async function bufferBody(path: string, body: ByteSource, limits: Limits, signal?: AbortSignal): Promise<Uint8Array> {
  try {
    return await readBytes(body, { maximum: limits.bufferedBytes, what: `File ${JSON.stringify(path)}`, signal });
  } catch (error) {
    if (!(error instanceof StowageError) || error.code !== 'LIMIT_EXCEEDED') throw withPath(error, path);
    throw new StowageError(
      'LIMIT_EXCEEDED',
      `File ${JSON.stringify(path)} is a stream of unknown size past bufferedBytes = ${limits.bufferedBytes}. Give its size, so that it need not be held in memory.`,
      { ...error.details, path },
      { cause: error },
    );
  }
}

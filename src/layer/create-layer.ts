/** Files into a layer blob: tar, two digests, gzip and storing in one pass, with memory bounded by constants. */
import { type ByteSource, readBytes, readChunks } from '../bytes/byte-source.ts';
import { checkCompression } from '../bytes/compress.ts';
import { load } from '../bytes/load.ts';
import type { OnProgress } from '../bytes/progress.ts';
import { StowageError } from '../errors.ts';
import { type Limits, resolveLimits } from '../limits.ts';
import { type TarSource, writeTar } from '../tar/write-tar.ts';
import type { LayerFiles } from './file.ts';
import type { Layer } from './layer.ts';
import type { PlannedFile } from './plan-files.ts';
import { type StoreLayerOptions, storeLayer } from './store-layer.ts';
import { resolveTimestamp, type Timestamp } from './timestamp.ts';

export interface CreateLayerOptions extends StoreLayerOptions {
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
  /** Told of the tar bytes of each file, phase `build`. */
  onProgress?: OnProgress;
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
  const planned = await planFiles(files, {
    mtime: resolveTimestamp(options.mtime),
    nanoseconds: options.nanoseconds ?? false,
    parents: options.parents ?? true,
    limits,
    signal,
  });
  return storeLayer(writeTar(tarSources(planned, limits, options), { signal }), options);
}

/** What is to be written for a planned file. A body of unknown size is held, to learn it. */
export async function tarSource(file: PlannedFile, limits: Limits, signal?: AbortSignal): Promise<TarSource> {
  const { header, body } = file;
  if (body === undefined) return header;
  if (header.size < 0) {
    const bytes = await bufferBody(header.path, body, limits, signal);
    return { ...header, size: bytes.length, body: bytes };
  }
  if (typeof body === 'string') return { ...header, body: new TextEncoder().encode(body) };
  // One that looks empty may have been transferred: reading it tells.
  const isAtHand = body instanceof Uint8Array && body.length > 0;
  return { ...header, body: isAtHand ? body : readBody(header.path, body, signal) };
}

async function* tarSources(
  planned: PlannedFile[],
  limits: Limits,
  options: CreateLayerOptions,
): AsyncGenerator<TarSource> {
  const { signal, onProgress } = options;
  for (const file of planned) {
    signal?.throwIfAborted();
    const source = await tarSource(file, limits, signal);
    yield source;
    onProgress?.({ phase: 'build', path: source.path, transferred: source.size, total: source.size });
  }
}

/** Bodies know nothing of files: what is wrong with one is told with the name of its file. */
async function* readBody(path: string, body: ByteSource, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    yield* readChunks(body, { signal });
  } catch (error) {
    throw withPath(error, path);
  }
}

function withPath(error: unknown, path: string): unknown {
  if (!(error instanceof StowageError) || error.details.path !== undefined) return error;
  if (error.code !== 'BODY_CONSUMED' && error.code !== 'ARGUMENT_INVALID') return error;
  const message = `File ${JSON.stringify(path)}: ${error.message}`;
  return new StowageError(error.code, message, { ...error.details, path }, { cause: error });
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

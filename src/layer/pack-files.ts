/** The part of `createLayer` that is loaded when it is called: files are planned, and then written one by one. */
import { type ByteSource, readBytes } from '../bytes/byte-source.ts';
import { checkCompression } from '../bytes/compress.ts';
import { expectMuch } from '../bytes/expect-much.ts';
import { checkGzip } from '../bytes/gzip.ts';
import { StowageError } from '../errors.ts';
import { type Limits, resolveLimits } from '../limits.ts';
import { type TarSource, withPath } from '../tar/write-tar.ts';
import type { CreateLayerOptions, LayerFile, LayerFiles } from './file.ts';
import type { Layer } from './layer.ts';
import { type PlanOptions, planFile, planFiles } from './plan-files.ts';
import { packLayer } from './store-layer.ts';
import { resolveTimestamp } from './timestamp.ts';

/** See `createLayer`. */
export async function packFiles(files: LayerFiles, options: CreateLayerOptions): Promise<Layer> {
  const { compression = 'gzip', gzip = {}, nanoseconds = false, parents = true, signal } = options;
  checkCompression(compression);
  checkGzip(gzip);
  const limits = resolveLimits(options.limits);
  let compressed = (): void => {};
  const onLarge = (): void => {
    compressed = expectMuch(compression, gzip);
  };
  try {
    const mtime = resolveTimestamp(options.mtime);
    const planned = await planFiles(files, { mtime, nanoseconds, parents, limits, onLarge, signal });
    return await packLayer(sources(planned, limits, signal), options);
  } finally {
    compressed();
  }
}

/** What is to be written for one file. */
export function fileSource(
  file: LayerFile,
  options: PlanOptions & { signal?: AbortSignal },
): TarSource | Promise<TarSource> {
  return ofKnownSize(planFile(file, options), options.limits, options.signal);
}

function* sources(
  planned: readonly TarSource[],
  limits: Limits,
  signal: AbortSignal | undefined,
): Generator<TarSource | Promise<TarSource>> {
  for (const file of planned) yield ofKnownSize(file, limits, signal);
}

function ofKnownSize(file: TarSource, limits: Limits, signal: AbortSignal | undefined): TarSource | Promise<TarSource> {
  if (file.size >= 0) return file;
  return bufferBody(file.path, file.body!, limits, signal).then((body) => ({ ...file, size: body.length, body }));
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

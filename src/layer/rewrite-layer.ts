/** A layer out of another: its entries, in their order, through a function and into a new blob, body by body. */
import { load } from '../bytes/load.ts';
import type { OnProgress } from '../bytes/progress.ts';
import { StowageError } from '../errors.ts';
import { type Limits, resolveLimits } from '../limits.ts';
import type { TarHeader } from '../tar/entry.ts';
import type { TarEntry } from '../tar/read-tar.ts';
import type { TarSource } from '../tar/write-tar.ts';
import type { LayerFile } from './file.ts';
import type { Layer } from './layer.ts';
import { type PackLayerOptions, packLayer } from './store-layer.ts';
import { resolveTimestamp, type Timestamp } from './timestamp.ts';

/**
 * An entry on its way from one layer to another, as the tar has it: whiteouts are files called `.wh.…`. Its body can be
 * read once, and only until the next entry is asked for; one that is not read is passed over.
 */
export type LayerEntry = TarHeader & {
  body?: Uint8Array | AsyncIterable<Uint8Array>;
  /** Where its header starts in the uncompressed layer that it was read from. */
  readonly offset?: number;
};

/** What a rewritten layer is made of: entries as they came or changed, and new files in the short form of `createLayer`. */
export type RewrittenEntries = AsyncIterable<LayerEntry | LayerFile> | Iterable<LayerEntry | LayerFile>;

export interface RewriteLayerOptions extends PackLayerOptions {
  /** For new files without an `mtime`. Default `SOURCE_DATE_EPOCH`, else the epoch. */
  mtime?: Timestamp;
  /** Told of what is odd but readable: a media type that its bytes belie. */
  onWarning?: (message: string) => void;
  /** Told of each file as it is written, phase `build`; and before that, where names are to be known first, of each layer, phase `read`. */
  onProgress?: OnProgress;
  limits?: Partial<Limits>;
}

/**
 * The layer that `map` makes of this one's entries. Order, times to the nanosecond, names of owners, extended attributes
 * and device numbers are kept; a sparse file is written out with its holes as zeros. The layer is read to its end, and so
 * verified, though `map` may stop before.
 *
 * @throws what reading the layer throws, `FILE_INVALID`, `SIZE_MISMATCH` for what cannot be written. Nothing is stored then.
 */
export async function rewriteLayer(
  layer: Layer,
  map: (entries: AsyncIterable<LayerEntry>) => RewrittenEntries,
  options: RewriteLayerOptions = {},
): Promise<Layer> {
  return packLayer(mapped(layer, map, options), {
    ...options,
    annotations: options.annotations ?? contentAnnotations(layer),
  });
}

/** An entry that was read, as one to write. */
export function asSource(header: TarHeader, body: AsyncIterable<Uint8Array>): LayerEntry {
  if (header.type === 'file') return { ...header, body };
  // A pax archive may give a hard link the file's content once more.
  return { ...header, size: 0 };
}

/** Annotations of a layer that say nothing of its very bytes, unlike those of blobs that can be read by ranges. */
export function contentAnnotations({ descriptor }: Layer): Record<string, string> | undefined {
  const kept = Object.entries(descriptor.annotations ?? {}).filter(([key]) => !ofBytes.test(key));
  return kept.length > 0 ? Object.fromEntries(kept) : undefined;
}

/** eStargz, zstd:chunked and SOCI say with these where in the blob things lie. */
const ofBytes = /^(containerd\.io\/snapshot\/|io\.containers\.estargz\.|io\.github\.containers\.zstd-chunked\.)/;

async function* mapped(
  layer: Layer,
  map: (entries: AsyncIterable<LayerEntry>) => RewrittenEntries,
  options: RewriteLayerOptions,
): AsyncGenerator<TarSource> {
  const { signal } = options;
  const limits = resolveLimits(options.limits);
  const entries = layer.entries(options)[Symbol.asyncIterator]();
  const mtime = resolveTimestamp(options.mtime);
  const planned = async (file: LayerFile): Promise<TarSource> => {
    const { fileSource } = await load(() => import('./pack-files.ts'));
    return fileSource(file, { mtime, nanoseconds: true, limits, signal });
  };
  try {
    for await (const entry of map(sources(entries))) {
      if (typeof entry !== 'object' || entry === null) {
        throw new StowageError('FILE_INVALID', `An entry is ${String(entry)}. Give each as an object: { path, body }.`);
      }
      yield isComplete(entry) ? entry : await planned(entry);
    }
    while (!(await entries.next()).done);
  } finally {
    await entries.return?.();
  }
}

/** Without a `return`: a function that stops early does not keep the rest from being verified. */
function sources(entries: AsyncIterator<TarEntry>): AsyncIterable<LayerEntry> {
  const next = async (): Promise<IteratorResult<LayerEntry, undefined>> => {
    const { done, value } = await entries.next();
    if (done) return { done, value: undefined };
    const { header, body, offset } = value;
    return { done: false, value: { ...asSource(header, body), offset } };
  };
  return { [Symbol.asyncIterator]: () => ({ next }) };
}

function isComplete(entry: LayerEntry | LayerFile): entry is LayerEntry {
  const { type, size, mode, uid, gid, mtime, body } = entry;
  const isWhole = [size, mode, uid, gid, mtime].every((value) => typeof value === 'number');
  const isReady = body === undefined || body instanceof Uint8Array || Symbol.asyncIterator in Object(body);
  return isWhole && isReady && type !== undefined && Number.isInteger(mtime);
}

/**
 * A layer as the changeset that layer.md says it is: whiteouts, which act on the layers below, and entries, which act after
 * them, both with their paths in one form. Only metadata is held; where a body lies is an offset.
 */
import type { OnProgress } from '../bytes/progress.ts';
import { StowageError } from '../errors.ts';
import { type Limits, limitExceeded, resolveLimits } from '../limits.ts';
import { isNonDistributable } from '../oci/media-types.ts';
import type { TarHeader } from '../tar/entry.ts';
import type { Layer } from './layer.ts';
import { blobChunks, type LayerEntriesOptions, readEntries } from './layer-entries.ts';

/** What a whiteout's name says: `path` is gone, or the directory `path` (`''` for the root) shows nothing of lower layers. */
export interface Whiteout {
  kind: 'whiteout' | 'opaque';
  path: string;
}

/** An entry that is no whiteout. */
export interface LayerChange {
  /** As {@link normalizeEntryPath} gives it. */
  path: string;
  /** As the tar has it, but for a hard link's `linkTarget`, which is in the form of `path`. */
  header: TarHeader;
  /** Where the entry's header starts in the uncompressed layer: it finds the body again. */
  offset: number;
}

/** What one layer does to those below it: first all whiteouts, wherever they stood in the tar, then the changes in order. */
export interface Changeset {
  /** The subject of error messages: `layer sha256:…`. */
  what: string;
  whiteouts: readonly (Whiteout & { offset: number })[];
  changes: readonly LayerChange[];
  /** What holding it costs, counted against the limit `indexBytes`. */
  bytes: number;
}

/** `.wh.`: what the names of whiteouts begin with (layer.md, "Whiteouts"). */
export const whiteoutPrefix = '.wh.';

/** The name of an opaque whiteout (layer.md, "Opaque Whiteout"). */
export const opaqueWhiteout = '.wh..wh..opq';

/**
 * What the normalised path of an entry says, if it is a whiteout's.
 *
 * @throws `PATH_INVALID` for `.wh.` without a name, and for one that names `.` or `..`.
 */
export function readWhiteout(path: string): Whiteout | undefined {
  const start = path.lastIndexOf('/') + 1;
  if (!path.startsWith(whiteoutPrefix, start)) return undefined;
  const name = path.slice(start + whiteoutPrefix.length);
  if (path.length - start === opaqueWhiteout.length && path.endsWith(opaqueWhiteout)) {
    return { kind: 'opaque', path: path.slice(0, Math.max(0, start - 1)) };
  }
  if (name === '' || name === '.' || name === '..') {
    throw new StowageError('PATH_INVALID', `${JSON.stringify(path)} is a whiteout that names no file.`, { path });
  }
  return { kind: 'whiteout', path: path.slice(0, start) + name };
}

/** The path of the whiteout that takes `path` away, the other way round from {@link readWhiteout}. */
export function whiteoutPath(path: string): string {
  const start = path.lastIndexOf('/') + 1;
  return path.slice(0, start) + whiteoutPrefix + path.slice(start);
}

/**
 * A path of a layer's tar in the one form that is used here: relative to the root, without `.`, `//` and slashes at the
 * end; `''` for the root. A leading `/` or `./` means nothing.
 *
 * @throws `PATH_INVALID` for what is empty, holds a NUL, or a `..`, even one that would not lead out.
 */
export function normalizeEntryPath(path: string): string {
  if (path === '') throw refused(path, 'is empty');
  if (path.includes('\0')) throw refused(path, 'holds a NUL byte');
  if (!unusual.test(path)) return path;
  const segments = path.split('/').filter((segment) => segment !== '' && segment !== '.');
  if (segments.includes('..')) throw refused(path, 'holds ".."');
  return segments.join('/');
}

export interface ReadNamesOptions extends LayerEntriesOptions {
  /** Told of each layer as its names are read, phase `read`: bytes of its blob. */
  onProgress?: OnProgress;
}

/**
 * Reads a layer's metadata in one pass. A non-distributable layer whose blob is absent is one without changes, of which
 * `onWarning` is told.
 *
 * @throws what `layerEntries` throws; `PATH_INVALID`, `LIMIT_EXCEEDED` (`pathDepth`, `indexBytes`). Each names the layer,
 * and where it is an entry's fault, that entry and its offset.
 */
export async function readChangeset(layer: Layer, options: ReadNamesOptions = {}): Promise<Changeset> {
  const what = `layer ${layer.descriptor.digest}`;
  const limits = resolveLimits(options.limits);
  const whiteouts: (Whiteout & { offset: number })[] = [];
  const changes: LayerChange[] = [];
  let bytes = 0;
  try {
    for await (const { header, offset } of readEntries(layer.descriptor, blobChunks(layer, options), options)) {
      bytes += weightOf(header);
      if (bytes > limits.indexBytes) throw limitExceeded('indexBytes', limits, `${what}: its index of names`);
      const change = readChange(header, offset, what, limits);
      if (change === undefined) {
        const path = JSON.stringify(header.path);
        options.onWarning?.(`${what}: entry ${path} at byte ${offset} lies in a whiteout. It was passed over.`);
      } else if ('kind' in change) {
        whiteouts.push({ ...change, offset });
      } else {
        changes.push(change);
      }
    }
  } catch (error) {
    if (!isAbsent(error, layer)) throw error;
    options.onWarning?.(`${what} is non-distributable and not held here. Its files were passed over.`);
  }
  return { what, whiteouts, changes, bytes };
}

/** What an entry weighs in memory, about: measured, and rounded up, with its node in a tree. */
export function weightOf(header: TarHeader): number {
  let weight = nodeWeight + 2 * (header.path.length + (header.linkTarget?.length ?? 0));
  for (const name in header.xattrs) weight += nodeWeight + header.xattrs[name]!.length;
  return weight;
}

/** What a directory weighs that no entry names. */
export const nodeWeight = 400;

/** A path that may need work: a segment that is empty or begins with a dot, or a slash at either end. */
const unusual = /^[./]|\/[./]|\/$/;

/**
 * An entry as what it does; `undefined` for what lies in a folder of AUFS.
 *
 * @throws `PATH_INVALID`, `LIMIT_EXCEEDED` (`pathDepth`), naming layer, entry and offset.
 */
export function readChange(
  header: TarHeader,
  offset: number,
  what: string,
  limits: Limits,
): LayerChange | Whiteout | undefined {
  const atEntry = (error: unknown): unknown => {
    if (!(error instanceof StowageError)) return error;
    const where = `${what}: entry ${JSON.stringify(header.path)} at byte ${offset}`;
    return new StowageError(
      error.code,
      `${where}: ${error.message} Do not trust this layer; build it anew.`,
      { ...error.details, entry: header.path, offset },
      { cause: error },
    );
  };
  try {
    const path = normalizeEntryPath(header.path);
    checkDepth(path, limits, `${what}: entry ${JSON.stringify(header.path.slice(0, 200))} at byte ${offset}`);
    const whiteout = readWhiteout(path);
    if (whiteout !== undefined) return liesInWhiteout(whiteout.path) ? undefined : whiteout;
    if (liesInWhiteout(path)) return undefined;
    if (header.type !== 'hardlink') return { path, header, offset };
    const linkTarget = normalizeEntryPath(header.linkTarget ?? '');
    return { path, header: linkTarget === header.linkTarget ? header : { ...header, linkTarget }, offset };
  } catch (error) {
    throw error instanceof StowageError && error.code === 'PATH_INVALID' ? atEntry(error) : error;
  }
}

/** AUFS kept folders of its own under such names, and old layers have them; no image can. */
function liesInWhiteout(path: string): boolean {
  return (
    path.includes('.wh.') &&
    path
      .split('/')
      .slice(0, -1)
      .some((segment) => segment.startsWith(whiteoutPrefix))
  );
}

function checkDepth(path: string, limits: Limits, what: string): void {
  let depth = 1;
  for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) depth++;
  if (depth > limits.pathDepth) throw limitExceeded('pathDepth', limits, what, { depth });
}

function refused(path: string, why: string): StowageError {
  return new StowageError('PATH_INVALID', `The path ${JSON.stringify(path)} ${why}.`, { path });
}

/** Whether the error says that a layer which need not be held is not. */
export function isAbsent(error: unknown, layer: Layer): boolean {
  const { code, details } = error instanceof StowageError ? error : {};
  return (
    code === 'BLOB_NOT_FOUND' &&
    details?.digest === layer.descriptor.digest &&
    isNonDistributable(layer.descriptor.mediaType)
  );
}

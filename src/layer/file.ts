/** What a caller hands in to be packed: files as plain data, checked and made into tar headers in the one order that a layer has. */
import type { TarFileItem } from 'nanotar';
import { type ByteSource, byteLength } from '../bytes/byte-source.ts';
import { environment } from '../bytes/runtime.ts';
import { StowageError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import { limitExceeded } from '../limits.ts';
import { checkHeader, fileInvalid } from '../tar/check-header.ts';
import type { EntryType, TarHeader } from '../tar/entry.ts';
import { compareBytes, encodeText } from '../tar/text.ts';

/** A file, directory, link or device that a layer is to hold. */
export interface LayerFile {
  /** Where it goes in the image: `app/server`; a leading `/` or `./` means the same. `..` is refused, `/` names the root directory itself. */
  path: string;
  /** Default `file`; `directory` where `path` ends in `/`. */
  type?: EntryType;
  /** The content of a `file`; default empty. */
  body?: ByteSource;
  /** Bytes in `body`. Needed for streams that are larger than `limits.bufferedBytes`. */
  size?: number;
  /** Permission, set-id and sticky bits, 0 to 0o7777. Default 0o755 for directories, 0o777 for symlinks, 0o644 for all else. */
  mode?: number;
  /** Default 0. */
  uid?: number;
  /** Default 0. */
  gid?: number;
  /** A `Date`, or seconds since the epoch. Default: the layer's `mtime` option. */
  mtime?: Date | number;
  /** Where a symlink points (kept as it is), or the path of the file that a hard link names. */
  linkTarget?: string;
  /** Extended attributes by full name (`security.capability`), values as bytes. */
  xattrs?: Record<string, Uint8Array>;
  /** Of a character or block device. */
  device?: { major: number; minor: number };
}

/** Files in any order. Items of nanotar's `parseTar` and `createTar` are taken as they are. */
export type LayerFiles = Iterable<LayerFile | TarFileItem> | AsyncIterable<LayerFile | TarFileItem>;

/** A checked file: its header, whose size is still to be learnt where `header.size` is negative, and its content. */
export interface PlannedFile {
  header: TarHeader;
  body: ByteSource | undefined;
}

/** A moment in time from an option: a `Date`, or seconds since the epoch. */
export type Timestamp = Date | number;

/**
 * Seconds since the epoch for `time`, or where that is undefined `SOURCE_DATE_EPOCH` where the runtime has an environment,
 * else 0 (reproducible-builds.org, SOURCE_DATE_EPOCH).
 */
export function resolveTimestamp(time: Timestamp | undefined): number {
  const seconds =
    time instanceof Date ? time.getTime() / 1000 : (time ?? Number(environment('SOURCE_DATE_EPOCH') || 0));
  if (Number.isFinite(seconds)) return seconds;
  throw new StowageError(
    'ARGUMENT_INVALID',
    `${time === undefined ? 'SOURCE_DATE_EPOCH' : 'A time'} is no number of seconds. Give a Date or seconds since the epoch.`,
  );
}

/**
 * All files, checked, in the order of a layer: by path, bytewise, so that parents come first; hard links after all that they
 * may name. Parents that nobody gave are made up (0755, 0:0) unless `parents` is false.
 */
export async function planFiles(
  files: LayerFiles,
  options: { mtime: number; nanoseconds: boolean; parents: boolean; limits: Limits; signal?: AbortSignal },
): Promise<PlannedFile[]> {
  const byPath = new Map<string, PlannedFile>();
  for await (const file of files) {
    options.signal?.throwIfAborted();
    if (typeof file !== 'object' || file === null)
      throw new StowageError('FILE_INVALID', `A file is ${String(file)}. Give each as an object: { path, body }.`);
    const planned = planFile(isTarItem(file) ? (await import('./tar-item.ts')).fromTarItem(file) : file, options);
    const path = planned.header.path;
    if (byPath.has(path)) {
      throw new StowageError(
        'PATH_DUPLICATE',
        `Two files have the path ${JSON.stringify(path)}. Give each path once.`,
        { path },
      );
    }
    byPath.set(path, planned);
    if (byPath.size > options.limits.tarEntries)
      throw limitExceeded('tarEntries', options.limits, 'The files of the layer');
  }
  addParents(byPath, options);
  resolveHardLinks(byPath);
  // The root, which is called `.`, has no bytes to sort by: it is everything's parent.
  const key = ({ header }: PlannedFile): string => (header.path === '.' ? '' : header.path);
  const all = [...byPath.values()].sort((a, b) => compareBytewise(key(a), key(b)));
  const isLink = (file: PlannedFile): boolean => file.header.type === 'hardlink';
  return [...all.filter((file) => !isLink(file)), ...all.filter(isLink)];
}

/**
 * A path as layers hold it: relative, without `./`, `//` or a closing `/`; `''` for the root.
 * Throws `PATH_INVALID` for what leads out of the root or holds a NUL.
 */
export function normalizePath(path: string, what = 'path'): string {
  const refuse = (why: string): StowageError =>
    new StowageError('PATH_INVALID', `The ${what} ${JSON.stringify(path)} ${why}.`, { path });
  if (typeof path !== 'string' || path === '')
    throw refuse('is empty; name the file as it shall be called in the image');
  if (path.includes('\0')) throw refuse('holds a NUL byte, which no file system takes');
  if (encodeText(path) === undefined)
    throw refuse('holds half a UTF-16 pair, which stands for no character and no byte');
  const segments = path.split('/').filter((segment) => segment !== '' && segment !== '.');
  if (segments.includes('..')) throw refuse('holds "..", which could lead out of the image; resolve it first');
  return segments.join('/');
}

/** Order of the UTF-8 bytes of two paths, which is not that of their UTF-16 code units. */
export function compareBytewise(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let index = 0; index < shorter; index++) {
    const left = a.charCodeAt(index);
    const right = b.charCodeAt(index);
    if (left === right) continue;
    // Surrogates are the only code units that sort elsewhere than the bytes they stand for.
    if ((left & 0xf800) === 0xd800 || (right & 0xf800) === 0xd800)
      return compareBytes(encodeText(a) as Uint8Array, encodeText(b) as Uint8Array);
    return left - right;
  }
  return a.length - b.length;
}

const defaultModes: Partial<Record<EntryType, number>> = { directory: 0o755, symlink: 0o777 };

/** One file, checked. */
export function planFile(
  file: LayerFile,
  options: { mtime: number; nanoseconds: boolean; limits: Limits },
): PlannedFile {
  const path = normalizePath(file.path);
  const type = file.type ?? (path === '' || file.path.endsWith('/') ? 'directory' : 'file');
  const { mtime = options.mtime } = file;
  const time = mtime instanceof Date ? +mtime / 1000 : mtime;
  const known = type !== 'file' || file.body === undefined ? 0 : byteLength(file.body);
  const size = file.size ?? known;
  const header: TarHeader = {
    path: path || '.',
    type,
    size: size ?? 0,
    mode: file.mode ?? defaultModes[type] ?? 0o644,
    uid: file.uid ?? 0,
    gid: file.gid ?? 0,
    mtime: Math.floor(time),
  };
  const invalid = (field: string, why: string): StowageError => fileInvalid(header, field, why);
  if (!Number.isFinite(time)) throw invalid('mtime', `is ${String(mtime)}; give a Date or seconds since the epoch`);
  if (options.nanoseconds) Object.assign(header, splitTime(time));
  if (path === '' && type !== 'directory') throw invalid('type', `is ${type}, but the path names the root directory`);
  for (const [what, text] of Object.entries({ path, 'link target': file.linkTarget ?? '' })) {
    if ((encodeText(text)?.length ?? 0) > options.limits.pathBytes) {
      const subject = `File ${JSON.stringify(path.length > 60 ? `${path.slice(0, 60)}…` : path)}: its ${what}`;
      throw limitExceeded('pathBytes', options.limits, subject, { path });
    }
  }
  if (file.body !== undefined && type !== 'file') throw invalid('body', `is given, but a ${type} has none`);
  if (size !== undefined && known !== undefined && size !== known && type === 'file') {
    throw new StowageError(
      'SIZE_MISMATCH',
      `File ${JSON.stringify(path)}: size is ${size}, but its body has ${known} bytes.`,
      { path, expected: size, actual: known },
    );
  }
  for (const field of ['uid', 'gid'] as const) {
    if (header[field] > idMaximum) throw invalid(field, `is ${header[field]}; give a number up to ${idMaximum}`);
  }
  if (file.linkTarget)
    header.linkTarget = type === 'hardlink' ? normalizePath(file.linkTarget, 'link target') : file.linkTarget;
  if (file.device) header.device = file.device;
  if (file.xattrs && Object.keys(file.xattrs).length > 0) {
    let bytes = 0;
    for (const [name, value] of Object.entries(file.xattrs)) bytes += name.length + (value?.length ?? 0);
    if (bytes > options.limits.paxBytes)
      throw limitExceeded('paxBytes', options.limits, `File ${JSON.stringify(path)}: its xattrs`, { path });
    header.xattrs = file.xattrs;
  }
  checkHeader(header);
  return { header: size === undefined ? { ...header, size: -1 } : header, body: file.body };
}

/** What user and group numbers of Linux can be. */
const idMaximum = 0xffff_ffff;

/** A double has room for microseconds beside today's seconds; what lies below is noise. */
function splitTime(time: number): Pick<TarHeader, 'mtime' | 'nanoseconds'> {
  const mtime = Math.floor(time);
  const microseconds = Math.round((time - mtime) * 1e6);
  if (microseconds === 0) return { mtime };
  return microseconds < 1e6 ? { mtime, nanoseconds: microseconds * 1000 } : { mtime: mtime + 1 };
}

function addParents(byPath: Map<string, PlannedFile>, options: { mtime: number; parents: boolean }): void {
  for (const path of [...byPath.keys()]) {
    for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
      const parent = path.slice(0, slash);
      const known = byPath.get(parent);
      if (!known) {
        if (!options.parents) continue;
        const header: TarHeader = {
          path: parent,
          type: 'directory',
          size: 0,
          mode: 0o755,
          uid: 0,
          gid: 0,
          mtime: Math.floor(options.mtime),
        };
        byPath.set(parent, { header, body: undefined });
      } else if (known.header.type === 'directory') {
        break;
      } else if (known.header.type !== 'symlink') {
        throw new StowageError(
          'FILE_INVALID',
          `File ${JSON.stringify(path)} lies under ${JSON.stringify(parent)}, which is a ${known.header.type}.`,
          { path, parent },
        );
      } else {
        throw new StowageError(
          'FILE_INVALID',
          `File ${JSON.stringify(path)} lies under ${JSON.stringify(parent)}, which is a symlink. Put it where the link points.`,
          { path, parent },
        );
      }
    }
  }
}

/** A reader makes links in the order of the archive, so a link to a link must name what the first one names. */
function resolveHardLinks(byPath: Map<string, PlannedFile>): void {
  for (const { header } of byPath.values()) {
    if (header.type !== 'hardlink') continue;
    const seen = new Set([header.path]);
    let target = byPath.get(header.linkTarget as string);
    while (target?.header.type === 'hardlink') {
      if (seen.has(target.header.path)) {
        throw new StowageError(
          'FILE_INVALID',
          `Hard links name one another in a circle at ${JSON.stringify(header.path)}.`,
          { path: header.path },
        );
      }
      seen.add(target.header.path);
      header.linkTarget = target.header.linkTarget;
      target = byPath.get(header.linkTarget as string);
    }
    if (target?.header.type === 'directory') {
      throw new StowageError(
        'FILE_INVALID',
        `Hard link ${JSON.stringify(header.path)} names the directory ${JSON.stringify(target.header.path)}; directories cannot be linked.`,
        { path: header.path },
      );
    }
  }
}

/** A file of ours may well have a `name` too, as a `File` spread into one has. */
function isTarItem(file: LayerFile | TarFileItem): file is TarFileItem {
  return 'name' in file && !('path' in file);
}

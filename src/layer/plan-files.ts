/** Files to be packed, checked and made into tar headers in the one order that a layer has. */
import type { TarFileItem } from 'nanotar';
import { type ByteSource, byteLength } from '../bytes/byte-source.ts';
import { load } from '../bytes/load.ts';
import { StowageError } from '../errors.ts';
import { type Limits, limitExceeded } from '../limits.ts';
import { checkHeader, fileInvalid } from '../tar/check-header.ts';
import type { EntryType, TarHeader } from '../tar/entry.ts';
import { encodeText } from '../tar/text.ts';
import type { LayerFile, LayerFiles } from './file.ts';
import { normalizePath } from './path.ts';
import { compareBytewise } from './path-order.ts';

/** A checked file: its header, whose size is still to be learnt where `header.size` is negative, and its content. */
export interface PlannedFile {
  header: TarHeader;
  body: ByteSource | undefined;
}

/** How a file is planned. */
export interface PlanOptions {
  /** Of files without one, in seconds. */
  mtime: number;
  /** Whether fractions of a second are kept. */
  nanoseconds: boolean;
  limits: Limits;
}

/** Bytes in files from which on a layer is large: more than one thread packs it faster. */
const large = 16 * 1024 * 1024;

/**
 * All files, checked, in the order of a layer: by path, bytewise, so that parents come first; hard links after all that they
 * may name. Parents that nobody gave are made up (0755, 0:0) unless `parents` is false. `onLarge` is told, once, when they are much.
 */
export async function planFiles(
  files: LayerFiles,
  options: PlanOptions & { parents: boolean; onLarge?: () => void; signal?: AbortSignal },
): Promise<PlannedFile[]> {
  const byPath = new Map<string, PlannedFile>();
  let size = 0;
  for await (const file of files) {
    options.signal?.throwIfAborted();
    if (typeof file !== 'object' || file === null)
      throw new StowageError('FILE_INVALID', `A file is ${String(file)}. Give each as an object: { path, body }.`);
    const planned = planFile(
      isTarItem(file) ? (await load(() => import('./tar-item.ts'))).fromTarItem(file) : file,
      options,
    );
    const path = planned.header.path;
    if (byPath.has(path)) {
      throw new StowageError(
        'PATH_DUPLICATE',
        `Two files have the path ${JSON.stringify(path)}. Give each path once.`,
        { path },
      );
    }
    byPath.set(path, planned);
    if (size < large && size + planned.header.size >= large) options.onLarge?.();
    size += Math.max(0, planned.header.size);
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

const defaultModes: Partial<Record<EntryType, number>> = { directory: 0o755, symlink: 0o777 };

/** One file, checked. */
export function planFile(file: LayerFile, options: PlanOptions): PlannedFile {
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
  checkLength(path, 'path', path, options.limits);
  if (file.linkTarget) checkLength(path, 'link target', file.linkTarget, options.limits);
  if (file.body !== undefined && type !== 'file') throw invalid('body', `is given, but a ${type} has none`);
  if (size !== undefined && known !== undefined && size !== known && type === 'file') {
    throw new StowageError(
      'SIZE_MISMATCH',
      `File ${JSON.stringify(path)}: size is ${size}, but its body has ${known} bytes.`,
      { path, expected: size, actual: known },
    );
  }
  if (header.uid > idMaximum) throw invalid('uid', `is ${header.uid}; give a number up to ${idMaximum}`);
  if (header.gid > idMaximum) throw invalid('gid', `is ${header.gid}; give a number up to ${idMaximum}`);
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
  if (size === undefined) header.size = -1;
  return { header, body: file.body };
}

function checkLength(path: string, what: string, text: string, limits: Limits): void {
  // A UTF-16 code unit stands for three bytes at most.
  if (3 * text.length <= limits.pathBytes || (encodeText(text)?.length ?? 0) <= limits.pathBytes) return;
  const subject = `File ${JSON.stringify(path.length > 60 ? `${path.slice(0, 60)}…` : path)}: its ${what}`;
  throw limitExceeded('pathBytes', limits, subject, { path });
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

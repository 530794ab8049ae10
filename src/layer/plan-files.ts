/** Files to be packed, checked and made into entries of a tar, in the one order that a layer has. */
import type { TarFileItem } from 'nanotar';
import { byteLength } from '../bytes/byte-source.ts';
import { load } from '../bytes/load.ts';
import { StowageError } from '../errors.ts';
import { type Limits, limitExceeded } from '../limits.ts';
import { checkHeader, fileInvalid } from '../tar/check-header.ts';
import type { EntryType, TarHeader } from '../tar/entry.ts';
import { encodeText } from '../tar/text.ts';
import type { TarSource } from '../tar/write-tar.ts';
import type { LayerFile, LayerFiles } from './file.ts';
import { normalizePath } from './path.ts';
import { compareBytewise } from './path-order.ts';

/** How a file is planned. */
export interface PlanOptions {
  /** Of files without one, in seconds. */
  mtime: number;
  /** Whether fractions of a second are kept. */
  nanoseconds: boolean;
  limits: Limits;
}

/** Bytes in files from which on a layer is large: more than one thread packs it faster. See `blocksBeforeStart` in deflate-pool.ts. */
const large = 16 * 1024 * 1024;

/**
 * All files, checked, in the order of a layer: by path, bytewise, so that parents come first; hard links after all that they
 * may name. Parents that nobody gave are made up (0755, 0:0) unless `parents` is false. `onLarge` is told, once, when they are much.
 */
export async function planFiles(
  files: LayerFiles,
  options: PlanOptions & { parents: boolean; onLarge?: () => void; signal?: AbortSignal },
): Promise<TarSource[]> {
  const byPath = new Map<string, TarSource>();
  let size = 0;
  for await (const file of files) {
    options.signal?.throwIfAborted();
    if (typeof file !== 'object' || file === null)
      throw new StowageError('FILE_INVALID', `A file is ${String(file)}. Give each as an object: { path, body }.`);
    const planned = planFile(
      isTarItem(file) ? (await load(() => import('./tar-item.ts'))).fromTarItem(file) : file,
      options,
    );
    const { path } = planned;
    if (byPath.has(path)) {
      throw new StowageError(
        'PATH_DUPLICATE',
        `Two files have the path ${JSON.stringify(path)}. Give each path once.`,
        { path },
      );
    }
    byPath.set(path, planned);
    if (size < large && size + planned.size >= large) options.onLarge?.();
    size += Math.max(0, planned.size);
    if (byPath.size > options.limits.tarEntries)
      throw limitExceeded('tarEntries', options.limits, 'The files of the layer');
  }
  addParents(byPath, options);
  resolveHardLinks(byPath);
  // The root, which is called `.`, has no bytes to sort by: it is everything's parent.
  const key = ({ path }: TarSource): string => (path === '.' ? '' : path);
  const all = [...byPath.values()].sort((a, b) => compareBytewise(key(a), key(b)));
  const isLink = ({ type }: TarSource): boolean => type === 'hardlink';
  return [...all.filter((file) => !isLink(file)), ...all.filter(isLink)];
}

const defaultModes: Partial<Record<EntryType, number>> = { directory: 0o755, symlink: 0o777 };

/** One file, checked. Where its size is still to be learnt, that is -1. */
export function planFile(file: LayerFile, options: PlanOptions): TarSource {
  const path = normalizePath(file.path);
  const type = file.type ?? (path === '' || file.path.endsWith('/') ? 'directory' : 'file');
  const { mtime = options.mtime } = file;
  const time = mtime instanceof Date ? +mtime / 1000 : mtime;
  const known = type !== 'file' || file.body === undefined ? 0 : byteLength(file.body);
  const size = file.size ?? known;
  const source: TarSource = {
    path: path || '.',
    type,
    size: size ?? 0,
    mode: file.mode ?? defaultModes[type] ?? 0o644,
    uid: file.uid ?? 0,
    gid: file.gid ?? 0,
    mtime: Math.floor(time),
    body: file.body,
  };
  const invalid = (field: string, why: string): StowageError => fileInvalid(source, field, why);
  if (!Number.isFinite(time)) throw invalid('mtime', `is ${String(mtime)}; give a Date or seconds since the epoch`);
  if (options.nanoseconds) Object.assign(source, splitTime(time));
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
  if (source.uid > idMaximum) throw invalid('uid', `is ${source.uid}; give a number up to ${idMaximum}`);
  if (source.gid > idMaximum) throw invalid('gid', `is ${source.gid}; give a number up to ${idMaximum}`);
  if (file.linkTarget)
    source.linkTarget = type === 'hardlink' ? normalizePath(file.linkTarget, 'link target') : file.linkTarget;
  if (file.device) source.device = file.device;
  if (file.xattrs && Object.keys(file.xattrs).length > 0) {
    let bytes = 0;
    for (const [name, value] of Object.entries(file.xattrs)) bytes += name.length + (value?.length ?? 0);
    if (bytes > options.limits.paxBytes)
      throw limitExceeded('paxBytes', options.limits, `File ${JSON.stringify(path)}: its xattrs`, { path });
    source.xattrs = file.xattrs;
  }
  checkHeader(source);
  if (size === undefined) source.size = -1;
  return source;
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

function addParents(byPath: Map<string, TarSource>, options: { mtime: number; parents: boolean }): void {
  for (const path of [...byPath.keys()]) {
    for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
      const parent = path.slice(0, slash);
      const known = byPath.get(parent);
      if (!known) {
        if (!options.parents) continue;
        const mtime = Math.floor(options.mtime);
        byPath.set(parent, { path: parent, type: 'directory', size: 0, mode: 0o755, uid: 0, gid: 0, mtime });
      } else if (known.type === 'directory') {
        break;
      } else if (known.type !== 'symlink') {
        throw new StowageError(
          'FILE_INVALID',
          `File ${JSON.stringify(path)} lies under ${JSON.stringify(parent)}, which is a ${known.type}.`,
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
function resolveHardLinks(byPath: Map<string, TarSource>): void {
  for (const link of byPath.values()) {
    if (link.type !== 'hardlink') continue;
    const seen = new Set([link.path]);
    let target = byPath.get(link.linkTarget as string);
    while (target?.type === 'hardlink') {
      if (seen.has(target.path)) {
        throw new StowageError(
          'FILE_INVALID',
          `Hard links name one another in a circle at ${JSON.stringify(link.path)}.`,
          { path: link.path },
        );
      }
      seen.add(target.path);
      link.linkTarget = target.linkTarget;
      target = byPath.get(link.linkTarget as string);
    }
    if (target?.type === 'directory') {
      throw new StowageError(
        'FILE_INVALID',
        `Hard link ${JSON.stringify(link.path)} names the directory ${JSON.stringify(target.path)}; directories cannot be linked.`,
        { path: link.path },
      );
    }
  }
}

/** A file of ours may well have a `name` too, as a `File` spread into one has. */
function isTarItem(file: LayerFile | TarFileItem): file is TarFileItem {
  return 'name' in file && !('path' in file);
}

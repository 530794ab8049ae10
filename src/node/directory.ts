/** A directory on disk as the files of a layer. */
import { lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { sep } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { StowageError } from '../errors.ts';
import type { LayerFile } from '../layer/file.ts';
import { type Ignore, parseIgnore } from '../layer/ignore.ts';
import { compareBytewise } from '../layer/path-order.ts';
import { diskFailed, isMissing } from '../storage/node-file.ts';
import { decodeText } from '../tar/decode-text.ts';
import type { EntryType } from '../tar/entry.ts';
import { fileBody, localPath, missing } from './read-file.ts';
import { readXattrs, type Xattrs } from './xattrs.ts';

/** What is taken from the disk besides names, content and permission bits. */
export interface DirectoryOptions {
  /** Whether files keep the uid and gid that they have on disk. Default `false`: all belong to 0:0, whoever builds. */
  owners?: boolean;
  /** Whether files keep the time of their last change, in whole seconds. Default `false`: the layer's `mtime` option says it for all. */
  mtime?: boolean;
  /**
   * Whether files keep their extended attributes, file capabilities among them, which the system's `getfattr` reads; SELinux labels and NFSv4
   * access lists, which are the machine's own, stay behind. Default `false`.
   */
  xattrs?: boolean;
  /** Whether to take what lies at this path (relative, with `/`). A directory that is not taken is not entered. Default: all. */
  filter?: (path: string) => boolean;
  /**
   * What to leave out, besides what `filter` does: a whole `.dockerignore` as text, or its lines. A directory that a `!` line takes
   * something in from comes with it. The file `.dockerignore` itself is left out only where a line says so. Default: nothing.
   */
  ignore?: string | readonly string[];
  signal?: AbortSignal;
}

/**
 * Everything under the directory `path`, but not the directory itself, for `createLayer`, `Image.copy` and `Image.addLayer`.
 * Paths are relative to it, with `/`; a name that is not UTF-8 keeps its bytes (as lone surrogates, PEP 383).
 *
 * Symlinks stay symlinks and are never followed. Of several names of one file, the first by the bytes of its path is the file, the others
 * are hard links to it. Fifos and devices are taken as such, sockets left out.
 * A file is opened when its body is read; one whose size has changed by then is refused (`SIZE_MISMATCH`) by what packs it.
 * The same files on disk give the same layer on every machine and at any time, so long as their permission bits agree.
 *
 * @throws `NOT_FOUND` where nothing is there, `FILE_INVALID` where it is no directory, `RUNTIME_UNSUPPORTED` where attributes are asked
 * for and `getfattr` cannot be started, `STORAGE_FAILED` for what else the disk says.
 *
 * @example
 * import { Image } from 'stowage';
 * import { directory } from 'stowage/node';
 *
 * const image = await Image.scratch().copy(directory('./dist', { filter: (path) => !path.endsWith('.map') }), '/app');
 */
export async function* directory(
  path: string | URL,
  options: DirectoryOptions = {},
): AsyncGenerator<LayerFile, void, void> {
  const root = localPath(path);
  const found = await stat(root).catch((error: unknown) => {
    throw isMissing(error) ? missing(root, error) : diskFailed('looking up', root, error);
  });
  if (!found.isDirectory()) {
    throw new StowageError(
      'FILE_INVALID',
      `${JSON.stringify(root)} is no directory. Pack a single file by fromFile().`,
      { path: root },
    );
  }
  const ignore = options.ignore === undefined ? undefined : parseIgnore(options.ignore);
  const xattrs = options.xattrs ? await readXattrs(root, options.signal) : undefined;
  const state: Walk = { options, ignore, xattrs, linked: new Map(), lookedUp: 0 };
  const stack: Level[] = [{ left: await children(state, root, ''), waiting: undefined }];
  // A stack instead of nested generators, where each `yield` would pass through all of them.
  for (let top = stack.at(-1); top; top = stack.at(-1)) {
    const found = top.left.pop();
    if (!found) {
      stack.pop();
      continue;
    }
    options.signal?.throwIfAborted();
    const file = describe(state, found);
    if (file && !found.isIgnored) {
      for (const level of stack) {
        if (level.waiting) yield level.waiting;
        level.waiting = undefined;
      }
      yield file;
    }
    if (!found.stats.isDirectory()) continue;
    const waiting = found.isIgnored ? file : undefined;
    stack.push({ left: await children(state, found.location, `${found.path}/`), waiting });
  }
}

interface Walk {
  options: DirectoryOptions;
  ignore: Ignore | undefined;
  xattrs: ReadonlyMap<string, Xattrs> | undefined;
  /** The path under which a file with several names was given first, by device and inode. */
  linked: Map<string, string>;
  /** Names so far. */
  lookedUp: number;
}

/** A path on disk: text, or bytes where some name in it is not UTF-8. */
type Location = string | Buffer;

/** A name in a directory, and what it is. */
interface Found {
  location: Location;
  /** The whole path in the layer. */
  path: string;
  /** By which it is sorted among those in the same directory. */
  key: string;
  stats: Stats;
  /** A directory that is ignored, but may hold what is not. */
  isIgnored: boolean;
}

/** A directory on the way to the one in hand. */
interface Level {
  left: Found[];
  /** An ignored directory, to be given before the first thing in it that is not. */
  waiting: LayerFile | undefined;
}

const lookUps = 1000;

/**
 * What lies in a directory, last first, in an order such that all paths that are no directories come bytewise: the first name of a linked
 * file must come first.
 */
async function children(state: Walk, at: Location, prefix: string): Promise<Found[]> {
  const { filter, signal } = state.options;
  const found: Found[] = [];
  for (const { name, location } of list(at, prefix)) {
    // Others get their turn in a tree of very many files.
    if (++state.lookedUp % lookUps === 0) await setImmediate();
    signal?.throwIfAborted();
    const path = prefix + name;
    if (filter && !filter(path)) continue;
    const isIgnored = state.ignore?.ignores(path) ?? false;
    if (isIgnored && !state.ignore!.mayTakeInBelow(path)) continue;
    const stats = lookUp(location, path);
    if (stats && isIgnored && !stats.isDirectory()) continue;
    if (stats) found.push({ location, path, key: stats.isDirectory() ? `${name}/` : name, stats, isIgnored });
    else if (path.includes('\ufffd')) throw unreadableName(path);
  }
  return found.sort((left, right) => compareBytewise(right.key, left.key));
}

/** The names in a directory, and where each is. None in what has gone since it was listed. */
function list(at: Location, shown: string): { name: string; location: Location }[] {
  try {
    if (typeof at === 'string') {
      const names = readdirSync(at);
      if (!names.some((name) => name.includes('\ufffd'))) {
        return names.map((name) => ({ name, location: `${at}${sep}${name}` }));
      }
    }
    const names = readdirSync(at, { encoding: 'buffer' });
    const before = [typeof at === 'string' ? Buffer.from(at) : at, Buffer.from(sep)];
    return names.map((name) => ({ name: decodeText(name), location: Buffer.concat([...before, name]) }));
  } catch (error) {
    if (isMissing(error)) return [];
    throw diskFailed('listing', shown || String(at), error);
  }
}

/**
 * `undefined` for what has gone since it was listed. Without the thread pool: measured at 3 microseconds a name instead of 40, and the
 * kernel has mostly fetched with the directory what is asked here.
 */
function lookUp(at: Location, shown: string): Stats | undefined {
  try {
    return lstatSync(at);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw diskFailed('looking up', shown, error);
  }
}

/** Field by field: spreading objects into one another cost as much as looking the names up. */
function describe(state: Walk, { location, path, stats }: Found): LayerFile | undefined {
  if (stats.isSocket()) return undefined;
  const { owners, mtime } = state.options;
  const type = typeOf(stats);
  const file: LayerFile = { path, type };
  // A symlink has no permissions of its own: what systems show for them differs, and must not make another layer.
  if (type !== 'symlink') file.mode = stats.mode & 0o7777;
  if (owners) {
    file.uid = stats.uid;
    file.gid = stats.gid;
  }
  if (mtime) file.mtime = Math.floor(stats.mtimeMs / 1000);
  if (type !== 'directory' && stats.nlink > 1) {
    const inode = `${stats.dev}:${stats.ino}`;
    const linkTarget = state.linked.get(inode);
    if (linkTarget !== undefined) return { ...file, type: 'hardlink', linkTarget };
    state.linked.set(inode, path);
  }
  const xattrs = state.xattrs?.get(path);
  if (xattrs) file.xattrs = xattrs;
  if (type === 'file') {
    file.size = stats.size;
    file.body = fileBody({ path: location, shown: path, expected: stats.size });
  } else if (type === 'symlink') {
    file.linkTarget = readLink(location, path);
  } else if (type !== 'directory' && type !== 'fifo') {
    file.device = deviceNumbers(stats.rdev);
  }
  return file;
}

function typeOf(stats: Stats): EntryType {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isFIFO()) return 'fifo';
  return stats.isCharacterDevice() ? 'character-device' : 'block-device';
}

/** Deno gives such a name with U+FFFD for its bytes, and then finds no file of that name: better said than left out. */
function unreadableName(path: string): StowageError {
  return new StowageError(
    'RUNTIME_UNSUPPORTED',
    `The name of ${JSON.stringify(path)} is not UTF-8, and this runtime cannot open it. Rename the file, or pack it under Node or Bun.`,
    { path },
  );
}

function readLink(at: Location, path: string): string {
  try {
    return decodeText(readlinkSync(at, { encoding: 'buffer' }));
  } catch (error) {
    throw diskFailed('reading the link', path, error);
  }
}

/** As Linux packs them into one number: makedev(3). */
function deviceNumbers(packed: number): { major: number; minor: number } {
  const number = BigInt(packed);
  return {
    major: Number(((number >> 8n) & 0xfffn) | ((number >> 32n) & ~0xfffn)),
    minor: Number((number & 0xffn) | ((number >> 12n) & ~0xffn & 0xffffffffn)),
  };
}

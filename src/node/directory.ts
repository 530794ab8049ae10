/** A directory on disk as the files of a layer. */
import { lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { sep } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { StowageError } from '../errors.ts';
import type { LayerFile } from '../layer/file.ts';
import { type Ignore, parseIgnore } from '../layer/ignore.ts';
import { diskFailed, isMissing } from '../storage/node-file.ts';
import { decodeText } from '../tar/decode-text.ts';
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
  yield* walk({ options, ignore, xattrs, linked: new Map(), lookedUp: 0 }, Buffer.from(root), root);
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

/** A name in a directory: its bytes, whole path in the layer, and what it is. */
interface Found {
  name: Buffer;
  path: string;
  stats: Stats;
  /** A directory that is ignored, but may hold what is not. */
  isIgnored: boolean;
}

/** A directory on the way to the one in hand. */
interface Level {
  location: Buffer;
  left: Found[];
  /** An ignored directory, to be given before the first thing in it that is not. */
  waiting: LayerFile | undefined;
}

const slash = Buffer.from('/');
const separator = Buffer.from(sep);
const lookUps = 1000;

/** By a stack of its own: each `yield` out of nested generators would pass through all of them. */
async function* walk(state: Walk, root: Buffer, shown: string): AsyncGenerator<LayerFile, void, void> {
  const stack: Level[] = [{ location: root, left: await children(state, root, '', shown), waiting: undefined }];
  for (let top = stack.at(-1); top; top = stack.at(-1)) {
    const found = top.left.pop();
    if (!found) {
      stack.pop();
      continue;
    }
    state.options.signal?.throwIfAborted();
    const location = Buffer.concat([top.location, separator, found.name]);
    const file = describe(state, location, found.path, found.stats);
    if (file && !found.isIgnored) {
      for (const level of stack) {
        if (level.waiting) yield level.waiting;
        level.waiting = undefined;
      }
      yield file;
    }
    if (!found.stats.isDirectory()) continue;
    const waiting = found.isIgnored ? file : undefined;
    stack.push({ location, left: await children(state, location, `${found.path}/`, shown), waiting });
  }
}

/**
 * What lies in a directory, last first, in an order such that all paths that are no directories come bytewise: the first name of a linked
 * file must come first.
 */
async function children(state: Walk, location: Buffer, prefix: string, shown: string): Promise<Found[]> {
  const { filter, signal } = state.options;
  const names = list(location, prefix === '' ? shown : prefix);
  const found: Found[] = [];
  for (const name of names) {
    // Others get their turn in a tree of very many files.
    if (++state.lookedUp % lookUps === 0) await setImmediate();
    signal?.throwIfAborted();
    const path = prefix + decodeText(name);
    if (filter && !filter(path)) continue;
    const isIgnored = state.ignore?.ignores(path) ?? false;
    if (isIgnored && !state.ignore!.mayTakeInBelow(path)) continue;
    const stats = lookUp(Buffer.concat([location, separator, name]), path);
    if (stats && isIgnored && !stats.isDirectory()) continue;
    if (stats) found.push({ name, path, stats, isIgnored });
    else if (path.includes('\ufffd')) throw unreadableName(path);
  }
  const key = ({ name, stats }: Found): Buffer => (stats.isDirectory() ? Buffer.concat([name, slash]) : name);
  return found
    .map((one) => ({ one, key: key(one) }))
    .sort((left, right) => Buffer.compare(right.key, left.key))
    .map(({ one }) => one);
}

/** No names in what has gone since it was listed. */
function list(at: Buffer, shown: string): Buffer[] {
  try {
    return readdirSync(at, { encoding: 'buffer' });
  } catch (error) {
    if (isMissing(error)) return [];
    throw diskFailed('listing', shown, error);
  }
}

/**
 * `undefined` for what has gone since it was listed. Without the thread pool: measured at 3 microseconds a name instead of 40, and the
 * kernel has mostly fetched with the directory what is asked here.
 */
function lookUp(at: Buffer, shown: string): Stats | undefined {
  try {
    return lstatSync(at);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw diskFailed('looking up', shown, error);
  }
}

function describe(state: Walk, at: Buffer, path: string, stats: Stats): LayerFile | undefined {
  const { owners, mtime } = state.options;
  const xattrs = state.xattrs?.get(path);
  const file: LayerFile = {
    path,
    // A symlink has no permissions of its own: what systems show for them differs, and must not make another layer.
    ...(!stats.isSymbolicLink() && { mode: stats.mode & 0o7777 }),
    ...(owners && { uid: stats.uid, gid: stats.gid }),
    ...(mtime && { mtime: Math.floor(stats.mtimeMs / 1000) }),
    ...(xattrs && { xattrs }),
  };
  if (stats.isDirectory()) return { ...file, type: 'directory' };
  if (stats.isSocket()) return undefined;
  if (stats.nlink > 1) {
    const inode = `${stats.dev}:${stats.ino}`;
    const linkTarget = state.linked.get(inode);
    if (linkTarget !== undefined) return { ...file, xattrs: undefined, type: 'hardlink', linkTarget };
    state.linked.set(inode, path);
  }
  if (stats.isFile()) return { ...file, type: 'file', size: stats.size, body: fileBody(at, path, stats.size) };
  if (stats.isSymbolicLink()) {
    return { ...file, type: 'symlink', linkTarget: readLink(at, path) };
  }
  if (stats.isFIFO()) return { ...file, type: 'fifo' };
  const type = stats.isCharacterDevice() ? 'character-device' : 'block-device';
  return { ...file, type, device: deviceNumbers(stats.rdev) };
}

/** Deno gives such a name with U+FFFD for its bytes, and then finds no file of that name: better said than left out. */
function unreadableName(path: string): StowageError {
  return new StowageError(
    'RUNTIME_UNSUPPORTED',
    `The name of ${JSON.stringify(path)} is not UTF-8, and this runtime cannot open it. Rename the file, or pack it under Node or Bun.`,
    { path },
  );
}

function readLink(at: Buffer, path: string): string {
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

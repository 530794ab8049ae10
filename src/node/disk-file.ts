/** Single names on disk, made and given their attributes. Nothing is followed, nothing that is there is written to. */
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { sep } from 'node:path';
import process from 'node:process';
import { StowageError } from '../errors.ts';
import { diskFailed, errorCode } from '../storage/node-file.ts';
import type { TarHeader } from '../tar/entry.ts';
import { encodeText, isEscaped } from '../tar/text.ts';

/**
 * The names under one directory. All calls are synchronous: measured with small files, six system calls without the thread pool take
 * 50 microseconds, with it 300. They throw the platform's own errors.
 */
export class Disk {
  readonly root: string;
  readonly #owners: boolean;

  /** `owners` says whether files are given the owners of their headers. */
  constructor(root: string, owners: boolean) {
    this.root = root;
    this.#owners = owners;
  }

  /** A path below the root, as the platform takes it. */
  at(path: string): string | Buffer {
    return path === '' ? this.root : diskPath(`${this.root}/${path}`);
  }

  /** A new, empty file, which must not be there under any name that the file system takes for the same. */
  create(path: string): number {
    return openSync(this.at(path), createFlags, 0o600);
  }

  /** Writes the bytes of a file from `position` on. */
  write(file: number, bytes: Uint8Array, position: number): void {
    for (let offset = 0; offset < bytes.length; )
      offset += writeSync(file, bytes, offset, bytes.length - offset, position + offset);
  }

  /** Makes a file so long that ends in a hole, or is nothing but one. */
  lengthen(file: number, size: number): void {
    ftruncateSync(file, size);
  }

  /** Gives an open file its attributes, but for `mode` in place of the header's, and closes it, whatever happens. */
  finish(file: number, header: TarHeader, mode: number): void {
    try {
      // The owner first: changing it takes the set-id bits away.
      if (this.#owners) fchownSync(file, header.uid, header.gid);
      fchmodSync(file, mode);
      const time = mtimeOf(header);
      futimesSync(file, time, time);
    } finally {
      closeSync(file);
    }
  }

  makeDirectory(path: string): void {
    mkdirSync(this.at(path), 0o700);
  }

  makeSymlink(path: string, header: TarHeader): void {
    const target = header.linkTarget ?? '';
    symlinkSync(diskPath(target), this.at(path));
    if (this.#owners) lchownSync(this.at(path), header.uid, header.gid);
    const time = mtimeOf(header);
    lutimesSync(this.at(path), time, time);
  }

  /** A further name. `from` as `at` gives it. */
  link(from: string | Buffer, path: string): void {
    linkSync(from, this.at(path));
  }

  /** For what cannot be opened: directories, devices, fifos. Never for a symlink. */
  setAttributes(path: string, header: TarHeader): void {
    if (this.#owners) lchownSync(this.at(path), header.uid, header.gid);
    chmodSync(this.at(path), header.mode);
    const time = mtimeOf(header);
    lutimesSync(this.at(path), time, time);
  }

  setMode(path: string, mode: number): void {
    chmodSync(this.at(path), mode);
  }

  unlink(path: string): void {
    unlinkSync(this.at(path));
  }

  removeEmpty(path: string): void {
    rmdirSync(this.at(path));
  }

  moveOut(path: string, to: string): void {
    renameSync(this.at(path), to);
  }
}

/** A path as the platform takes it: names that are not UTF-8 need bytes. */
export function diskPath(path: string): string | Buffer {
  return isEscaped(path) ? Buffer.from(encodeText(path)!) : path;
}

/** Whether a further name of a symlink can be made: link(2) follows it but on Linux, out of the tree even. */
export const linksSymlinks: boolean = process.platform === 'linux';

/** An entry of a layer, for the sentences of errors. */
export interface EntryPlace {
  /** As in `layer sha256:…`. */
  layer: string;
  entry: string;
  /** Where its header starts in the uncompressed layer. */
  offset: number;
}

/** As sentences have it. */
export function shown({ layer, entry, offset }: EntryPlace): string {
  return `${layer}: entry ${JSON.stringify(entry)} at byte ${offset}`;
}

/** An error of the platform or of ours, said of an entry; all others as they are. */
export function failedAt(error: unknown, place: EntryPlace): unknown {
  const ours = error instanceof StowageError ? error : ofPlatform(error, place.entry);
  if (ours === undefined) return error;
  const details = { ...ours.details, entry: place.entry, offset: place.offset };
  return new StowageError(ours.code, `${shown(place)}: ${ours.message}`, details, { cause: error });
}

/** What the platform says of a path, as an error of ours; `undefined` for what the platform did not say. */
export function ofPlatform(error: unknown, path: string): StowageError | undefined {
  const code = errorCode(error);
  if (code === '') return undefined;
  if (code !== 'EEXIST') return diskFailed('extracting', path, error);
  return new StowageError(
    'PATH_DUPLICATE',
    'Its name is taken by another that this file system holds for the same, as it folds case or Unicode forms. Extract to one that does not.',
    { path },
    { cause: error },
  );
}

/**
 * Windows gives some names another meaning: a drive, a stream of a file, a device, a directory's separator.
 *
 * @throws `PATH_INVALID`
 */
export function checkName(path: string): void {
  if (sep === '/' || !foreignName.test(path)) return;
  throw new StowageError(
    'PATH_INVALID',
    'The path holds a name that Windows takes for something else. Extract on another system.',
    { path },
  );
}

const createFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0);

const foreignName =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: Windows refuses them.
  /[\\:*?"<>|\u0000-\u001f]|[. ](?:\/|$)|(?:^|\/)(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|\/|$)/i;

/**
 * For `utimes`. Nanoseconds end at microseconds, the least that a number of seconds holds; the half keeps a platform that cuts off from
 * cutting one more. Times before the epoch go as a `Date`, as negative numbers mean "now" to Node.
 */
function mtimeOf({ mtime, nanoseconds = 0 }: TarHeader): number | Date {
  if (mtime < 0) return new Date(mtime * 1000 + Math.floor(nanoseconds / 1e6));
  return nanoseconds === 0 ? mtime : mtime + (Math.floor(nanoseconds / 1000) + 0.5) / 1e6;
}

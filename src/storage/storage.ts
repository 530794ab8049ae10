/** The contract that every storage adapter keeps: a tree of named files, and nothing about digests. */

/**
 * A tree of named files. Paths are relative, `/`-separated, of segments that are neither empty, `.` nor `..`;
 * an adapter refuses any other with `PATH_INVALID` before it touches anything (see `checkStoragePath`).
 */
export interface Storage {
  /** Size in bytes, or `undefined` where no file of that name is. A directory is not a file. */
  stat(path: string): Promise<{ size: number } | undefined>;
  /**
   * The file's bytes from `start` (default 0) up to, not including, `end` (default: the size; a larger `end` is cut to it).
   * Rejects with `NOT_FOUND` where no file of that name is.
   */
  read(path: string, range?: ByteRange): Promise<ReadableStream<Uint8Array>>;
  /** A new file that becomes visible, whole, only on commit: digests are known only at the end. */
  create(options?: CreateOptions): Promise<PendingFile>;
  /** Paths of all files whose path starts with `prefix` (`''` for all), in no particular order; none where no path can start so. */
  list(prefix: string): AsyncIterable<string>;
  /**
   * Gives a file another name, in place of what has that name. A reader of the new name finds the old file or this one, whole. Where the platform
   * cannot rename, the file is written again, and for a moment or after a crash is under both names. Rejects with `NOT_FOUND` where no
   * file has the name `from`; that the names are the same is no error.
   */
  move(from: string, to: string): Promise<void>;
  /** Removes a file; a name that is not there is no error. */
  delete(path: string): Promise<void>;
  /** Runs the task while no other holder of the same name does: other tabs and processes too, where the platform can. */
  exclusive<T>(name: string, task: () => Promise<T>): Promise<T>;
}

/** Half-open, in bytes. */
export interface ByteRange {
  start?: number;
  end?: number;
}

/** What is known of a file before it is written. */
export interface CreateOptions {
  /**
   * The path that `commit` will name; any other is refused then with `ARGUMENT_INVALID`. Object stores, which cannot rename, write a large
   * file straight to its place where they know it.
   */
  path?: string;
  /**
   * `false` for what is of use for a while only: adapters that wait for a disk need not, and after a power cut the file may be gone, or cut short.
   * Default true.
   */
  durable?: boolean;
}

/** A file that is being written. Call `commit` or `abort` exactly once; after either, `write` and `commit` throw. */
export interface PendingFile {
  /** Resolves when the adapter is ready for more. The adapter is done with `chunk` then; it may be reused. */
  write(chunk: Uint8Array): Promise<void>;
  /** Makes the file visible under `path`, whole, replacing what was there. Where it fails, the file is forgotten, as by `abort`. */
  commit(path: string): Promise<void>;
  /** Forgets the file and frees what it held. Never throws for a file that is gone already. */
  abort(): Promise<void>;
}

/** What a caller hands in to be packed: files as plain data, and how to pack them. */
import type { TarFileItem } from 'nanotar';
import type { ByteSource } from '../bytes/byte-source.ts';
import type { Limits } from '../limits.ts';
import type { EntryType } from '../tar/entry.ts';
import type { PackLayerOptions } from './store-layer.ts';
import type { Timestamp } from './timestamp.ts';

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

export interface CreateLayerOptions extends PackLayerOptions {
  /** For files without an `mtime`, and made-up parents. Default `SOURCE_DATE_EPOCH`, else the epoch. */
  mtime?: Timestamp;
  /** Keeps fractions of a second of mtimes, in PAX records. Default false: whole seconds. */
  nanoseconds?: boolean;
  /**
   * Whether directories that no file names are made up (0755, owned by 0:0). Default true. Turn it off to leave the
   * modes and owners of a base image's directories as they are.
   */
  parents?: boolean;
  limits?: Partial<Limits>;
}

/** What a tar archive says of one file, as plain data: the encoder takes it, the decoder gives it. */

/** The kinds of file that POSIX tar knows (pax, "ustar Interchange Format", `typeflag`). */
export type EntryType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'character-device' | 'block-device' | 'fifo';

/** All of them. */
export const entryTypes: ReadonlySet<string> = new Set([
  'file',
  'directory',
  'symlink',
  'hardlink',
  'character-device',
  'block-device',
  'fifo',
] satisfies EntryType[]);

/** One entry's metadata. */
export interface TarHeader {
  /**
   * The name as the archive has it, but for a directory's trailing slashes, which are not part of it here. Bytes that are
   * no UTF-8 are lone surrogates U+DC80..U+DCFF (PEP 383). Not checked for safety: `..` and absolute names come through.
   */
  path: string;
  type: EntryType;
  /** Bytes of the body; of a sparse file, with its holes. 0 for all but files (and hard links in some pax archives). */
  size: number;
  /** Permission bits, set-user-ID, set-group-ID and sticky bit: 0 to 0o7777. */
  mode: number;
  uid: number;
  gid: number;
  /** Whole seconds since the epoch, rounded down; may be negative. */
  mtime: number;
  /** 0 to 999,999,999, added to `mtime`. Written only where it is given and not 0. */
  nanoseconds?: number;
  /** Where a symlink points, or the path of the entry that a hard link is another name of. */
  linkTarget?: string;
  uname?: string;
  gname?: string;
  /** Extended attributes by full name (`user.note`, `security.capability`), as bytes. From the decoder, without a prototype. */
  xattrs?: Record<string, Uint8Array>;
  /** Numbers of a character or block device, each 0 to 2,097,151 in a ustar header. */
  device?: { major: number; minor: number };
}

/** What the decoder gives, in this order: one `entry`, any number of `body`, one `end`, and again. */
export type TarEvent =
  | {
      type: 'entry';
      header: TarHeader;
      /** Where the entry's own header block starts in the archive, in bytes (its extended headers lie before it). */
      offset: number;
      /** Where its data starts in the archive. For a sparse file that is the data alone, without holes. */
      bodyOffset: number;
      /** Whether the archive holds the body with its holes left out; then `bodyOffset` and `size` do not name its bytes. */
      sparse: boolean;
    }
  | { type: 'body'; bytes: Uint8Array }
  | { type: 'end' };

/**
 * The tar decoder: a synchronous state machine, bytes pushed in, entries taken out. Reads ustar, v7, PAX and GNU archives
 * (POSIX pax; GNU tar's manual, "Basic Tar Format"). Holds one block, one extended header or one sparse map, never a body.
 */
import { StowageError } from '../errors.ts';
import { type Limits, limitExceeded, resolveLimits } from '../limits.ts';
import { blockSize, field, paddingAfter } from './block.ts';
import { BodyReader } from './body.ts';
import { ChunkQueue } from './chunk-queue.ts';
import { byteLengthOf, decodeField } from './decode-text.ts';
import type { TarEvent, TarHeader } from './entry.ts';
import { dialectOf, type Extended, finishPath, readHeader } from './header.ts';
import { inForce, mergeGlobal, type PaxRecords, parsePax } from './pax.ts';
import { checksumHolds, isZeroBlock, readNumber } from './read-block.ts';
import { checkExtents, type Extents, readOldExtents, readSparseRecords, SparseMapReader } from './sparse.ts';

type State = 'header' | 'metadata' | 'old-sparse' | 'sparse-map' | 'link' | 'body' | 'padding' | 'done';

/**
 * Turns the bytes of one archive into entries.
 *
 * - A body's bytes are views of what was pushed, not copies. Holes of sparse files come as views of one buffer of zeros:
 *   write into neither.
 * - Global PAX headers act, by POSIX's keywords, on all entries after them. GNU long names win over PAX records.
 * - Links, directories, devices and fifos have no body, whatever size they state, as Go's reader has it. A hard link's
 *   stated body is believed only where no header follows the link at once: POSIX allows such bodies, most writers that
 *   state a size do not write one.
 * - Volume labels (`V`) and Solaris' access lists (`A`) are passed over, Solaris' `X` is read as PAX, types that are
 *   not known are files. Pieces of a multi-volume archive (`M`) and the old rename scripts (`N`) are refused.
 * - Two zero blocks end the archive and what follows them is not looked at; so does the end of the input between
 *   entries, or right after a body, whose padding is missing then.
 *
 * @throws `TAR_INVALID`, `TAR_TRUNCATED`, `LIMIT_EXCEEDED` from `next`, again each time that it is called afterwards.
 *
 * @example
 * const decoder = new TarDecoder();
 * decoder.push(bytes);
 * decoder.end();
 * for (let event = decoder.next(); event !== undefined; event = decoder.next()) {
 *   if (event.type === 'entry') console.log(event.header.path);
 * }
 */
export class TarDecoder {
  readonly #limits: Limits;
  readonly #what: string;
  readonly #input = new ChunkQueue();
  readonly #globals: PaxRecords = new Map();
  readonly #fail = (problem: string): StowageError => this.#invalid(problem);
  readonly #onHoles = (): void => this.#checkHoles();
  #state: State = 'header';
  #ended = false;
  #failure: { error: unknown } | undefined;
  #entries = 0;
  #zeroBlocks = 0;

  /** The header in hand: where it starts, and how far it has been understood, for the sentences of errors. */
  #offset = 0;
  #place: Place = 'start';
  #header: TarHeader | undefined;
  #typeFlag = 0;
  #extended: Extended | undefined;
  #extendedBytes = 0;
  #kept: Uint8Array = new Uint8Array(0);

  /** Bytes of the header's data in the archive, until its body starts. */
  #size = 0;
  #padding = 0;
  readonly #body = new BodyReader();
  #extents: Extents | undefined;
  #mapReader: SparseMapReader | undefined;

  /** `what` is the subject of error messages (default `tar archive`). */
  constructor(options: { limits?: Partial<Limits>; what?: string } = {}) {
    this.#limits = resolveLimits(options.limits);
    this.#what = options.what ?? 'tar archive';
  }

  /** Whether the end of the archive has been reached; whatever is still pushed is ignored. */
  get isDone(): boolean {
    return this.#state === 'done';
  }

  /** Hands over the next bytes, cut anywhere. They must not change until `next` returns `undefined`. */
  push(bytes: Uint8Array): void {
    if (this.#ended) throw new StowageError('ARGUMENT_INVALID', `${this.#what}: push after end. Push all bytes first.`);
    if (this.#state !== 'done') this.#input.push(bytes);
  }

  /** Says that all bytes have been pushed. */
  end(): void {
    this.#ended = true;
  }

  /** The current entry's body is not wanted: no more `body` comes, the next event is its `end`. */
  skip(): void {
    this.#body.skip();
  }

  /** The next event; `undefined` where more bytes are needed, and after `end()` where there is nothing more. */
  next(): TarEvent | undefined {
    if (this.#failure !== undefined) throw this.#failure.error;
    try {
      return this.#advance();
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
  }

  #advance(): TarEvent | undefined {
    for (;;) {
      let event: TarEvent | true | undefined;
      switch (this.#state) {
        case 'header':
          event = this.#input.readBlock() ? this.#readHeader() : undefined;
          break;
        case 'metadata':
          event = this.#readMetadata();
          break;
        case 'old-sparse':
          event = this.#input.readBlock() ? this.#readOldSparse(0, 21, 504) : undefined;
          break;
        case 'sparse-map':
          event = this.#input.readBlock() ? this.#readSparseMap() : undefined;
          break;
        case 'link':
          event = this.#readAfterLink();
          break;
        case 'body':
          event = this.#body.next(this.#input, this.#onHoles);
          if (event?.type === 'end') {
            this.#state = 'padding';
            this.#place = 'after';
          }
          break;
        case 'padding':
          this.#padding -= this.#input.skip(this.#padding);
          if (this.#padding === 0) {
            this.#state = 'header';
            event = true;
          }
          break;
        case 'done':
          this.#input.skip(Number.MAX_SAFE_INTEGER);
          return undefined;
      }
      if (event === undefined) return this.#starve();
      if (event !== true) return event;
    }
  }

  #readHeader(): TarEvent | true {
    const { block, blockAt } = this.#input;
    this.#offset = this.#input.offset - blockSize;
    if (block[blockAt] === 0 && isZeroBlock(block, blockAt)) {
      if (this.#extended !== undefined) throw this.#invalid('an extended header is followed by no entry');
      if (++this.#zeroBlocks === 2) this.#state = 'done';
      return true;
    }
    if (this.#zeroBlocks > 0) throw this.#invalid('a single zero block is followed by more');
    if (!checksumHolds(block, blockAt)) throw this.#invalid('a header has a wrong checksum');
    this.#typeFlag = block[blockAt + field.type]!;
    this.#place = 'header';
    switch (String.fromCharCode(this.#typeFlag)) {
      case 'x':
      case 'X':
      case 'g':
      case 'L':
      case 'K':
        return this.#startMetadata(readNumber(block, blockAt + field.size, 12));
      case 'A':
      case 'V':
        return this.#passOver(readNumber(block, blockAt + field.size, 12));
      case 'M':
        throw this.#invalid('an entry goes on from another volume; join the volumes first');
      case 'N':
        throw this.#invalid('GNU tar rename entries (type N) are not read; write the archive anew');
    }
    return this.#startEntry(block, blockAt);
  }

  #startMetadata(size: number): true {
    if (!(size >= 0)) throw this.#invalid('an extended header has no valid size');
    this.#extendedBytes += size;
    if (this.#extendedBytes > this.#limits.paxBytes) {
      throw limitExceeded('paxBytes', this.#limits, `${this.#what}: extended headers`, { offset: this.#offset });
    }
    this.#size = size;
    this.#state = 'metadata';
    return true;
  }

  #passOver(size: number): true {
    if (!(size >= 0)) throw this.#invalid('an entry has no valid size');
    // An extended header before it was its own.
    this.#padding = size + paddingAfter(size);
    this.#extended = undefined;
    this.#state = 'padding';
    return true;
  }

  #readMetadata(): true | undefined {
    const length = this.#size + paddingAfter(this.#size);
    const padded = this.#input.readExactly(length);
    if (padded === undefined) return undefined;
    this.#state = 'header';
    const bytes = padded.subarray(0, this.#size);
    const type = String.fromCharCode(this.#typeFlag);
    if (type === 'g') {
      mergeGlobal(this.#globals, parsePax(bytes, this.#fail));
      // A global header belongs to no entry; one of its own may have come before it.
      this.#extendedBytes -= this.#size;
      return true;
    }
    this.#extended ??= {};
    if (type === 'L' || type === 'K') {
      const name = decodeField(bytes, 0, bytes.length);
      if (name !== '') this.#extended[type === 'L' ? 'longName' : 'longLink'] = name;
    } else {
      // Of two extended headers before one entry the later holds alone, as Go's reader has it.
      this.#extended.records = parsePax(this.#keep(bytes), this.#fail);
    }
    return true;
  }

  /**
   * A copy that lasts until the next extended header, since more may be pushed before the entry's own header is there.
   * One buffer for all: with new ones for each entry and record, GNU tar's posix archives took 1.7 times as long to read.
   */
  #keep(bytes: Uint8Array): Uint8Array {
    if (this.#kept.length < bytes.length) this.#kept = new Uint8Array(Math.max(bytes.length, 4096));
    this.#kept.set(bytes);
    return this.#kept.subarray(0, bytes.length);
  }

  #startEntry(block: Uint8Array, at: number): TarEvent | true {
    const extended = this.#extended ?? none;
    const records = inForce(this.#globals, extended.records);
    const header = readHeader(
      block,
      at,
      records === extended.records ? extended : { ...extended, records },
      this.#fail,
    );
    this.#extended = undefined;
    this.#extendedBytes = 0;
    if (++this.#entries > this.#limits.tarEntries) throw limitExceeded('tarEntries', this.#limits, this.#what);
    this.#header = header;
    this.#size = header.size;
    this.#extents = undefined;
    this.#place = 'entry';
    const dialect = dialectOf(block, at);
    if (this.#typeFlag === sparseFlag) {
      if (dialect !== 'gnu') throw this.#invalid('a sparse file has no GNU header');
      header.size = readNumber(block, at + 483, 12);
      if (!(header.size >= 0)) throw this.#invalid('a sparse file has no valid size');
      this.#extents = [];
      return this.#readOldSparse(386, 4, 482);
    }
    if (header.type === 'file') {
      const sparse = records && readSparseRecords(records, header.size, this.#fail);
      if (sparse === undefined) return this.#open();
      if (sparse.path !== undefined) {
        header.path = sparse.path;
        finishPath(header, dialect, this.#typeFlag);
      }
      header.size = sparse.realSize;
      this.#extents = sparse.extents;
      if (sparse.extents !== undefined) return this.#openSparse();
      this.#mapReader = new SparseMapReader();
      this.#state = 'sparse-map';
      return true;
    }
    if (header.type === 'hardlink' && header.size > 0) {
      this.#state = 'link';
      return true;
    }
    header.size = 0;
    if (this.#typeFlag !== dumpFlag) this.#size = 0;
    return this.#open();
  }

  #readOldSparse(slotsAt: number, slots: number, flagAt: number): TarEvent | true {
    const { block, blockAt } = this.#input;
    readOldExtents(block, blockAt + slotsAt, slots, this.#extents!);
    this.#checkExtentCount(this.#extents!.length / 2);
    if (block[blockAt + flagAt] === 0) return this.#openSparse();
    this.#state = 'old-sparse';
    return true;
  }

  #readSparseMap(): TarEvent | true {
    const reader = this.#mapReader!;
    if (this.#size < blockSize) throw this.#invalid('the sparse map is longer than the entry');
    this.#size -= blockSize;
    const isWhole = reader.push(this.#input.block, this.#input.blockAt, this.#fail);
    this.#checkExtentCount(reader.count);
    if (!isWhole) return true;
    this.#extents = reader.extents;
    return this.#openSparse();
  }

  /** Holes come out without having come in, so that they count as what inflates. */
  #checkHoles(): void {
    if (this.#body.holeTotal <= this.#limits.inflatedBytes) return;
    const path = this.#header!.path;
    const details = { path, offset: this.#offset };
    throw limitExceeded('inflatedBytes', this.#limits, `${this.#what}: the holes of ${quote(path)}`, details);
  }

  #checkExtentCount(count: number): void {
    if (count > this.#limits.sparseExtents) {
      throw limitExceeded('sparseExtents', this.#limits, `${this.#what}: ${quote(this.#header!.path)}`);
    }
  }

  #openSparse(): TarEvent {
    this.#checkExtentCount(this.#extents!.length / 2);
    checkExtents(this.#extents!, this.#header!.size, this.#size, this.#fail);
    return this.#open();
  }

  /** Believes a hard link's size only where what follows the link is no header and no end. */
  #readAfterLink(): TarEvent | undefined {
    if (!this.#input.readBlock()) {
      if (!this.#ended || this.#input.isPartial) return undefined;
      this.#header!.size = 0;
    } else {
      const { block, blockAt } = this.#input;
      if (isZeroBlock(block, blockAt) || checksumHolds(block, blockAt)) this.#header!.size = 0;
      this.#input.unreadBlock();
    }
    this.#size = this.#header!.size;
    return this.#open();
  }

  #open(): TarEvent {
    const header = this.#header!;
    this.#checkLength(header.path);
    if (header.linkTarget !== undefined) this.#checkLength(header.linkTarget);
    this.#padding = paddingAfter(this.#size);
    this.#state = 'body';
    this.#body.start(header.size, this.#size, this.#extents);
    // An incremental dump's directory has a list of names for a body, which is no content.
    if (header.type === 'directory') this.#body.skip();
    const sparse = this.#extents !== undefined;
    return { type: 'entry', header, offset: this.#offset, bodyOffset: this.#input.offset, sparse };
  }

  #checkLength(path: string): void {
    const { pathBytes } = this.#limits;
    // A character is at most three bytes of UTF-8, so that most names need no second look.
    if (path.length * 3 <= pathBytes || byteLengthOf(path) <= pathBytes) return;
    throw limitExceeded('pathBytes', this.#limits, `${this.#what}: a name ${this.#whereabouts()}`, {
      offset: this.#offset,
    });
  }

  #starve(): undefined {
    if (!this.#ended) return undefined;
    const isBetween = this.#state === 'header' && !this.#input.isPartial && this.#extended === undefined;
    // umoci's `insert` (0.4) ends a layer with its last body's last byte. Go's reader, and so every engine, takes that.
    const isUnpadded = this.#state === 'padding' && this.#place === 'after';
    if (isBetween || isUnpadded) {
      this.#state = 'done';
      return undefined;
    }
    throw new StowageError(
      'TAR_TRUNCATED',
      `${this.#what}: ends too early, at byte ${this.#input.offset}, ${this.#whereabouts()}. Get the whole archive again.`,
      { offset: this.#input.offset, path: this.#header?.path },
    );
  }

  #invalid(problem: string): StowageError {
    return new StowageError(
      'TAR_INVALID',
      `${this.#what}: ${problem}, at byte ${this.#offset}, ${this.#whereabouts()}. ` +
        'It is damaged or no tar archive: get it again, or write it anew with another tar.',
      { offset: this.#offset, path: this.#header?.path },
    );
  }

  #whereabouts(): string {
    const { block, blockAt } = this.#input;
    if (this.#place === 'start') return 'in its first header';
    if (this.#place === 'header') return `in the header of ${quote(decodeField(block, blockAt, 100))}`;
    return `${this.#place === 'entry' ? 'in' : 'after'} entry ${quote(this.#header!.path)}`;
  }
}

/** Which entry an error is about: none yet, the header that is being read, the entry that came of it, what follows that. */
type Place = 'start' | 'header' | 'entry' | 'after';

const none: Extended = {};
const sparseFlag = 0x53;
const dumpFlag = 0x44;

function quote(name: string): string {
  return JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}…` : name);
}

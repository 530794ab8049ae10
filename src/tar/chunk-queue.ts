/** Pushed chunks as one run of bytes, read block by block or as views, and copied only where a read spans two chunks. */
import { blockSize } from './block.ts';

/** A queue of chunks. It keeps references to what is pushed until that is read. */
export class ChunkQueue {
  /** Bytes read so far: the offset of the next byte in the archive. */
  offset = 0;
  /** The block that `readBlock` found lies here, at `blockAt`, until the next read. */
  block: Uint8Array = empty;
  blockAt = 0;
  #chunk: Uint8Array = empty;
  #at = 0;
  #waiting: Uint8Array[] = [];
  #partial: Uint8Array | undefined;
  #filled = 0;

  /** Whether a read has begun that needs more than has come. */
  get isPartial(): boolean {
    return this.#filled > 0;
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    // A Node Buffer's `slice` is no copy, and views of it are Buffers again: what comes out is a plain Uint8Array.
    const isPlain = Object.getPrototypeOf(chunk) === Uint8Array.prototype;
    const bytes = isPlain ? chunk : new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length);
    if (this.#at < this.#chunk.length) {
      this.#waiting.push(bytes);
      return;
    }
    this.#chunk = bytes;
    this.#at = 0;
  }

  /** Takes one block; false where less than that is there. */
  readBlock(): boolean {
    if (this.#filled === 0 && this.#chunk.length - this.#at >= blockSize) {
      this.block = this.#chunk;
      this.blockAt = this.#at;
      this.#consume(blockSize);
      return true;
    }
    const block = this.readExactly(blockSize);
    if (block === undefined) return false;
    this.block = block;
    this.blockAt = 0;
    return true;
  }

  /** Puts the block that was just read back, in front of what is to be read. */
  unreadBlock(): void {
    const block = this.block.slice(this.blockAt, this.blockAt + blockSize);
    if (this.#at < this.#chunk.length) this.#waiting.unshift(this.#chunk.subarray(this.#at));
    this.#chunk = block;
    this.#at = 0;
    this.offset -= blockSize;
  }

  /** Takes up to `maximum` bytes as a view of one chunk; `undefined` where nothing is there. */
  read(maximum: number): Uint8Array | undefined {
    const length = Math.min(this.#chunk.length - this.#at, maximum);
    if (length === 0) return undefined;
    const start = this.#at;
    const chunk = this.#chunk;
    this.#consume(length);
    return start === 0 && length === chunk.length ? chunk : chunk.subarray(start, start + length);
  }

  /** Takes exactly `length` bytes, over any number of calls; `undefined` until all have come. */
  readExactly(length: number): Uint8Array | undefined {
    if (length === 0) return empty;
    if (this.#filled === 0 && this.#chunk.length - this.#at >= length) return this.read(length);
    while (this.#filled < length) {
      const bytes = this.read(length - this.#filled);
      if (bytes === undefined) return undefined;
      this.#partial ??= new Uint8Array(length);
      this.#partial.set(bytes, this.#filled);
      this.#filled += bytes.length;
    }
    const whole = this.#partial;
    this.#partial = undefined;
    this.#filled = 0;
    return whole;
  }

  /** Passes over up to `count` bytes and says how many were there. */
  skip(count: number): number {
    let left = count;
    while (left > 0 && this.#at < this.#chunk.length) {
      const length = Math.min(this.#chunk.length - this.#at, left);
      this.#consume(length);
      left -= length;
    }
    return count - left;
  }

  #consume(length: number): void {
    this.#at += length;
    this.offset += length;
    if (this.#at < this.#chunk.length) return;
    this.#chunk = this.#waiting.shift() ?? empty;
    this.#at = 0;
  }
}

const empty = new Uint8Array(0);

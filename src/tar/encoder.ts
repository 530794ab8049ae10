/**
 * The tar encoder: a synchronous writer, entries in, blocks of bytes out. It writes ustar where ustar can say it and PAX
 * records where not (POSIX pax), so that the same entries give the same bytes anywhere. Ends with two zero blocks and no
 * padding to 10,240 bytes, which only tapes asked for. Holds at most one block of output, never a body.
 */
import { StowageError } from '../errors.ts';
import { blockSize, paddingAfter } from './block.ts';
import { checkHeader } from './check-header.ts';
import type { TarHeader } from './entry.ts';
import { planHeader, writeExtendedHeader, writeHeader } from './write-header.ts';

/**
 * Writes one archive. `sink` is handed blocks of at least `size` bytes, 64 KiB unless told (the last may be shorter), which are its
 * own until it gives them back, but for large bodies, which pass by reference: what is given to `write` must not change until the sink
 * is done with it.
 *
 * @example
 * const chunks: Uint8Array[] = [];
 * const encoder = new TarEncoder((bytes) => chunks.push(bytes));
 * encoder.entry({ path: 'hello', type: 'file', size: 2, mode: 0o644, uid: 0, gid: 0, mtime: 0 });
 * encoder.write(new TextEncoder().encode('hi'));
 * encoder.finish();
 */
export class TarEncoder {
  readonly #sink: (bytes: Uint8Array) => void;
  readonly #outputSize: number;
  #output: Uint8Array;
  #used = 0;
  /** Memory of the blocks that the sink has, and one that it gave back. */
  readonly #lent = new WeakSet<ArrayBufferLike>();
  #spare: Uint8Array | undefined;
  #path = '';
  #size = 0;
  #left = 0;
  #isFinished = false;

  constructor(sink: (bytes: Uint8Array) => void, size: number = 64 * 1024) {
    this.#sink = sink;
    this.#outputSize = size;
    this.#output = newOutput(size);
  }

  /**
   * Begins an entry; `write` then takes its body, `header.size` bytes in all.
   *
   * @throws `FILE_INVALID` for a header that cannot be written; nothing of it has been then.
   * @throws `SIZE_MISMATCH` where the entry before it got fewer bytes than its size.
   */
  entry(header: TarHeader): void {
    this.#endBody();
    checkHeader(header);
    const plan = planHeader(header);
    if (plan.extended !== undefined) {
      const { length } = plan.extended;
      writeExtendedHeader(this.#output, this.#used, plan, length);
      this.#advance(blockSize);
      this.#append(plan.extended);
      this.#advance(paddingAfter(length));
    }
    writeHeader(this.#output, this.#used, plan);
    this.#advance(blockSize);
    this.#path = header.path;
    this.#size = header.size;
    this.#left = header.size;
  }

  /** The next bytes of the current entry's body. @throws `SIZE_MISMATCH` where they are more than its size. */
  write(body: Uint8Array): void {
    if (body.length > this.#left) throw this.#mismatch('more', this.#size - this.#left + body.length);
    if (body.length === 0) return;
    this.#left -= body.length;
    this.#append(body);
    if (this.#left === 0) this.#advance(paddingAfter(this.#size));
  }

  /** Ends the archive and hands out what is left of it. @throws `SIZE_MISMATCH` as `entry` does. */
  finish(): void {
    this.#endBody();
    this.#isFinished = true;
    this.#used += 2 * blockSize;
    this.#flush();
  }

  /** Takes back what the sink was handed and is done with, to be filled anew where it is a block of the encoder's own. */
  takeBack({ buffer }: Uint8Array): void {
    if (this.#lent.delete(buffer)) this.#spare = new Uint8Array(buffer).fill(0);
  }

  #endBody(): void {
    if (this.#isFinished) {
      throw new StowageError('ARGUMENT_INVALID', 'This TarEncoder is finished. Make a new one for another archive.');
    }
    if (this.#left > 0) throw this.#mismatch('fewer', this.#size - this.#left);
  }

  /**
   * Copies into the block in hand until that is full; what is left passes by reference if it would fill a block alone. Where it just
   * would not, the block takes it all: else each chunk of a body that comes in 64 KiB, behind its header, would be copied in two.
   */
  #append(bytes: Uint8Array): void {
    let rest = bytes;
    while (rest.length > 0) {
      if (rest.length >= this.#outputSize && (this.#used === 0 || this.#used + rest.length < 2 * this.#outputSize)) {
        this.#sink(this.#used === 0 ? rest : this.#takeWith(rest));
        return;
      }
      const length = Math.min(rest.length, this.#outputSize - this.#used);
      const part = length === rest.length ? rest : rest.subarray(0, length);
      this.#output.set(part, this.#used);
      this.#advance(length);
      rest = rest.subarray(length);
    }
  }

  /** Takes what was written into the block, or the zeros that it began with, as output. */
  #advance(length: number): void {
    this.#used += length;
    if (this.#used >= this.#outputSize) this.#flush();
  }

  #flush(): void {
    const block = this.#output.subarray(0, this.#used);
    this.#lent.add(block.buffer);
    this.#output = this.#spare ?? newOutput(this.#outputSize);
    this.#spare = undefined;
    this.#used = 0;
    this.#sink(block);
  }

  /** The block in hand with the bytes behind it, in a new one; what it leaves is zeros again. */
  #takeWith(bytes: Uint8Array): Uint8Array {
    const joined = new Uint8Array(this.#used + bytes.length);
    joined.set(this.#output.subarray(0, this.#used));
    joined.set(bytes, this.#used);
    this.#output.fill(0, 0, this.#used);
    this.#used = 0;
    return joined;
  }

  #mismatch(comparison: 'more' | 'fewer', actual: number): StowageError {
    return new StowageError(
      'SIZE_MISMATCH',
      `${JSON.stringify(this.#path)}: the body has ${comparison} bytes (${actual}) than its size says (${this.#size}). ` +
        'Give the size that the body has; a file that changes while it is read has to be copied first.',
      { path: this.#path, expected: this.#size, actual },
    );
  }
}

/** Zeros, with room behind a full block for what is written without asking: a header, padding, or the end of the archive. */
function newOutput(size: number): Uint8Array {
  return new Uint8Array(size + 2 * blockSize);
}

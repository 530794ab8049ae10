/** An object while it is written: held where it is small, sent part by part where it is not, with one part held at most. */
import { StowageError } from '../errors.ts';
import { quotePath } from './path.ts';
import type { R2BucketBinding, R2Part, R2Upload } from './r2-bucket.ts';
import { persistently } from './r2-failure.ts';

/** R2 takes no smaller parts, but for the last. */
export const smallestPart: number = 5 * 1024 * 1024;
/** R2 takes no more parts of one object. */
const mostParts = 10_000;
const firstBlock = 64 * 1024;

/** Writes to one key. Nothing is visible there before `finish`. Its errors are R2's own. */
export class ObjectWriter {
  readonly key: string;
  readonly #bucket: R2BucketBinding;
  readonly #partSize: number;
  readonly #parts: R2Part[] = [];
  #upload: R2Upload | undefined;
  #block = new Uint8Array(0);
  #used = 0;
  #size = 0;
  #tail: Promise<void> = Promise.resolve();

  /** `key` is where a file of more than `partSize` bytes goes; a smaller one may still be put elsewhere. */
  constructor(bucket: R2BucketBinding, key: string, partSize: number) {
    this.#bucket = bucket;
    this.key = key;
    this.#partSize = partSize;
  }

  /** Whether parts were sent, so that the file can go to `key` only. */
  get isBound(): boolean {
    return this.#upload !== undefined;
  }

  /** Bytes taken so far. */
  get size(): number {
    return this.#size;
  }

  /** Calls may overlap: they are written in the order of the calls, and after one has failed all others do. */
  write(chunk: Uint8Array): Promise<void> {
    const written = this.#tail.then(() => this.#write(chunk));
    this.#tail = written;
    // The failure belongs to the caller of this write, and to that of the next one; nobody else need hear of it.
    written.catch(() => {});
    return written;
  }

  /** Makes the object visible: under `key`, or where no part was sent yet under `other`. */
  async finish(other: string = this.key): Promise<void> {
    await this.#tail;
    const rest = this.#block.subarray(0, this.#used);
    if (this.#upload === undefined) {
      await persistently(() => this.#bucket.put(other, rest));
    } else {
      if (rest.length > 0) await this.#send(rest);
      await this.#upload.complete(this.#parts);
    }
    this.#block = new Uint8Array(0);
  }

  /** Forgets what was sent. Never throws. */
  async abort(): Promise<void> {
    await this.#tail.catch(() => {});
    this.#block = new Uint8Array(0);
    this.#used = 0;
    await this.#upload?.abort().catch(() => {});
  }

  async #write(chunk: Uint8Array): Promise<void> {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#used === this.#block.length) {
        if (this.#used < this.#partSize) this.#grow(rest.length);
        else {
          await this.#send(this.#block);
          this.#used = 0;
        }
      }
      const taken = rest.subarray(0, this.#block.length - this.#used);
      this.#block.set(taken, this.#used);
      this.#used += taken.length;
      this.#size += taken.length;
      rest = rest.subarray(taken.length);
    }
  }

  /** A small block first, since most files are documents; then at once one for a whole part. */
  #grow(wanted: number): void {
    const block = new Uint8Array(this.#used === 0 && wanted <= firstBlock ? firstBlock : this.#partSize);
    block.set(this.#block);
    this.#block = block;
  }

  async #send(bytes: Uint8Array): Promise<void> {
    const number = this.#parts.length + 1;
    if (number > mostParts) {
      throw new StowageError(
        'LIMIT_EXCEEDED',
        `R2 takes ${mostParts} parts of an object, and ${quotePath(this.key)} has more of ${this.#partSize} bytes. Give the storage a larger partSize.`,
        { key: this.key, limit: 'partSize', maximum: mostParts * this.#partSize },
      );
    }
    this.#upload ??= await persistently(() => this.#bucket.createMultipartUpload(this.key));
    const upload = this.#upload;
    this.#parts.push(await persistently(() => upload.uploadPart(number, bytes)));
  }
}

/** The body of the entry in hand: what is left of its data in the archive, and the holes between, as events. */
import type { ChunkQueue } from './chunk-queue.ts';
import type { TarEvent } from './entry.ts';
import { type Extents, holeBytes } from './sparse.ts';

/** Reads one body after another out of a queue. */
export class BodyReader {
  /** Bytes of the body's data that are still to come in the archive. */
  left = 0;
  /** Bytes of holes in the bodies that were read so far: the one thing that comes out without having come in. */
  holeTotal = 0;
  #size = 0;
  #extents: Extents = none;
  #extent = 0;
  #position = 0;
  #skipping = false;
  #holesCounted = false;

  /** Begins a body of `size` bytes of which the archive holds `left`; without extents, those are the same. */
  start(size: number, left: number, extents: Extents | undefined): void {
    this.#size = size;
    this.left = left;
    this.#extents = extents ?? [0, size];
    this.#extent = 0;
    this.#position = 0;
    this.#skipping = false;
    this.#holesCounted = size === left;
  }

  skip(): void {
    this.#skipping = true;
  }

  /** The next event, `undefined` where the queue has run dry. `onHoles` is called before the first event of a body with holes. */
  next(input: ChunkQueue, onHoles: () => void): TarEvent | undefined {
    if (this.#skipping) {
      this.left -= input.skip(this.left);
      return this.left === 0 ? endEvent : undefined;
    }
    if (!this.#holesCounted) {
      this.#holesCounted = true;
      this.holeTotal += this.#size - this.left;
      onHoles();
    }
    const extents = this.#extents;
    while (this.#extent < extents.length && extents[this.#extent]! + extents[this.#extent + 1]! <= this.#position) {
      this.#extent += 2;
    }
    const isLast = this.#extent >= extents.length;
    const start = isLast ? this.#size : extents[this.#extent]!;
    if (this.#position < start) {
      const bytes = holeBytes(start - this.#position);
      this.#position += bytes.length;
      return { type: 'body', bytes };
    }
    if (isLast) return endEvent;
    const bytes = input.read(start + extents[this.#extent + 1]! - this.#position);
    if (bytes === undefined) return undefined;
    this.left -= bytes.length;
    this.#position += bytes.length;
    return { type: 'body', bytes };
  }
}

const none: Extents = [];
const endEvent: TarEvent = { type: 'end' };

/** Repeated strings (RFC 1951, section 4): bytes in, literal runs and matches out, as packed tokens. */
import { searchQuickly } from './quick-search.ts';
import { maximumMatch, windowSize } from './symbols.ts';
import { type Effort, hashBits, hashMultiplier, lengthShift, longestRun, runShift } from './tokens.ts';

const windowMask = windowSize - 1;

/** Far enough before every position to be out of every window. */
const nowhere = -2 * windowSize;

/** The positions of earlier strings, by the hash of their first four bytes, and the tokens found last. */
export class MatchFinder {
  readonly tokens: Int32Array;
  private readonly head = new Int32Array(1 << hashBits);
  private readonly previous = new Int32Array(windowSize);

  /** `bytes` is the most that is searched between two calls of `reset`. */
  constructor(bytes: number) {
    // A token that is not the last covers at least 3 bytes.
    this.tokens = new Int32Array(Math.ceil(bytes / 3) + 16);
  }

  /** Forgets all strings. */
  reset(): void {
    this.head.fill(nowhere);
  }

  /** Takes up the strings that start in `[from, to)`, of input that ends at `end`. */
  prime(input: DataView, from: number, to: number, end: number): void {
    const { head, previous } = this;
    const stop = Math.min(to, end - 3);
    for (let at = from; at < stop; at++) {
      const hash = Math.imul(input.getInt32(at, true), hashMultiplier) >>> (32 - hashBits);
      previous[at & windowMask] = head[hash]!;
      head[hash] = at;
    }
  }

  /**
   * Writes the tokens for `[from, to)`; gives their count. A match is taken only where the next position has no longer
   * one.
   */
  search(input: DataView, from: number, to: number, effort: Effort): number {
    if (effort.chain === 1) return searchQuickly(input, from, to, this.head, this.tokens, effort);
    return this.searchChains(input, from, to, effort);
  }

  private searchChains(input: DataView, from: number, to: number, effort: Effort): number {
    const { head, previous, tokens } = this;
    const { chain, nice, lazy, good, skip, stride } = effort;
    let made = 0;
    let runStart = from;
    let at = from;
    let heldLength = 3;
    let heldDistance = 0;
    const stop = to - 3;

    while (at < stop) {
      const first = input.getInt32(at, true);
      const hash = Math.imul(first, hashMultiplier) >>> (32 - hashBits);
      let candidate = head[hash]!;
      previous[at & windowMask] = candidate;
      head[hash] = at;

      let length = heldLength;
      let distance = 0;
      if (heldLength < lazy || heldDistance === 0) {
        const oldest = at - windowMask;
        const longest = Math.min(maximumMatch, to - at);
        if (length < longest && candidate >= oldest) {
          let left = heldLength >= good ? chain >> 2 : chain;
          let last = input.getInt32(at + length - 3, true);
          do {
            if (input.getInt32(candidate + length - 3, true) === last && input.getInt32(candidate, true) === first) {
              let same = 4;
              let difference = 0;
              while (same + 4 <= longest) {
                difference = input.getInt32(at + same, true) ^ input.getInt32(candidate + same, true);
                if (difference !== 0) break;
                same += 4;
              }
              if (difference !== 0) same += (31 - Math.clz32(difference & -difference)) >> 3;
              else while (same < longest && input.getUint8(at + same) === input.getUint8(candidate + same)) same++;
              if (same > length) {
                length = same;
                distance = at - candidate;
                if (same >= nice || same === longest) break;
                last = input.getInt32(at + length - 3, true);
              }
            }
            candidate = previous[candidate & windowMask]!;
          } while (--left > 0 && candidate >= oldest);
        }
      }

      if (heldDistance !== 0) {
        if (distance === 0) {
          // The match at the position before stands. What was skipped or not taken up before it may match as well.
          let start = at - 1;
          while (
            start > runStart &&
            start > heldDistance &&
            heldLength < maximumMatch &&
            input.getUint8(start - 1) === input.getUint8(start - 1 - heldDistance)
          ) {
            start--;
            heldLength++;
          }
          made = this.put(made, start - runStart, heldLength, heldDistance);
          runStart = start + heldLength;
          const insertEnd = Math.min(runStart, stop);
          for (at += stride; at < insertEnd; at += stride) {
            const inner = Math.imul(input.getInt32(at, true), hashMultiplier) >>> (32 - hashBits);
            previous[at & windowMask] = head[inner]!;
            head[inner] = at;
          }
          at = runStart;
          heldLength = 3;
          heldDistance = 0;
          continue;
        }
        heldLength = length;
        heldDistance = distance;
        at++;
      } else if (distance !== 0) {
        heldLength = length;
        heldDistance = distance;
        at++;
      } else {
        at += 1 + ((at - runStart) >> skip);
      }
    }
    if (heldDistance !== 0) {
      const start = at - 1;
      made = this.put(made, start - runStart, heldLength, heldDistance);
      runStart = start + heldLength;
    }
    let run = to - runStart;
    for (; run > longestRun; run -= longestRun) tokens[made++] = longestRun << runShift;
    if (run > 0) tokens[made++] = run << runShift;
    return made;
  }

  private put(count: number, literals: number, length: number, distance: number): number {
    const { tokens } = this;
    let made = count;
    let run = literals;
    for (; run > longestRun; run -= longestRun) tokens[made++] = longestRun << runShift;
    tokens[made++] = (run << runShift) | ((length - 3) << lengthShift) | distance;
    return made;
  }
}

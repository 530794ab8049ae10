/**
 * The search for matches at the lowest levels: of all earlier strings with the same hash, only the last one is known.
 * A third faster than walking a chain of one, since nothing is kept for a walk.
 */

import { maximumMatch, windowSize } from './symbols.ts';
import { type Effort, hashBits, hashMultiplier, lengthShift, longestRun, runShift } from './tokens.ts';

/** Strings that are looked up reach this far beyond the position of the first. */
const reach = 5;

/**
 * Tokens for `[from, to)`, written into `tokens` from the start; gives their count. `head` holds the last position of
 * each hash, as `MatchFinder` keeps it. Uses `lazy`, `skip` and `stride` of the effort.
 */
export function searchQuickly(
  input: DataView,
  from: number,
  to: number,
  head: Int32Array,
  tokens: Int32Array,
  effort: Effort,
): number {
  const { lazy, skip, stride } = effort;
  let made = 0;
  let runStart = from;
  let at = from;
  const stop = to - reach;

  while (at < stop) {
    const first = input.getInt32(at, true);
    const hash = Math.imul(first, hashMultiplier) >>> (32 - hashBits);
    let candidate = head[hash]!;
    head[hash] = at;
    if (candidate <= at - windowSize || input.getInt32(candidate, true) !== first) {
      at += 1 + ((at - runStart) >> skip);
      continue;
    }
    let length = matchLength(input, candidate, at, Math.min(maximumMatch, to - at));

    // As long as the next position has a longer match, the byte before it is one more literal.
    while (length < lazy && at + 1 < stop) {
      const longest = Math.min(maximumMatch, to - at - 1);
      if (length >= longest) break;
      const word = input.getInt32(at + 1, true);
      const nextHash = Math.imul(word, hashMultiplier) >>> (32 - hashBits);
      const other = head[nextHash]!;
      head[nextHash] = at + 1;
      if (
        other <= at + 1 - windowSize ||
        input.getInt32(other, true) !== word ||
        input.getInt32(other + length - 3, true) !== input.getInt32(at + length - 2, true)
      ) {
        break;
      }
      const longer = matchLength(input, other, at + 1, longest);
      if (longer <= length) break;
      length = longer;
      candidate = other;
      at++;
    }

    const distance = at - candidate;
    while (
      at > runStart &&
      candidate > 0 &&
      length < maximumMatch &&
      input.getUint8(at - 1) === input.getUint8(candidate - 1)
    ) {
      at--;
      candidate--;
      length++;
    }
    let run = at - runStart;
    for (; run > longestRun; run -= longestRun) tokens[made++] = longestRun << runShift;
    tokens[made++] = (run << runShift) | ((length - 3) << lengthShift) | distance;
    runStart = at + length;
    const insertEnd = Math.min(runStart, stop);
    for (let inner = at + 2; inner < insertEnd; inner += stride) {
      head[Math.imul(input.getInt32(inner, true), hashMultiplier) >>> (32 - hashBits)] = inner;
    }
    at = runStart;
  }
  let run = to - runStart;
  for (; run > longestRun; run -= longestRun) tokens[made++] = longestRun << runShift;
  if (run > 0) tokens[made++] = run << runShift;
  return made;
}

/** Bytes that are the same at both positions, the first four of which are, up to `longest`. */
function matchLength(input: DataView, candidate: number, at: number, longest: number): number {
  let same = 4;
  while (same + 4 <= longest) {
    const difference = input.getInt32(at + same, true) ^ input.getInt32(candidate + same, true);
    if (difference !== 0) return same + ((31 - Math.clz32(difference & -difference)) >> 3);
    same += 4;
  }
  while (same < longest && input.getUint8(at + same) === input.getUint8(candidate + same)) same++;
  return same;
}

/**
 * The search for matches at the higher levels (RFC 1951, section 4): earlier strings with the same first four bytes are
 * chained, the latest first, and as many are compared as the effort allows. Before them comes the last one with the same
 * first eight, so that no level finds less of what repeats at length than a lower one does.
 */
import type { Effort, Search } from './tokens.ts';

/** What an empty entry says: far enough before every position to be out of every window. */
export const nowhere = -65536;

/** Takes up the strings that start in `[from, to)`, of input that ends at `end`. */
export function primeChains(input: DataView, from: number, to: number, end: number, search: Search): void {
  const firstMultiplier = -0x61c88647;
  const secondMultiplier = -0x7a143595;
  const tableSize = 32768;
  const windowMask = 32767;
  const { tables } = search;
  const stop = Math.min(to, end - 7);
  for (let at = from; at < stop; at++) {
    const product = Math.imul(input.getInt32(at, true), firstMultiplier);
    const short = tableSize + (product >>> 17);
    tables[(product + Math.imul(input.getInt32(at + 4, true), secondMultiplier)) >>> 17] = at;
    tables[2 * tableSize + (at & windowMask)] = tables[short]!;
    tables[short] = at;
  }
}

/**
 * Searches on to position `until`, for matches that end at `end` or before. The tables of `search` hold the last position
 * of each hash of eight bytes, that of each hash of four, and for each position of the window the one before it with the
 * same hash of four.
 */
export function searchChains(input: DataView, search: Search, until: number, end: number, effort: Effort): void {
  const firstMultiplier = -0x61c88647;
  const secondMultiplier = -0x7a143595;
  const tableSize = 32768;
  const maximumMatch = 258;
  const windowMask = 32767;

  const { tables, tokens } = search;
  const chain = effort.chain | 0;
  const nice = effort.nice | 0;
  const lazy = effort.lazy | 0;
  const good = effort.good | 0;
  const skip = effort.skip | 0;
  const stride = effort.stride | 0;
  const last = end - 8;
  const stop = Math.min(until, last);
  let made = search.made | 0;
  let runStart = search.runStart | 0;
  let at = search.at | 0;
  let heldLength = 3;
  let heldDistance = 0;

  while (at < stop || heldDistance !== 0) {
    const first = input.getInt32(at, true);
    const second = input.getInt32(at + 4, true);
    const product = Math.imul(first, firstMultiplier);
    const long = (product + Math.imul(second, secondMultiplier)) >>> 17;
    const short = tableSize + (product >>> 17);
    let candidate = tables[long]!;
    let next = tables[short]!;
    tables[2 * tableSize + (at & windowMask)] = next;
    tables[long] = at;
    tables[short] = at;

    let length = heldLength;
    let distance = 0;
    if (heldLength < lazy || heldDistance === 0) {
      const oldest = at - windowMask;
      const longest = Math.min(maximumMatch, end - at);
      // What has the same eight bytes is compared first, then the chain.
      if (
        candidate < oldest ||
        input.getInt32(candidate, true) !== first ||
        input.getInt32(candidate + 4, true) !== second
      ) {
        candidate = next;
        if (candidate >= oldest) next = tables[2 * tableSize + (candidate & windowMask)]!;
      }
      if (length < longest && candidate >= oldest) {
        let left = heldLength >= good ? chain >> 2 : chain;
        let tail = input.getInt32(at + length - 3, true);
        do {
          if (input.getInt32(candidate + length - 3, true) === tail && input.getInt32(candidate, true) === first) {
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
              tail = input.getInt32(at + length - 3, true);
            }
          }
          candidate = next;
          if (candidate < oldest) break;
          next = tables[2 * tableSize + (candidate & windowMask)]!;
        } while (--left > 0);
      }
    }

    // As in the search by two tables: longer by as much as it is farther.
    if (
      distance !== 0 &&
      (heldDistance === 0 || ((length - heldLength) << 2) + Math.clz32(distance) - Math.clz32(heldDistance) > 0)
    ) {
      heldLength = length;
      heldDistance = distance;
      at++;
      if (at < last) continue;
    } else if (heldDistance === 0) {
      at += 1 + ((at - runStart) >> skip);
      continue;
    }
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
    let run = start - runStart;
    for (; run > 255; run -= 255) tokens[made++] = 255 << 24;
    tokens[made++] = (run << 24) | ((heldLength - 3) << 16) | heldDistance;
    runStart = start + heldLength;
    heldLength = 3;
    heldDistance = 0;
    const insertEnd = Math.min(runStart, last);
    for (at += stride; at < insertEnd; at += stride) {
      const innerProduct = Math.imul(input.getInt32(at, true), firstMultiplier);
      const inner = tableSize + (innerProduct >>> 17);
      tables[(innerProduct + Math.imul(input.getInt32(at + 4, true), secondMultiplier)) >>> 17] = at;
      tables[2 * tableSize + (at & windowMask)] = tables[inner]!;
      tables[inner] = at;
    }
    at = runStart;
  }
  search.made = made;
  search.runStart = runStart;
  search.at = at;
}

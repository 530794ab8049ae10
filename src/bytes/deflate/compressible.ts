/** A quick look at input that is compressed or encrypted already, so that it is stored without a search for matches. */

/** Bytes that are judged as one. */
export const stretchSize = 32768;

/** Bytes that are counted for a first judgement, and as many more for the second. */
const samples = 1024;
const counts = new Int32Array(256);

/**
 * Bounds on the sum, over all byte values, of the squared distance from an even distribution per expected count: about
 * 255 for random bytes, give or take 23. Above that, 2 * samples * ln 2 * 0.08 stand for each percent that Huffman codes
 * alone would save: 114 in the first judgement, 227 in the second, which draws the line at half a percent.
 */
const evenAtFirst = 255 + 57 + 6 * 23;
const evenAtLast = 255 + 114;

const probeBits = 12;
const probes = new Int32Array(1 << probeBits);
const probeMultiplier = 0x9e3779b1 | 0;

/**
 * Whether it is of no use to compress `[from, to)`: its bytes are spread evenly, and a sample of its strings of four
 * bytes does not come up again.
 */
export function isIncompressible(bytes: Uint8Array, view: DataView, from: number, to: number): boolean {
  const size = to - from;
  if (size < 4 * samples) return false;
  // Odd, so that records of 8 or 16 bytes do not show the same field every time.
  const step = ((size >> 10) - 1) | 1;
  counts.fill(0);
  count(bytes, from, step);
  if (unevenness(samples) > evenAtFirst) return false;
  count(bytes, from + (step >> 1), step);
  return unevenness(samples * 2) <= evenAtLast && !repeats(view, from, to);
}

/** Whether strings of four bytes come up again: one in 8 KiB, in a sample. */
function repeats(view: DataView, from: number, to: number): boolean {
  // Positions 16 apart are taken up, and now and then 16 in a row are looked up: a repeat of 19 bytes there meets one.
  probes.fill(-1);
  let found = 0;
  for (let at = from; at < to - 19; at += 16) {
    if (((at - from) & 255) === 0) {
      for (let near = at; near < at + 16; near++) {
        const word = view.getInt32(near, true);
        const earlier = probes[Math.imul(word, probeMultiplier) >>> (32 - probeBits)]!;
        if (earlier >= 0 && view.getInt32(earlier, true) === word) found++;
      }
    }
    probes[Math.imul(view.getInt32(at, true), probeMultiplier) >>> (32 - probeBits)] = at;
  }
  return found * 8192 >= to - from;
}

function count(bytes: Uint8Array, from: number, step: number): void {
  for (let at = from, left = samples; left > 0; left--, at += step) {
    const byte = bytes[at]!;
    counts[byte] = counts[byte]! + 1;
  }
}

/** The sum of (count - expected)^2 / expected, in whole numbers but for one division by a power of two. */
function unevenness(total: number): number {
  let squares = 0;
  for (let byte = 0; byte < 256; byte++) squares += counts[byte]! * counts[byte]!;
  return squares / (total / 256) - total;
}

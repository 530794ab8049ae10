/** A quick look at input that is compressed or encrypted already, so that it is stored without a search for matches. */

/** Bytes that are judged as one. */
export const stretchSize = 32768;

const samples = 4096;
const counts = new Uint32Array(256);

/**
 * Sum over all byte values of the squared distance from an even distribution, per expected count: around 255 for random
 * bytes. Each 2 * samples * ln 2 * 0.08 = 455 above that stand for one percent that Huffman codes alone would save.
 */
const evenDistribution = 255 + 227;

const probeBits = 12;
const probes = new Int32Array(1 << probeBits);
const probeMultiplier = 0x9e3779b1 | 0;

/**
 * Whether it is of no use to compress `[from, to)`: its bytes are spread evenly, and a sample of its strings of four
 * bytes does not come up again within the stretch or in the stretch before it.
 */
export function isIncompressible(bytes: Uint8Array, view: DataView, from: number, to: number): boolean {
  const size = to - from;
  if (size < samples) return false;
  counts.fill(0);
  const step = Math.floor(size / samples);
  for (let at = from, left = samples; left > 0; left--, at += step) counts[bytes[at]!] = counts[bytes[at]!]! + 1;
  let squares = 0;
  for (let byte = 0; byte < 256; byte++) squares += counts[byte]! * counts[byte]!;
  // The sum of (count - expected)^2 / expected, in whole numbers but for one division by a power of two.
  if (squares / (samples / 256) - samples > evenDistribution) return false;

  // Positions eight apart are taken up, and runs of eight positions looked up: any repeat of 11 bytes meets one of them.
  probes.fill(-1);
  let found = 0;
  let looked = 0;
  const start = Math.max(0, from - stretchSize);
  const stop = to - 8;
  for (let at = start; at < stop; at += 8) {
    if (at >= from && (at & 127) === (from & 127)) {
      for (let near = at; near < at + 8; near++) {
        const word = view.getInt32(near, true);
        const earlier = probes[Math.imul(word, probeMultiplier) >>> (32 - probeBits)]!;
        if (earlier >= 0 && view.getInt32(earlier, true) === word) found++;
      }
      looked++;
    }
    probes[Math.imul(view.getInt32(at, true), probeMultiplier) >>> (32 - probeBits)] = at;
  }
  return found * 64 < looked;
}

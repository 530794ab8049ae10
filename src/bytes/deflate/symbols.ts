/** The alphabets of DEFLATE (RFC 1951, sections 3.2.5 to 3.2.7): lengths and distances as symbols with extra bits. */

/** Longest match, in bytes. */
export const maximumMatch = 258;

/** Farthest match, in bytes: what a block may refer back to. */
export const windowSize = 32768;

/** Most bytes of one stored block. */
export const storedMaximum = 65535;

export const endOfBlock = 256;

/** Symbols of literals and lengths that a block may use. */
export const literalSymbols = 286;

/** Symbols of distances that a block may use. */
export const distanceSymbols = 30;

/** The order in which the code lengths of the code length alphabet are sent. */
export const codeLengthOrder: readonly number[] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** Extra bits of the length symbols from 257 on. */
export const lengthExtraBits: Uint8Array = new Uint8Array(29);

/** Least length of each length symbol from 257 on. */
export const lengthBases: Uint16Array = new Uint16Array(29);

/** Length symbol, less 257, of a match of `index + 3` bytes. */
export const lengthSlots: Uint8Array = new Uint8Array(256);

/** Extra bits of each distance symbol. */
export const distanceExtraBits: Uint8Array = new Uint8Array(distanceSymbols);

/** Distance symbol of `distance - 1` below 256, and from 256 on that of `distance - 1` in steps of 128. */
export const distanceSlots: Uint8Array = new Uint8Array(512);

let length = 3;
for (let slot = 0; slot < 28; slot++) {
  lengthExtraBits[slot] = slot < 8 ? 0 : (slot >> 2) - 1;
  lengthBases[slot] = length;
  for (let left = 1 << lengthExtraBits[slot]!; left > 0; left--) lengthSlots[length++ - 3] = slot;
}
// The longest match has a symbol without extra bits to itself.
lengthBases[28] = maximumMatch;
lengthSlots[maximumMatch - 3] = 28;

let distance = 0;
for (let slot = 0; slot < distanceSymbols; slot++) {
  distanceExtraBits[slot] = slot < 2 ? 0 : (slot >> 1) - 1;
  const end = distance + (1 << distanceExtraBits[slot]!);
  for (; distance < end; distance++) {
    if (distance < 256) distanceSlots[distance] = slot;
    else distanceSlots[256 + (distance >> 7)] = slot;
  }
}

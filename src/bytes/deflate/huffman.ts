/** Huffman codes for DEFLATE (RFC 1951, section 3.2.2): lengths from frequencies under a limit, and the canonical codes of lengths. */

/** Most symbols that one of DEFLATE's alphabets has: literals and lengths. */
const maximumSymbols = 288;

/** The longest code that any alphabet of DEFLATE may have, in bits. */
const maximumLength = 15;

/** More than any frequency, and what remains of it when it is a key. */
const never = 0x7fffffff >> 9;

/** Frequencies from here on are sorted by comparing. */
const often = 128;

const places = new Int32Array(often + 1);
const keys = new Int32Array(maximumSymbols + 1);
const weights = new Int32Array(maximumSymbols);
const parents = new Int32Array(maximumSymbols);
const depths = new Int32Array(maximumSymbols);
const lengthCounts = new Int32Array(maximumLength + 2);
const nextCodes = new Int32Array(maximumLength + 2);

/**
 * Sets `lengths[symbol]` to the code length of each of the first `count` symbols, 0 for one that does not occur. No
 * length passes `limit`. At least two symbols always get a code: some readers refuse a code that is not complete.
 *
 * Its loops stand in functions of their own: compiled as one, again for each branch that V8 meets late, they took a fiftieth of the time
 * for a layer of 150 MB.
 */
export function setCodeLengths(frequencies: Int32Array, count: number, limit: number, lengths: Uint8Array): void {
  lengths.fill(0, 0, count);
  const used = sortKeys(frequencies, count);
  if (used < 2) {
    const only = used === 0 ? 0 : keys[0]! & 511;
    lengths[only] = 1;
    lengths[only === 0 ? 1 : 0] = 1;
    return;
  }
  setDepths(used);
  countLengths(used, limit);
  handOut(limit, lengths);
}

/** Sets `lengthCounts` to how many codes have each length, those that are deeper cut to the limit. */
function countLengths(leaves: number, limit: number): void {
  lengthCounts.fill(0);
  let excess = -1 << limit;
  for (let leaf = 0; leaf < leaves; leaf++) {
    const length = Math.min(depths[leaf]!, limit);
    lengthCounts[length] = lengthCounts[length]! + 1;
    excess += 1 << (limit - length);
  }
  // Codes cut to the limit take more room than there is. Each step makes a shorter code longer by one and puts one of
  // the longest beside it, which gives back one code of the longest length.
  for (; excess > 0; excess--) {
    let length = limit - 1;
    while (lengthCounts[length] === 0) length--;
    lengthCounts[length] = lengthCounts[length]! - 1;
    lengthCounts[length + 1] = lengthCounts[length + 1]! + 2;
    lengthCounts[limit] = lengthCounts[limit]! - 1;
  }
}

/** Gives the rarest symbols the longest codes. */
function handOut(limit: number, lengths: Uint8Array): void {
  let leaf = 0;
  for (let length = limit; length > 0; length--) {
    for (let left = lengthCounts[length]!; left > 0; left--) lengths[keys[leaf++]! & 511] = length;
  }
}

/** Sets `codes[symbol]` to the canonical code of each of the first `count` symbols, its bits in the order in which they are sent. */
export function setCanonicalCodes(lengths: Uint8Array, count: number, codes: Uint16Array): void {
  lengthCounts.fill(0);
  for (let symbol = 0; symbol < count; symbol++) {
    const length = lengths[symbol]!;
    lengthCounts[length] = lengthCounts[length]! + 1;
  }
  lengthCounts[0] = 0;
  let code = 0;
  for (let length = 1; length <= maximumLength; length++) {
    code = (code + lengthCounts[length - 1]!) << 1;
    nextCodes[length] = code;
  }
  for (let symbol = 0; symbol < count; symbol++) {
    const length = lengths[symbol]!;
    if (length === 0) continue;
    const next = nextCodes[length]!;
    nextCodes[length] = next + 1;
    codes[symbol] = reverseBits(next, length);
  }
}

function reverseBits(code: number, length: number): number {
  let bits = ((code & 0x5555) << 1) | ((code >> 1) & 0x5555);
  bits = ((bits & 0x3333) << 2) | ((bits >> 2) & 0x3333);
  bits = ((bits & 0x0f0f) << 4) | ((bits >> 4) & 0x0f0f);
  bits = ((bits & 0x00ff) << 8) | ((bits >> 8) & 0x00ff);
  return bits >> (16 - length);
}

/**
 * Sets `keys` to the symbols that occur, rarest first and then by number; gives how many they are. A block has fewer than
 * 2^21 symbols, so that frequency and symbol fit one number. Most are rare: those are placed by counting, and only the rest
 * is sorted.
 */
function sortKeys(frequencies: Int32Array, count: number): number {
  places.fill(0);
  for (let symbol = 0; symbol < count; symbol++) {
    const frequency = Math.min(frequencies[symbol]!, often);
    places[frequency] = places[frequency]! + 1;
  }
  let place = 0;
  for (let frequency = 1; frequency <= often; frequency++) {
    const next = place + places[frequency]!;
    places[frequency] = place;
    place = next;
  }
  const sorted = places[often]!;
  for (let symbol = 0; symbol < count; symbol++) {
    const frequency = frequencies[symbol]!;
    if (frequency === 0) continue;
    const bucket = Math.min(frequency, often);
    const at = places[bucket]!;
    places[bucket] = at + 1;
    keys[at] = (frequency << 9) | symbol;
  }
  const used = places[often]!;
  for (let at = sorted + 1; at < used; at++) {
    const key = keys[at]!;
    let before = at - 1;
    while (before >= sorted && keys[before]! > key) {
      keys[before + 1] = keys[before]!;
      before--;
    }
    keys[before + 1] = key;
  }
  return used;
}

/** Builds the tree over the sorted `keys` and sets `depths` of the leaves, in the same order: the two queues are the leaves and the nodes made. */
function setDepths(leaves: number): void {
  const nodes = leaves - 1;
  // Behind the end of either queue stands what is never the lesser of two.
  keys[leaves] = 0x7fffffff;
  weights.fill(never, 0, nodes);
  let leaf = 0;
  let node = 0;
  let leafWeight = keys[0]! >> 9;
  let nodeWeight = never;
  for (let made = 0; made < nodes; made++) {
    let weight = 0;
    // A leaf's depth is the depth of its parent and one more: `depths` keeps the parent until those are known.
    if (leafWeight <= nodeWeight) {
      weight = leafWeight;
      depths[leaf++] = made;
      leafWeight = keys[leaf]! >> 9;
    } else {
      weight = nodeWeight;
      parents[node++] = made;
      nodeWeight = weights[node]!;
    }
    if (leafWeight <= nodeWeight) {
      weight += leafWeight;
      depths[leaf++] = made;
      leafWeight = keys[leaf]! >> 9;
    } else {
      weight += nodeWeight;
      parents[node++] = made;
      nodeWeight = weights[node]!;
    }
    weights[made] = weight;
    if (node === made) nodeWeight = weight;
  }
  parents[nodes - 1] = 0;
  for (let index = nodes - 2; index >= 0; index--) parents[index] = parents[parents[index]!]! + 1;
  for (let index = 0; index < leaves; index++) depths[index] = parents[depths[index]!]! + 1;
}

/**
 * Lookup tables for the prefix codes of DEFLATE (RFC 1951, sections 3.2.2 and 3.2.5), in two levels: the first is asked
 * with `root` bits of input, and leads to a small second table for the few codes that are longer.
 *
 * An entry is one number: the bits that the code takes (or those beyond `root`, in a second table) in 0–7, the count of
 * extra bits or of the second table's index in 8–11, what kind of entry it is in 12–15, and its value in 16–31: a
 * literal, the base of a length or distance, or where the second table begins. A literal is of no kind.
 */

export const kindBase = 0x1000;
export const kindEnd = 0x2000;
export const kindInvalid = 0x4000;
export const kindTable = 0x8000;

export const codeLengthRoot = 7;
export const literalRoot = 10;
export const distanceRoot = 9;

/** Room for both levels; the worst codes need 1,332 and 592 entries (zlib's `enough` for 286 and 30 symbols of 15 bits). */
export const literalEntries = 2048;
export const distanceEntries = 1024;

/** What the symbols of a code mean. */
export type CodeKind = 'code length' | 'literal' | 'distance';

/** Fills `table` for the code whose symbols have these lengths in bits, 0 to 15. Throws `Error` for lengths that make no prefix code. */
export function fillTable(table: Uint32Array, root: number, lengths: Uint8Array, kind: CodeKind): void {
  const counts = new Uint16Array(16);
  for (const length of lengths) counts[length]!++;
  let longest = 15;
  while (longest > 0 && counts[longest] === 0) longest--;
  let left = 1;
  for (let length = 1; length <= 15; length++) {
    left = left * 2 - counts[length]!;
    if (left < 0) throw new Error(`more ${kind} codes than there can be`);
  }
  // A code of one symbol leaves half of itself unused, and a block without matches needs no distances; else codes are complete.
  if (left > 0 && (kind === 'code length' || longest > 1)) throw new Error(`an incomplete ${kind} code`);
  table.fill(kindInvalid | 1, 0, 1 << root);

  const offsets = new Uint16Array(17);
  for (let length = 1; length <= 15; length++) offsets[length + 1] = offsets[length]! + counts[length]!;
  const sorted = new Uint16Array(lengths.length);
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    const length = lengths[symbol]!;
    if (length > 0) sorted[offsets[length]!++] = symbol;
  }

  let code = 0;
  let index = 0;
  let free = 1 << root;
  let prefix = -1;
  let start = 0;
  let width = 0;
  for (let length = 1; length <= longest; length++, code <<= 1) {
    for (let rank = 0; rank < counts[length]!; rank++, code++) {
      const meaning = meaningOf(sorted[index++]!, kind);
      const reversed = reverse(code, length);
      if (length <= root) {
        for (let at = reversed; at < 1 << root; at += 1 << length) table[at] = meaning | length;
        continue;
      }
      if ((reversed & ((1 << root) - 1)) !== prefix) {
        // Codes of one prefix follow one another, so the table is as wide as it takes for the rest of them to fill it.
        prefix = reversed & ((1 << root) - 1);
        start = free;
        width = length - root;
        let open = (1 << width) - (counts[length]! - rank);
        while (open > 0 && width + root < longest) {
          width++;
          open = open * 2 - counts[width + root]!;
        }
        free += 1 << width;
        table[prefix] = (start << 16) | kindTable | (width << 8) | root;
      }
      for (let at = reversed >> root; at < 1 << width; at += 1 << (length - root)) {
        table[start + at] = meaning | (length - root);
      }
    }
  }
}

/** The tables of blocks that bring none (section 3.2.6). */
export function fixedTables(): { literals: Uint32Array; distances: Uint32Array } {
  if (fixed === undefined) {
    fixed = { literals: new Uint32Array(1 << literalRoot), distances: new Uint32Array(1 << distanceRoot) };
    const lengths = new Uint8Array(288).fill(8).fill(9, 144, 256).fill(7, 256, 280);
    fillTable(fixed.literals, literalRoot, lengths, 'literal');
    fillTable(fixed.distances, distanceRoot, new Uint8Array(32).fill(5), 'distance');
  }
  return fixed;
}

let fixed: { literals: Uint32Array; distances: Uint32Array } | undefined;

function meaningOf(symbol: number, kind: CodeKind): number {
  if (kind === 'code length' || (kind === 'literal' && symbol < 256)) return symbol << 16;
  if (kind === 'distance') {
    // Two distances for each count of extra bits, from the fourth on.
    const extra = Math.max(0, (symbol >> 1) - 1);
    const base = symbol < 4 ? symbol + 1 : ((2 + (symbol & 1)) << extra) + 1;
    return symbol < 30 ? (base << 16) | kindBase | (extra << 8) : kindInvalid;
  }
  if (symbol === 256) return kindEnd;
  if (symbol === 285) return (258 << 16) | kindBase;
  // Four lengths for each count of extra bits, from the eighth on.
  const rank = symbol - 257;
  const extra = Math.max(0, (rank >> 2) - 1);
  const base = rank < 8 ? rank + 3 : ((4 + (rank & 3)) << extra) + 3;
  return symbol < 286 ? (base << 16) | kindBase | (extra << 8) : kindInvalid;
}

/** Codes stand in the stream with their highest bit first, all else with its lowest. */
function reverse(code: number, length: number): number {
  let reversed = 0;
  for (let bit = 0; bit < length; bit++) reversed |= ((code >> bit) & 1) << (length - 1 - bit);
  return reversed;
}

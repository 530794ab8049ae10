/** Chance that can be repeated: all that a fuzz case does follows from its seed. */

export interface Random {
  /** A whole number from 0 to, not including, `end`. */
  below(end: number): number;
  /** True once in so many times. */
  oneIn(times: number): boolean;
  pick<T>(list: readonly T[]): T;
  bytes(size: number): Uint8Array;
}

/** Xorshift of 32 bits (Marsaglia 2003), its seed spread so that neighbouring ones have nothing in common. */
export function randomFrom(seed: number): Random {
  let state = Math.imul(seed ^ (seed >>> 15), 0x2c1b3c6d) ^ 0x6a09e667 || 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  for (let round = 0; round < 8; round++) next();
  const below = (end: number): number => Math.floor((next() / 2 ** 32) * end);
  return {
    below,
    oneIn: (times) => below(times) === 0,
    pick: (list) => list[below(list.length)] as (typeof list)[number],
    bytes: (size) => Uint8Array.from({ length: size }, next),
  };
}

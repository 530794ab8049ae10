/** What the search for matches hands on, and by what it is led. */

/**
 * A token is a run of literals and the match behind it: run in bits 24 to 31, match length less 3 in bits 16 to 23,
 * distance in bits 0 to 15. Distance 0 stands for no match, after a run too long for one token or at the end.
 */
export const runShift = 24;
export const longestRun = 255;
export const lengthShift = 16;

/** How hard to look for matches. */
export interface Effort {
  /** Earlier strings of the same hash that are compared at one position. At 1, `nice` and `good` mean nothing. */
  chain: number;
  /** A match this long is taken without looking further. */
  nice: number;
  /** A match this long is taken without trying the next position; 0 takes every match. */
  lazy: number;
  /** With a match this long in hand, only a quarter of the chain is searched for a better one. */
  good: number;
  /** Literals in a row, as a power of two, after which one position more is skipped at each step. */
  skip: number;
  /** Of the strings within a match, one in so many is taken up for later matches. */
  stride: number;
  /** Symbols that the search for block boundaries takes as one. */
  chunk: number;
}

export const hashBits = 15;
export const hashMultiplier: number = 0x9e3779b1 | 0;

/**
 * What the search for matches hands on, and by what it is led.
 *
 * The innermost loops name constants within their functions, as numbers: one of a module is loaded anew at each use, as a
 * value of unknown type, wherever a bundler has made a `var` of it. That took a fifth of the time. `| 0` tells the type of
 * a field.
 */

/**
 * A token is a run of literals and the match behind it: run in bits 24 to 31, match length less 3 in bits 16 to 23,
 * distance in bits 0 to 15. Distance 0 stands for no match, after a run too long for one token or at the end.
 */
export const runShift = 24;
export const longestRun = 255;

/** Entries of each of the tables that a search keeps: of hashes of 15 bits, or of positions in the window. */
export const tableSize = 32768;

/** A search under way: what it knows of the bytes before, what it has found and how far it is. */
export interface Search {
  /** Tables, one behind the other, as each way of searching keeps them. */
  readonly tables: Int32Array;
  /** The position from which those in the tables are counted, where they are not counted from the input's start. */
  base: number;
  readonly tokens: Int32Array;
  /** Tokens that are written. */
  made: number;
  /** End of the last token's match: literals from here on are not in a token yet. */
  runStart: number;
  /** The next position to look at. */
  at: number;
}

/** How hard to look for matches. */
export interface Effort {
  /**
   * Strings of the same hash that are compared at one position. At 0, there are two tables and no chains, and `nice` and
   * `good` mean nothing.
   */
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

/** Repeated strings (RFC 1951, section 4): bytes in, literal runs and matches out, as packed tokens. */
import { nowhere, primeChains, searchChains } from './chain-search.ts';
import { windowSize } from './symbols.ts';
import { type Effort, longestRun, runShift, type Search, tableSize } from './tokens.ts';
import { primeTwoTables, searchTwoTables } from './two-table-search.ts';

/**
 * Bytes that are searched by one call. The output does not depend on it. It is small because V8 optimises a function
 * that is called often, as a whole; one that stays in its loop is optimised there, without knowledge of how the loop
 * ends, slower, and is entered there again, and left by force, at every later call.
 */
const pieceSize = 4096;

/** The strings of the window, and the tokens found last. */
export class MatchFinder implements Search {
  readonly tokens: Int32Array;
  readonly tables: Int32Array = new Int32Array(3 * tableSize);
  base = 0;
  made = 0;
  runStart = 0;
  at = 0;

  /** `bytes` is the most that is searched between two calls of `prime`, less than 2 MiB with a window before it. */
  constructor(bytes: number) {
    // A token that is not the last covers at least 3 bytes.
    this.tokens = new Int32Array(Math.ceil(bytes / 3) + 16);
  }

  /** Forgets all strings and takes up those that start in `[from, to)`, of input that ends at `end`. */
  prime(input: DataView, from: number, to: number, end: number, effort: Effort): void {
    this.base = to - windowSize;
    this.tables.fill(effort.chain === 0 ? 0 : nowhere);
    for (let at = from; at < to; at += pieceSize) {
      const until = Math.min(at + pieceSize, to);
      if (effort.chain === 0) primeTwoTables(input, at, until, end, this);
      else primeChains(input, at, until, end, this);
    }
  }

  /** Writes the tokens for `[from, to)`; gives their count. */
  search(input: DataView, from: number, to: number, effort: Effort): number {
    this.made = 0;
    this.runStart = from;
    this.at = from;
    for (let until = from; until < to; ) {
      until = Math.min(until + pieceSize, to);
      if (effort.chain === 0) searchTwoTables(input, this, until, to, effort);
      else searchChains(input, this, until, to, effort);
    }
    let run = to - this.runStart;
    for (; run > longestRun; run -= longestRun) this.tokens[this.made++] = longestRun << runShift;
    if (run > 0) this.tokens[this.made++] = run << runShift;
    return this.made;
  }
}

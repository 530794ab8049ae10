/** The script of a compressing worker: blocks come in as messages, their compressed form goes out. See `deflate-pool.ts`. */
import { crc32 } from './crc32.ts';
import { DeflateEncoder } from './deflate.ts';
import { nativeModule, transferable } from './runtime.ts';

/** A block to compress. The buffer behind `input` is shared or transferred, and comes back with the result in it. */
export interface DeflateJob {
  id: number;
  level: number;
  input: Uint8Array;
  start: number;
  end: number;
  final: boolean;
}

/** A worker's word: that it has started, that a job is done, or that it failed. */
export type DeflateReply =
  | { type: 'ready' }
  /** The first `length` bytes of `buffer`, which is the job's `input`, are what came out. */
  | { type: 'done'; id: number; length: number; crc: number; buffer: Uint8Array }
  | { type: 'failed'; id: number; reason: string };

interface Port {
  onmessage: ((event: { data: DeflateJob }) => void) | null;
  postMessage(message: DeflateReply, transfer?: ArrayBuffer[]): void;
}

let encoder: { level: number; encode: DeflateEncoder['encode'] } | undefined;

const port: Port =
  nativeModule<{ parentPort?: Port | null }>('node:worker_threads')?.parentPort ?? (globalThis as unknown as Port);
port.onmessage = ({ data: { id, level, input, start, end, final } }) => {
  try {
    if (encoder?.level !== level) {
      const made = new DeflateEncoder(level);
      encoder = { level, encode: made.encode.bind(made) };
    }
    const output = encoder.encode(input, start, end, final);
    const crc = crc32(input.subarray(start, end));
    // A buffer of its own would lie in the other thread until a full collection there: megabytes for each second of work.
    input.set(output);
    port.postMessage({ type: 'done', id, length: output.length, crc, buffer: input }, transferable(input));
  } catch (error) {
    port.postMessage({ type: 'failed', id, reason: String(error) });
  }
};
port.postMessage({ type: 'ready' });

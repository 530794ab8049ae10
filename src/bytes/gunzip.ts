/**
 * Gzip decompression (RFC 1952) as layers need it: streaming, of any number of members (pigz, bgzip and eStargz write
 * thousands), refusing what is damaged, cut short or followed by anything else, and bounded against bombs.
 */
import { StowageError } from '../errors.ts';
import { type Limits, limitExceeded, resolveLimits } from '../limits.ts';
import { readChunks } from './byte-source.ts';
import type { Zlib } from './gunzip-native.ts';
import { load } from './load.ts';
import { nativeModule } from './runtime.ts';

/** Makes the error for what is wrong at a byte of the input. */
export type GzipFault = (reason: string, offset: number) => Error;

/** Options of {@link gunzip}. */
export interface GunzipOptions {
  /** Changes to the bounds `inflatedBytes` and `inflateRatio`. */
  limits?: Partial<Limits>;
  /** Ends it at once, with everything released. */
  signal?: AbortSignal;
  /** The subject of error sentences. Default `the gzip stream`. */
  what?: string;
  /** `native` is zlib, where the runtime has it, and the default there; `portable` runs everywhere. Both refuse and give the same. */
  engine?: 'native' | 'portable';
}

/**
 * Decompresses, chunk by chunk. What has been given out is certain only when the iteration has ended cleanly, for a
 * member's checksum stands behind it. Leaving the loop early, or an error, cancels `chunks`.
 *
 * @throws `GZIP_INVALID` for what is no gzip, is corrupt, is cut short or has anything behind its last member (zeros
 * too), with `offset` in the details: bytes of input, where the native engine gives the beginning of the damaged stretch.
 * @throws `LIMIT_EXCEEDED` past `inflatedBytes`, or past `inflateRatio` once the output is over 1 GiB.
 * @throws `RUNTIME_UNSUPPORTED` for `engine: 'native'` where the runtime has no zlib.
 */
export async function* gunzip(
  chunks: AsyncIterable<Uint8Array>,
  options: GunzipOptions = {},
): AsyncGenerator<Uint8Array, void, void> {
  const { what = 'the gzip stream', signal } = options;
  const limits = resolveLimits(options.limits);
  const zlib = options.engine === 'portable' ? undefined : nativeModule<Zlib>('node:zlib');
  if (options.engine === 'native' && zlib === undefined) {
    throw new StowageError('RUNTIME_UNSUPPORTED', 'This runtime has no zlib of its own. Leave out engine: "native".');
  }
  const fault: GzipFault = (reason, offset) =>
    new StowageError(
      'GZIP_INVALID',
      `${what} ${reason} at byte ${offset}. It was damaged or cut short on its way; fetch or compress it again.`,
      { offset },
    );
  const count = { input: 0 };
  const input = counted(readChunks(chunks, { signal }), count);
  let output = 0;
  for await (const chunk of await inflate(zlib, input, fault, signal)) {
    output += chunk.length;
    if (output > limits.inflatedBytes) throw limitExceeded('inflatedBytes', limits, what, { input: count.input });
    if (output > ratioFrom && output > limits.inflateRatio * count.input) {
      throw limitExceeded('inflateRatio', limits, what, { input: count.input, output });
    }
    yield chunk;
    signal?.throwIfAborted();
  }
}

/** Loads the one engine that is used. */
async function inflate(
  zlib: Zlib | undefined,
  chunks: AsyncIterable<Uint8Array>,
  fault: GzipFault,
  signal: AbortSignal | undefined,
): Promise<AsyncIterable<Uint8Array>> {
  if (zlib !== undefined) return (await load(() => import('./gunzip-native.ts'))).gunzipNatively(zlib, chunks, fault);
  return (await load(() => import('./gunzip-portable.ts'))).gunzipPortably(chunks, fault, signal);
}

/** Below this many bytes of output, a ratio does no harm, and honest files of zeros have it. */
const ratioFrom = 1024 ** 3;

async function* counted(
  chunks: AsyncIterable<Uint8Array>,
  count: { input: number },
): AsyncGenerator<Uint8Array, void, void> {
  for await (const chunk of chunks) {
    count.input += chunk.length;
    yield chunk;
  }
}

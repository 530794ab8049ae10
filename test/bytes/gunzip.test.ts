import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readBytes, readChunks } from '../../src/bytes/byte-source.ts';
import { concatBytes, inPieces } from '../../src/bytes/chunks.ts';
import { compressionOf, decompress } from '../../src/bytes/compression.ts';
import { crc32 } from '../../src/bytes/crc32.ts';
import { gunzip } from '../../src/bytes/gunzip.ts';
import { gzip } from '../../src/bytes/gzip.ts';
import { nativeModule } from '../../src/bytes/runtime.ts';
import { StowageError } from '../../src/errors.ts';

const engines = nativeModule('node:zlib') === undefined ? (['portable'] as const) : (['portable', 'native'] as const);
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** An empty member: a plain header, one empty block with a fixed code, and zeros. */
const emptyMember = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0);

for (const engine of engines) {
  const unpack = (chunks: Uint8Array[]): Promise<Uint8Array> => readBytes(gunzip(readChunks(chunks), { engine }));

  describe(`gunzip, ${engine} engine`, () => {
    test('gives back what was compressed, at every level and however the input is cut', async () => {
      await fc.assert(
        fc.asyncProperty(content, fc.integer({ min: 0, max: 9 }), cuts, async (bytes, level, at) => {
          expectSame(await unpack(cut(await pack(bytes, level), at)), bytes);
        }),
        { numRuns: 150 },
      );
    });

    test('reads any number of members as one content, empty ones among them, however the input is cut', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(content, { minLength: 1, maxLength: 6 }), cuts, async (contents, at) => {
          const members = await Promise.all(contents.map((bytes) => pack(bytes)));
          expectSame(await unpack(cut(concatBytes(members), at)), concatBytes(contents));
        }),
        { numRuns: 80 },
      );
    });

    test('reads ten thousand small members', async () => {
      const one = await pack(encode('x'));
      const members = Array.from({ length: 10_000 }, (_, index) => (index % 2 === 0 ? one : emptyMember));
      expectSame(await unpack([concatBytes(members)]), encode('x'.repeat(5_000)));
    });

    test('reads content larger than every buffer inside, byte by byte the same', async () => {
      const bytes = sample(3_000_000);
      expectSame(await unpack(cut(await pack(bytes), [10, 70_000, 70_001, 300_000])), bytes);
    });

    test('input that comes one byte at a time is read like any other', async () => {
      const packed = concatBytes([await pack(sample(3_000)), emptyMember, await pack(encode('end'))]);
      expectSame(
        await unpack(Array.from(packed, (byte) => Uint8Array.of(byte))),
        concatBytes([sample(3_000), encode('end')]),
      );
    });

    test('every optional field of a header is read over', async () => {
      const bytes = encode('what is inside');
      for (let flags = 0; flags < 32; flags++) {
        const packed = concatBytes([await withHeader(bytes, flags), await withHeader(bytes, flags)]);
        const expected = concatBytes([bytes, bytes]);
        expectSame(await unpack([packed]), expected);
        expectSame(await unpack(Array.from(packed, (byte) => Uint8Array.of(byte))), expected);
      }
    });

    test('a header check that does not match, reserved flags and other methods are refused', async () => {
      const checked = await withHeader(encode('x'), 2);
      for (const [index, value] of [
        [10, checked[10]! ^ 1],
        [3, 0x20],
        [3, 0x80],
        [2, 7],
      ] as const) {
        expect(await fault(unpack([checked.with(index, value)]))).toBe('GZIP_INVALID');
      }
    });

    test('input that was cut short is refused, wherever the cut is', async () => {
      const packed = concatBytes([await withHeader(sample(400), 31), await pack(encode('second'))]);
      const first = packed.length - (await pack(encode('second'))).length;
      for (let length = 0; length < packed.length; length++) {
        // Between members there is nothing to tell a cut from an end.
        if (length === first) continue;
        expect(await fault(unpack([packed.subarray(0, length)]))).toBe('GZIP_INVALID');
      }
    });

    test('anything behind the last member is refused, zeros too, with the offset', async () => {
      const packed = await pack(encode('content'));
      for (let byte = 0; byte < 256; byte++) {
        expect(await fault(unpack([packed, Uint8Array.of(byte)]))).toBe('GZIP_INVALID');
        expect(await fault(unpack([concatBytes([packed, Uint8Array.of(byte, byte, byte)])]))).toBe('GZIP_INVALID');
      }
      for (const zeros of [1, 20, 512, 200_000]) {
        const error = await rejection(unpack([packed, new Uint8Array(zeros)]));
        expect(error.details.offset).toBe(packed.length);
        expect(await fault(unpack([concatBytes([packed, new Uint8Array(zeros), packed])]))).toBe('GZIP_INVALID');
      }
    });

    test('a changed byte never goes unnoticed where content could be wrong, and is always a GZIP_INVALID', async () => {
      const bytes = sample(5_000);
      const packed = concatBytes([await pack(bytes.subarray(0, 3_000)), await pack(bytes.subarray(3_000))]);
      await fc.assert(
        fc.asyncProperty(fc.nat(packed.length - 1), fc.integer({ min: 1, max: 255 }), cuts, async (index, flip, at) => {
          const changed = packed.with(index, packed[index]! ^ flip);
          try {
            // Time, file system and the hint on speed can say anything.
            expectSame(await unpack(cut(changed, at)), bytes);
          } catch (error) {
            expect((error as StowageError).code).toBe('GZIP_INVALID');
          }
        }),
        { numRuns: 600 },
      );
    });

    test('input of any bytes gives a result or a GZIP_INVALID', async () => {
      const start = emptyMember.subarray(0, 10);
      await fc.assert(
        fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.boolean(), async (bytes, deflate) => {
          const code = await fault(unpack(deflate ? [start, bytes] : [bytes]));
          expect(['GZIP_INVALID', undefined]).toContain(code);
        }),
        { numRuns: 500 },
      );
    });

    test('empty input is no gzip', async () => {
      expect(await fault(unpack([]))).toBe('GZIP_INVALID');
      expect(await fault(unpack([encode('not gzip')]))).toBe('GZIP_INVALID');
    });

    test('a bomb is refused when its output passes the limit, by the name of the limit', async () => {
      const bomb = await pack(new Uint8Array(5_000_000));
      const error = await rejection(
        readBytes(gunzip(readChunks(bomb), { engine, limits: { inflatedBytes: 1_000_000 }, what: 'layer sha256:00' })),
      );
      expect(error.code).toBe('LIMIT_EXCEEDED');
      expect(error.details.limit).toBe('inflatedBytes');
      expect(error.message).toContain('layer sha256:00');
    });

    test('leaving the loop early releases the source, though that has more to give or hangs', async () => {
      for (const hang of [false, true]) {
        const source = new Source(await pack(sample(2_000_000)), hang);
        for await (const chunk of gunzip(source.chunks(), { engine })) {
          expect(chunk.length).toBeGreaterThan(0);
          break;
        }
        await source.released;
      }
    });

    test('an error of the source comes through as it is', async () => {
      const broken = new Error('the disk is gone');
      const packed = await pack(sample(500_000));
      async function* failing(): AsyncGenerator<Uint8Array, void, void> {
        yield packed.subarray(0, 100_000);
        throw broken;
      }
      await expect(readBytes(gunzip(failing(), { engine }))).rejects.toBe(broken);
    });

    test('a timer that aborts has its turn, though all input is in memory', async () => {
      const reason = new Error('too slow');
      const controller = new AbortController();
      const packed = await pack(new Uint8Array(4_000_000));
      const endless = (function* (): Generator<Uint8Array, void, void> {
        for (;;) yield packed;
      })();
      setTimeout(() => controller.abort(reason), 20);
      const reading = (async () => {
        for await (const _ of gunzip(readChunks(endless), { engine, signal: controller.signal }));
      })();
      await expect(reading).rejects.toBe(reason);
    });

    test('an aborted signal ends it with its reason, before the first chunk, between chunks, and while the source hangs', async () => {
      const packed = await pack(sample(2_000_000));
      const reason = new Error('the user left');
      await expect(readBytes(gunzip(readChunks(packed), { engine, signal: AbortSignal.abort(reason) }))).rejects.toBe(
        reason,
      );

      for (const hang of [false, true]) {
        const source = new Source(packed, hang);
        const controller = new AbortController();
        const seen: number[] = [];
        const reading = (async () => {
          for await (const chunk of gunzip(source.chunks(), { engine, signal: controller.signal })) {
            seen.push(chunk.length);
            if (hang) setTimeout(() => controller.abort(reason), 5);
            else controller.abort(reason);
          }
        })();
        await expect(reading).rejects.toBe(reason);
        if (!hang) expect(seen.length).toBe(1);
        await source.released;
      }
    });
  });
}

describe('decompress', () => {
  test('tells gzip, zstd and what is neither by the first bytes', () => {
    expect(compressionOf(emptyMember)).toBe('gzip');
    expect(compressionOf(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0))).toBe('zstd');
    expect(compressionOf(Uint8Array.of(0x50, 0x2a, 0x4d, 0x18))).toBe('zstd');
    for (const bytes of [[], [0x1f], [0x28, 0xb5, 0x2f], [0, 0, 0, 0]]) {
      expect(compressionOf(Uint8Array.from(bytes))).toBe('none');
    }
  });

  test('gzip is decompressed and all else passes unchanged, however the first bytes come', async () => {
    await fc.assert(
      fc.asyncProperty(content, fc.boolean(), cuts, async (bytes, packed, at) => {
        fc.pre(packed || compressionOf(bytes) === 'none');
        const result = await decompress(readChunks(cut(packed ? await pack(bytes) : bytes, at)));
        expect(result.compression).toBe(packed ? 'gzip' : 'none');
        expectSame(await readBytes(result.chunks), bytes);
      }),
      { numRuns: 100 },
    );
  });

  test('broken zstd is refused with a sentence, and the source released', async () => {
    const source = new Source(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0xff, 0xff, 0xff), false);
    const { compression, chunks } = await decompress(source.chunks());
    expect(compression).toBe('zstd');
    expect(await fault(readBytes(chunks))).toBe('ZSTD_INVALID');
    await source.released;
  });

  test('leaving the loop over what it gives releases the source', async () => {
    for (const bytes of [await pack(sample(500_000)), sample(500_000)]) {
      const source = new Source(bytes, false);
      const { chunks } = await decompress(source.chunks());
      for await (const _ of chunks) break;
      await source.released;
    }
  });
});

/** Short and long, random and repetitive. */
const content = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.nat(200_000).map((length) => sample(length)),
  fc.nat(200_000).map((length) => new Uint8Array(length)),
);

/** Places to cut input at; those past its end are no cuts. */
const cuts = fc.array(fc.oneof(fc.nat(40), fc.nat(60_000)), { maxLength: 8 });

function cut(bytes: Uint8Array, at: number[]): Uint8Array[] {
  const ends = [...at.filter((end) => end < bytes.length), bytes.length].sort((a, b) => a - b);
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
}

/** Half words that repeat, half noise, the same each time. */
function sample(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let state = 1;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[index] = (index >> 9) % 2 === 0 ? 97 + ((state >>> 16) % 7) : state >>> 24;
  }
  return bytes;
}

function pack(bytes: Uint8Array, level = 6): Promise<Uint8Array> {
  return readBytes(inPieces(gzip(readChunks(bytes), { level }), 65536));
}

/** One member with the optional fields that the flags call for (RFC 1952, section 2.3). */
async function withHeader(bytes: Uint8Array, flags: number): Promise<Uint8Array> {
  const header: Uint8Array[] = [Uint8Array.of(0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 2, 255)];
  if (flags & 4) header.push(Uint8Array.of(4, 0, 65, 66, 0, 0));
  if (flags & 8) header.push(encode('name\0'));
  if (flags & 16) header.push(encode('comment\0'));
  const check = crc32(concatBytes(header));
  if (flags & 2) header.push(Uint8Array.of(check & 255, (check >> 8) & 255));
  return concatBytes([...header, (await pack(bytes)).subarray(10)]);
}

/** Gives its bytes in pieces, hangs after half of them if told, and says when it was released. */
class Source {
  readonly released: Promise<void>;
  #release: () => void = () => {};
  readonly #bytes: Uint8Array;
  readonly #hang: boolean;

  constructor(bytes: Uint8Array, hang: boolean) {
    this.#bytes = bytes;
    this.#hang = hang;
    this.released = new Promise((resolve) => {
      this.#release = resolve;
    });
  }

  chunks(): AsyncIterable<Uint8Array> {
    let at = 0;
    return {
      [Symbol.asyncIterator]: () => ({
        next: async () => {
          if (this.#hang && at > this.#bytes.length / 2) await new Promise(() => {});
          if (at >= this.#bytes.length) return { done: true, value: undefined };
          at += 65536;
          return { done: false, value: this.#bytes.subarray(at - 65536, at) };
        },
        return: async () => {
          this.#release();
          return { done: true, value: undefined };
        },
      }),
    };
  }
}

function expectSame(actual: Uint8Array, expected: Uint8Array): void {
  expect(actual.length).toBe(expected.length);
  // Element by element, a deep comparison of a megabyte takes seconds.
  const different = actual.findIndex((byte, index) => byte !== expected[index]);
  expect(different).toBe(-1);
}

async function rejection(promise: Promise<unknown>): Promise<StowageError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(StowageError);
  return error as StowageError;
}

/** The code of the error that it rejects with; `undefined` where it does not. */
async function fault(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(StowageError);
    return (error as StowageError).code;
  }
}

import fc from 'fast-check';
import { inflateSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { crc32, crc32Combine, portableCrc32 } from '../../src/bytes/crc32.ts';
import { isIncompressible, stretchSize } from '../../src/bytes/deflate/compressible.ts';
import { setCanonicalCodes, setCodeLengths } from '../../src/bytes/deflate/huffman.ts';
import { blockSize, DeflateEncoder, dictionarySize } from '../../src/bytes/deflate.ts';

const levels = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

describe('what the encoder writes is DEFLATE that gives the input back', () => {
  const kinds: Record<string, (size: number) => Uint8Array> = {
    zeros: (size) => new Uint8Array(size),
    noise: (size) => noise(size, 1),
    words: (size) => words(size, 2),
    records: (size) => records(size, 3),
    'two letters': (size) => noise(size, 4).map((byte) => 97 + (byte & 1)),
    'noise that repeats': (size) => repeated(noise(700, 5), size),
    'words and noise by turns': (size) => byTurns(size, 6),
  };
  const sizes = [
    0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 254, 255, 256, 257, 258, 259, 260, 511, 515, 4095, 4096, 4097, 32767, 32768, 32769,
    65534, 65535, 65536, 131071, 131075,
  ];

  for (const [kind, make] of Object.entries(kinds)) {
    test(`${kind}, at every level and at sizes around every boundary`, () => {
      for (const level of levels) {
        const encoder = new DeflateEncoder(level);
        for (const size of sizes) {
          const input = make(size);
          expectSame(inflateSync(encoder.encode(input, 0, size, true)), input, `level ${level}, ${size} bytes`);
        }
      }
    });
  }

  test('input of several blocks, each of which refers back to the one before', () => {
    for (const make of [words, byTurns, records]) {
      const input = make(2 * blockSize + 77, 5);
      for (const level of [1, 6, 9]) expectSame(inflateSync(inBlocks(input, level)), input, `level ${level}`);
    }
  });

  test('any mixture of noise, runs and copies from before', () => {
    const encoders = levels.map((level) => new DeflateEncoder(level));
    fc.assert(
      fc.property(mixtures, fc.nat({ max: 9 }), (input, level) => {
        expectSame(inflateSync(encoders[level]!.encode(input, 0, input.length, true)), input, `level ${level}`);
      }),
      { numRuns: 400 },
    );
  });

  test('a start within the input: what lies before it serves as the dictionary, at most 32 KiB of it', () => {
    const input = words(3 * dictionarySize, 9);
    for (const level of [1, 4, 9]) {
      const encoder = new DeflateEncoder(level);
      const near = encoder.encode(input, 2 * dictionarySize, input.length, true).slice();
      const only = input.slice(dictionarySize);
      expectSame(encoder.encode(only, dictionarySize, only.length, true), near, 'more before the dictionary');
      const dictionary = input.slice(dictionarySize, 2 * dictionarySize);
      expectSame(inflateSync(near, { dictionary }), input.slice(2 * dictionarySize), `level ${level}`);
    }
  });
});

describe('what the encoder writes depends on input and level alone', () => {
  test('an encoder that has worked before gives what a new one gives', () => {
    for (const level of levels) {
      const used = new DeflateEncoder(level);
      for (const input of [words(300_000, 1), noise(90_000, 2), new Uint8Array(70_000), records(200_000, 3)]) {
        const fresh = new DeflateEncoder(level).encode(input, 0, input.length, true);
        expectSame(used.encode(input, 0, input.length, true), fresh, `level ${level}`);
      }
    }
  });

  test('bytes behind the end, and where in its buffer the input lies, change nothing', () => {
    const input = words(50_000, 7);
    const elsewhere = new Uint8Array(input.length + 1000).fill(0xaa);
    elsewhere.set(input, 333);
    for (const level of levels) {
      const encoder = new DeflateEncoder(level);
      const plain = encoder.encode(input, 0, input.length, true).slice();
      const view = elsewhere.subarray(333);
      expectSame(encoder.encode(view, 0, input.length, true), plain, `level ${level}`);
    }
  });
});

describe('the same bytes in every runtime and release', () => {
  /** Length and CRC-32 of the output for 1.2 MB of words, records, and both with noise, by level. A change here changes everybody's digests. */
  const golden: [number, number][][] = [
    [
      [1200100, 826890120],
      [1200100, 2206207913],
      [1200100, 2600918431],
    ],
    [
      [306499, 796324221],
      [439956, 1498828160],
      [577735, 1533022909],
    ],
    [
      [301501, 11877517],
      [384834, 962286537],
      [573370, 1869755171],
    ],
    [
      [291475, 3770762502],
      [384685, 1432536776],
      [554143, 1264464301],
    ],
    [
      [286193, 1149256229],
      [383273, 2111491209],
      [549752, 2370481915],
    ],
    [
      [282268, 233345996],
      [382967, 1494491918],
      [546775, 2525083785],
    ],
    [
      [278160, 2001878039],
      [381087, 1250339417],
      [532185, 3076909427],
    ],
    [
      [274542, 84991817],
      [362376, 1599380014],
      [530813, 3101525523],
    ],
    [
      [272677, 2771485276],
      [366087, 2680079274],
      [529009, 3503043130],
    ],
    [
      [259736, 1914272765],
      [370617, 3890829995],
      [513030, 2287328474],
    ],
  ];

  const inputs = [words, records, byTurns].map((make) => make(1_200_000, 11));

  test('the inputs are what they were', () => {
    expect(inputs.map((input) => portableCrc32(input))).toEqual([1335226651, 3333540050, 3338507566]);
  });

  for (const level of levels) {
    test(`level ${level}`, () => {
      const outputs = inputs.map((input) => inBlocks(input, level));
      expect(outputs.map((output) => [output.length, portableCrc32(output)])).toEqual(golden[level]);
    });
  }
});

describe('size', () => {
  test('a higher level gives no larger output, within two percent', () => {
    for (const input of [words(600_000, 1), records(600_000, 2)]) {
      let before = Number.POSITIVE_INFINITY;
      for (const level of levels) {
        const { length } = inBlocks(input, level);
        expect(length, `level ${level}`).toBeLessThanOrEqual(before * 1.02);
        before = length;
      }
    }
  });

  test('noise grows by no more than 0.03 %, at any level', () => {
    const input = noise(blockSize + 12_345, 8);
    for (const level of levels) expect(inBlocks(input, level).length / input.length).toBeLessThan(1.0003);
  });

  test('noise within words is stored, and the words are compressed all the same', () => {
    const input = new Uint8Array(900_000);
    input.set(words(300_000, 1));
    input.set(noise(300_000, 2), 300_000);
    input.set(words(300_000, 3), 600_000);
    const apart = inBlocks(words(300_000, 1), 6).length + inBlocks(words(300_000, 3), 6).length;
    expect(inBlocks(input, 6).length).toBeLessThan((apart + 300_000) * 1.02);
  });

  test('zeros shrink to less than a five hundredth', () => {
    for (const level of levels.slice(1)) {
      expect(inBlocks(new Uint8Array(blockSize), level).length, `level ${level}`).toBeLessThan(blockSize / 500);
    }
  });
});

describe('the look for input that is not worth compressing', () => {
  const judge = (bytes: Uint8Array): boolean =>
    isIncompressible(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.length);

  test('sees noise, and sees what is compressed already', () => {
    expect(judge(noise(stretchSize, 1))).toBe(true);
    expect(judge(inBlocks(words(400_000, 1), 6).slice(0, stretchSize))).toBe(true);
  });

  test('lets pass what would shrink', () => {
    expect(judge(words(stretchSize, 1))).toBe(false);
    expect(judge(noise(stretchSize, 1).map((byte) => byte & 127))).toBe(false);
    expect(judge(repeated(noise(1500, 1), stretchSize))).toBe(false);
    // Records whose first field alone would look like noise.
    const random = noise(stretchSize, 1);
    for (const size of [2, 4, 8, 12, 16, 32, 64]) {
      expect(judge(random.map((byte, at) => (at % size === 0 ? byte : 1))), `records of ${size} bytes`).toBe(false);
    }
    expect(judge(new Uint8Array(stretchSize))).toBe(false);
  });
});

describe('Huffman codes', () => {
  const frequencies = fc.array(fc.oneof(fc.constant(0), fc.nat({ max: 20 }), fc.nat({ max: 100_000 })), {
    minLength: 19,
    maxLength: 286,
  });

  test('are complete, keep the limit, and give a code to what occurs', () => {
    fc.assert(
      fc.property(frequencies, fc.integer({ min: 9, max: 15 }), (counts, limit) => {
        const lengths = new Uint8Array(counts.length);
        setCodeLengths(Int32Array.from(counts), counts.length, limit, lengths);
        let room = 0;
        for (const [symbol, length] of lengths.entries()) {
          expect(length).toBeLessThanOrEqual(limit);
          if (counts[symbol]! > 0) expect(length).toBeGreaterThan(0);
          if (length > 0) room += 2 ** -length;
        }
        expect(room).toBe(1);
      }),
      { numRuns: 300 },
    );
  });

  test('of Fibonacci frequencies, the deepest of trees, keep the limit', () => {
    const counts = [1, 1];
    while (counts.length < 28) counts.push(counts.at(-1)! + counts.at(-2)!);
    const lengths = new Uint8Array(counts.length);
    setCodeLengths(Int32Array.from(counts), counts.length, 11, lengths);
    expect(Math.max(...lengths)).toBe(11);
    expect(lengths.reduce((room, length) => room + 2 ** -length, 0)).toBe(1);
  });

  test('take no more bits for a symbol than for a rarer one', () => {
    fc.assert(
      fc.property(frequencies, (counts) => {
        const lengths = new Uint8Array(counts.length);
        setCodeLengths(Int32Array.from(counts), counts.length, 15, lengths);
        const used = [...counts.keys()].filter((symbol) => counts[symbol]! > 0).sort((a, b) => counts[a]! - counts[b]!);
        for (let at = 1; at < used.length; at++) {
          if (counts[used[at]!]! > counts[used[at - 1]!]!) {
            expect(lengths[used[at]!]!).toBeLessThanOrEqual(lengths[used[at - 1]!]!);
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  test('of RFC 1951, section 3.2.2, come out as its example has them', () => {
    const codes = new Uint16Array(8);
    setCanonicalCodes(Uint8Array.of(3, 3, 3, 3, 3, 2, 4, 4), 8, codes);
    // 010 011 100 101 110 00 1110 1111, each sent from its other end.
    expect([...codes]).toEqual([0b010, 0b110, 0b001, 0b101, 0b011, 0b00, 0b0111, 0b1111]);
  });
});

describe('CRC-32', () => {
  test('has the value that RFC 1952 and its users agree on', () => {
    const digits = new TextEncoder().encode('123456789');
    expect(crc32(digits)).toBe(0xcbf43926);
    expect(portableCrc32(digits)).toBe(0xcbf43926);
    expect(crc32(new Uint8Array(0))).toBe(0);
  });

  test('is the same natively and portably, at once and in pieces, and combined from pieces', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 }), (first, second) => {
        const both = new Uint8Array(first.length + second.length);
        both.set(first);
        both.set(second, first.length);
        const sum = portableCrc32(both);
        expect(crc32(both)).toBe(sum);
        expect(portableCrc32(second, portableCrc32(first))).toBe(sum);
        expect(crc32Combine(crc32(first), crc32(second), second.length)).toBe(sum);
      }),
      { numRuns: 300 },
    );
  });

  test('combines over more than 4 GiB', () => {
    // 2^33 zeros behind a message, as 2^3 steps of 2^30 and as one.
    let stepwise = 0x12345678;
    for (let step = 0; step < 8; step++) stepwise = crc32Combine(stepwise, 0, 2 ** 30);
    expect(crc32Combine(0x12345678, 0, 2 ** 33)).toBe(stepwise);
  });
});

function inBlocks(input: Uint8Array, level: number): Uint8Array {
  const encoder = new DeflateEncoder(level);
  const parts: Uint8Array[] = [];
  let start = 0;
  do {
    const end = Math.min(start + blockSize, input.length);
    parts.push(encoder.encode(input, start, end, end === input.length).slice());
    start = end;
  } while (start < input.length);
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** `toEqual` on large arrays takes seconds to say yes. */
function expectSame(actual: Uint8Array, expected: Uint8Array, what: string): void {
  expect(actual.length, what).toBe(expected.length);
  let at = 0;
  while (at < expected.length && actual[at] === expected[at]) at++;
  expect(at, `${what}: first difference`).toBe(expected.length);
}

function noise(size: number, seed: number): Uint8Array {
  let state = seed * 2_654_435_761 + 1;
  return new Uint8Array(size).map(() => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 11;
  });
}

function words(size: number, seed: number): Uint8Array {
  const random = noise(size, seed);
  const list = 'layer image of the tar file and a digest blob by store config no in path mode link to size'.split(' ');
  let text = '';
  for (let at = 0; text.length < size; at += 2) {
    text += list[(random[at]! * random[at + 1]!) % list.length];
    text += random[at]! < 25 ? `${random[at + 1]!}\n` : ' ';
  }
  return new TextEncoder().encode(text.slice(0, size));
}

function records(size: number, seed: number): Uint8Array {
  const random = noise(size, seed);
  return new Uint8Array(size).map((_, at) =>
    at % 24 < 9 ? at >> 9 : at % 24 < 17 ? random[at]! & 7 : random[at >> 5]!,
  );
}

function repeated(pattern: Uint8Array, size: number): Uint8Array {
  return new Uint8Array(size).map((_, at) => pattern[at % pattern.length]!);
}

function byTurns(size: number, seed: number): Uint8Array {
  const text = words(size, seed);
  const random = noise(size, seed);
  return new Uint8Array(size).map((_, at) => ((at >> 13) & 3 ? text[at]! : random[at]!));
}

const mixtures: fc.Arbitrary<Uint8Array> = fc
  .array(
    fc.record({
      kind: fc.constantFrom('noise', 'run', 'copy'),
      size: fc.oneof(
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 250, max: 262 }),
        fc.integer({ max: 9000, min: 1 }),
      ),
      seed: fc.nat({ max: 40_000 }),
    }),
    { maxLength: 40 },
  )
  .map((parts) => {
    const made = new Uint8Array(parts.reduce((sum, { size }) => sum + size, 0));
    let at = 0;
    for (const { kind, size, seed } of parts) {
      const back = 1 + (seed % Math.max(1, at));
      if (kind === 'noise') made.set(noise(size, seed + 1), at);
      else if (kind === 'run') made.fill(seed, at, at + size);
      else for (let index = at; index < at + size; index++) made[index] = made[index - back] ?? 0;
      at += size;
    }
    return made;
  });

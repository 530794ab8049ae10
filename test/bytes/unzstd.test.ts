import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readChunks } from '../../src/bytes/byte-source.ts';
import { concatBytes } from '../../src/bytes/chunks.ts';
import { decompress } from '../../src/bytes/compression.ts';
import { type UnzstdOptions, unzstd } from '../../src/bytes/unzstd.ts';
import { Xxh64 } from '../../src/bytes/xxh64.ts';

/** What the reference encoder made of `original`: with a checksum; of unknown size, without one; at its highest level. */
const samples = {
  'level 1, no checksum':
    'KLUv/WD6DrULAIZVLxXAJcMBAJBF0Cr/xkkpZUopsSoO5wYtACcAJwAi////v23btt22bduSJEmS27ZtixWNvGBQIAweFAhDC4SBhGEAAwQBA4GAYYht27YkSZLktm3bFovFYrFYLBaLVVVVVVUREREREc3MzMzMiIiIiATbFgwGg8FgMBgMVlVVVVUREREREc3MzMzMiIiIiIj8////tm3bdhtVVVVVVUREREREMzMzMzMiIiIiIv///79t27bdtm3bkiRJktu2BYErqBGQN6TtoSdJOhGcIBhPa+0BA3x0EDkIDoQFwoXgQFggHCgOAgfBgvBAWBAcCA6FA8LBKEnS02yezk572qzY5SB4EFYIB4QDwUHhIDgQHAgPggVhgXBIOBAcBIvQDyV0FNn4JKM8F99UVDPxT0Sdh99psH/b3+xu9bf93b5mv7Xftm/rt93N/rZf293sd/ebqVAl/Ae14HegBPz1U/vUPdUKMMAD4adrGD6ggg/8nwDKwFQF',
  'level 5, from a pipe':
    'KLUv/QRY3QsAdhUwFLAlbQBYWM4eSiqUK7t3Sqk7QVcCLAAmACcAVVVVVUREREREMzMzMzO2bdt227ZtS5IkyZ8VFYYgFMOEYrQYBAgGAxEYxpBENDMzMzNj27Ztt23btiRJkqSIiIiICP////+7u7u7OzMzMzOzqm3btiVJkiSlUqlUKpVKpdL/////7u7u7s7MzMzMrKqqqqqKiIiIAgDBYCACwygQhGL8////v7u7u7szMzMzM6uqqqqqIiIiIiKamZmZmbFt27YbgSuoIewL7RmRJ0laDREgBApC4bTWHm8AXkAXgAtoBbgDnCAugBfEJeACcgHeACuIE+AlcAm4DCSk06fTkunp0yMX4ApwAzgBXQA3iAvCBfACvARWQCfATeACcQG8gC4Bh/Kg8KSyk2pOapvUaFKRSQWT6ktq2ZJI/9P/+d/8P/+e/83/7f/4f/o//8/759/z//pv/vcFOgJ1QBfQD9ADqP2pfnrUp+eP0RK+b4nVAxKYVvXo+ntFqyvjZFg=',
  'level 19':
    'KLUv/WT6DqUNABZaNRWgJ4UOAKbQ/w4AHPfeUu6dKLziZgw2AC8ALwBERERENDMzMzPTtm3bkiRJkiIiIiIiERERERH//79t27YVTXkgA2FQQLiAMAABgsJAQIFAGAKykC2bDLKiaVBiETu2GGJF0/nkxfvt4RVNx0222N62YSuactiwYcOGDauqqqqqotOi1KJ2bTXUiqZEoQVt2migFU2HMovZs80wK5qW0kV3tw5d0ZQULri5ceCKpkIJRVP+XzTl/0VT/l805f9FU/5fNOX/RVP+XzTl/0VT/l805f9FAYE3qDHA1vYNgS9I0mohDIGCoKxGfaw33BsX9iy690aLPYvuvdFiz6J7b7TYs+jeGy32LLr3Ros9i+690WLPontvtNiz6N4bLfYsuvdGm7167FB4S47IHmKypuSI7CEma0qOyB5isqbkiOwhJmtKjsgeYrKm5IjsISZrSo7IHmIu9b7nd9C91Pue34GyJ3SjUEfiH4ifOPzD8CMyO/aRkZ3/yMjOfWRk5z4ysnMfGdm5j4zs3EdGdi5f+CN8Dj4FP4EfwL+f2qeyp+a3ZJL9lA0BYoEgAhCfAtXBVAUr42RY',
};

const magic = [0x28, 0xb5, 0x2f, 0xfd];

describe('zstd', () => {
  for (const [name, sample] of Object.entries(samples)) {
    test(`is decompressed, however it is cut: ${name}`, async () => {
      const bytes = fromBase64(sample);
      for (const size of [1, 7, 100, bytes.length]) expect(await text(cut(bytes, size))).toBe(original());
    });

    test(`is refused where it ends early, anywhere: ${name}`, async () => {
      const bytes = fromBase64(sample);
      for (let length = 0; length < bytes.length; length++) {
        await expect(text([bytes.subarray(0, length)])).rejects.toMatchObject({ code: 'ZSTD_INVALID' });
      }
    });

    test(`gives the right bytes or none where it is damaged: ${name}`, async () => {
      const bytes = fromBase64(sample);
      const hasChecksum = (bytes[4]! & 4) !== 0;
      await fc.assert(
        fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
          const damaged = bytes.slice();
          damaged[at]! ^= change;
          try {
            const decoded = await text([damaged]);
            if (hasChecksum && at > 5) expect(decoded).toBe(original());
          } catch (error) {
            expect(error).toMatchObject({ name: 'StowageError' });
          }
        }),
        { numRuns: 300 },
      );
    });
  }

  test('of many frames, some to be skipped, gives all of their content', async () => {
    const frames = Object.values(samples).map(fromBase64);
    const all = [skippable(0), ...frames, skippable(70_000, 15), ...frames, skippable(5, 3)];
    for (const size of [3, 65536]) expect(await text(cut(concatBytes(all), size))).toBe(original().repeat(6));
    // As many as a hostile stream may have: each is small, and none is inside another.
    const empty = raw([]);
    expect(await text([concatBytes(Array.from({ length: 50_000 }, () => empty))])).toBe('');
    expect(await text([skippable(9)])).toBe('');
  });

  test('with anything behind it is refused, by the offset of that', async () => {
    const bytes = fromBase64(samples['level 19']);
    for (const rest of [[0], [0, 0, 0, 0], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]]) {
      await expect(text([bytes, new Uint8Array(rest)])).rejects.toMatchObject({ code: 'ZSTD_INVALID' });
    }
    await expect(text([bytes, new Uint8Array(4)])).rejects.toMatchObject({ details: { offset: bytes.length } });
    await expect(text([new TextEncoder().encode('plain text')])).rejects.toMatchObject({ details: { offset: 0 } });
    await expect(text([])).rejects.toMatchObject({ code: 'ZSTD_INVALID' });
  });

  test('that says another size than it has, or asks for a dictionary, is refused', async () => {
    const ten = raw([{ type: 0, bytes: new Uint8Array(10) }], { size: 10 });
    expect((await text([ten])).length).toBe(10);
    for (const size of [9, 11]) {
      const wrong = raw([{ type: 0, bytes: new Uint8Array(10) }], { size });
      await expect(text([wrong])).rejects.toMatchObject({ code: 'ZSTD_INVALID' });
    }
    await expect(text([new Uint8Array([...magic, 0x21, 7, 0, 1, 0, 0])])).rejects.toThrow('dictionary');
    await expect(text([new Uint8Array([...magic, 0x28, 0, 1, 0, 0])])).rejects.toMatchObject({ code: 'ZSTD_INVALID' });
    // Of the reserved block type, and larger than any block.
    for (const block of [
      [7, 0, 0],
      [1, 0, 0x80],
    ]) {
      const bytes = new Uint8Array([...magic, 0, 0x50, ...block, 0, 0, 0]);
      await expect(text([bytes])).rejects.toMatchObject({ code: 'ZSTD_INVALID' });
    }
  });

  test('that would inflate without end, or hold a giant window, is refused', async () => {
    const zeros = raw(Array.from({ length: 100 }, () => ({ type: 1, bytes: new Uint8Array(1), length: 131072 })));
    expect((await text([zeros])).length).toBe(13_107_200);
    const limits = { inflatedBytes: 1_000_000 };
    await expect(text([zeros], { limits })).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      details: { limit: 'inflatedBytes' },
    });
    const giant = new Uint8Array([...magic, 0, 0xff, 1, 0, 0]);
    await expect(text([giant])).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED', details: { limit: 'windowBytes' } });
    const whole = new Uint8Array([...magic, 0xa0, 0, 0, 0, 0xff, 1, 0, 0]);
    await expect(text([whole])).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED', details: { limit: 'windowBytes' } });
  });

  test('ends with the reason of an aborted signal, and releases its source', async () => {
    const reason = new Error('enough');
    const controller = new AbortController();
    const zeros = raw(Array.from({ length: 100 }, () => ({ type: 1, bytes: new Uint8Array(1), length: 131072 })));
    let isReleased = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        yield zeros;
      } finally {
        isReleased = true;
      }
    }
    const reading = async (): Promise<void> => {
      for await (const chunk of unzstd(source(), { signal: controller.signal }))
        if (chunk.length > 0) controller.abort(reason);
    };
    await expect(reading()).rejects.toBe(reason);
    expect(isReleased).toBe(true);
  });

  test('is told from its bytes, skippable frames before it included', async () => {
    for (const before of [new Uint8Array(), skippable(4, 7)]) {
      const bytes = concatBytes([before, fromBase64(samples['level 19'])]);
      const { compression, chunks } = await decompress(readChunks(bytes));
      expect(compression).toBe('zstd');
      expect(await joined(chunks)).toBe(original());
    }
  });
});

describe.each(['native', 'portable'] as const)(
  'a frame of many blocks, by the %s decoder where there is one',
  (engine) => {
    const content = new TextEncoder().encode(original());
    const blocks = [0, 1, 2, 3, 4, 5].flatMap((number) => [
      { type: 0, bytes: content },
      { type: 1, bytes: Uint8Array.of(65 + number), length: 100_000 },
    ]);
    const expected = blocks.map(({ bytes, length = 1 }) => new TextDecoder().decode(bytes).repeat(length)).join('');
    const frame = raw(blocks, { checksumOf: expected });

    test('is decompressed, however it is cut, and what follows it too', async () => {
      const all = concatBytes([skippable(3), frame, fromBase64(samples['level 19']), frame]);
      for (const size of [100, 4096, all.length])
        expect(await text(cut(all, size), { engine })).toBe(expected + original() + expected);
    });

    test('is refused where it ends early, is damaged, or is followed by something else', async () => {
      for (let length = 4; length < frame.length; length += 97) {
        await expect(text([frame.subarray(0, length)], { engine })).rejects.toMatchObject({ code: 'ZSTD_INVALID' });
      }
      await expect(text([frame, new Uint8Array(9)], { engine })).rejects.toMatchObject({
        code: 'ZSTD_INVALID',
        details: { offset: frame.length },
      });
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 6, max: frame.length - 1 }),
          fc.integer({ min: 1, max: 255 }),
          async (at, change) => {
            const damaged = frame.slice();
            damaged[at]! ^= change;
            await expect(text([damaged], { engine })).rejects.toMatchObject({ name: 'StowageError' });
          },
        ),
        { numRuns: 200 },
      );
    });

    test('is bounded, may be left, and ends with the reason of an aborted signal', async () => {
      const limits = { inflatedBytes: 200_000 };
      await expect(text([frame], { engine, limits })).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
      let released = 0;
      async function* source(): AsyncGenerator<Uint8Array> {
        try {
          yield frame;
        } finally {
          released++;
        }
      }
      for await (const bytes of unzstd(source(), { engine })) if (bytes.length > 0) break;
      const controller = new AbortController();
      const reason = new Error('enough');
      const reading = async (): Promise<void> => {
        for await (const _ of unzstd(source(), { engine, signal: controller.signal })) controller.abort(reason);
      };
      await expect(reading()).rejects.toBe(reason);
      expect(released).toBe(2);
    });
  },
);

test('XXH64 gives the values of its specification, in one piece or many', () => {
  // The frames above pin it too: their checksums are the reference implementation's.
  expect(new Xxh64().digestLow()).toBe(0x51d8e999);
  const bytes = Uint8Array.from({ length: 1000 }, (_, index) => (index * 31) & 255);
  fc.assert(
    fc.property(fc.nat(1000), fc.array(fc.integer({ min: 1, max: 99 }), { minLength: 1 }), (length, sizes) => {
      const whole = new Xxh64();
      whole.update(bytes.subarray(0, length));
      const pieces = new Xxh64();
      for (let at = 0, piece = 0; at < length; piece++) {
        const end = Math.min(length, at + sizes[piece % sizes.length]!);
        pieces.update(bytes.subarray(at, end));
        at = end;
      }
      expect(pieces.digestLow()).toBe(whole.digestLow());
    }),
  );
});

/** A frame of blocks as they are: raw (0) or of one byte again and again (1). */
function raw(
  blocks: { type: number; bytes: Uint8Array; length?: number }[],
  options: { size?: number; checksumOf?: string } = {},
): Uint8Array {
  const { size, checksumOf } = options;
  const header = size === undefined ? [checksumOf === undefined ? 0 : 4, 0x50] : [0x20, size];
  const list = blocks.length === 0 ? [{ type: 0, bytes: new Uint8Array() }] : blocks;
  const parts = list.flatMap(({ type, bytes, length = bytes.length }, index) => {
    const block = (length << 3) | (type << 1) | (index === list.length - 1 ? 1 : 0);
    return [new Uint8Array([block & 255, (block >> 8) & 255, block >> 16]), bytes];
  });
  const checksum = new Uint8Array(checksumOf === undefined ? 0 : 4);
  if (checksumOf !== undefined) {
    const hash = new Xxh64();
    hash.update(new TextEncoder().encode(checksumOf));
    new DataView(checksum.buffer).setUint32(0, hash.digestLow(), true);
  }
  return concatBytes([new Uint8Array([...magic, ...header]), ...parts, checksum]);
}

function skippable(size: number, kind = 0): Uint8Array {
  const bytes = new Uint8Array(8 + size);
  bytes.set([0x50 + kind, 0x2a, 0x4d, 0x18, size & 255, (size >> 8) & 255, size >> 16]);
  return bytes;
}

function original(): string {
  return Array.from({ length: 300 }, (_, index) => `${index} ${'stow'.slice(0, index % 5)} aboard\n`).join('');
}

function fromBase64(encoded: string): Uint8Array {
  return Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
}

function cut(bytes: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  );
}

function text(chunks: Uint8Array[], options?: UnzstdOptions): Promise<string> {
  return joined(unzstd(readChunks(chunks), options));
}

async function joined(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const list: Uint8Array[] = [];
  for await (const chunk of chunks) list.push(chunk);
  return new TextDecoder().decode(concatBytes(list));
}

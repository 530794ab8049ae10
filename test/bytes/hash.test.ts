import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readBytes, readChunks } from '../../src/bytes/byte-source.ts';
import { concatBytes } from '../../src/bytes/chunks.ts';
import {
  createHasher,
  digestBy,
  digestOf,
  type HashEngine,
  hasherFor,
  nativeHash,
  portableHash,
  verifyChunks,
} from '../../src/bytes/hash.ts';
import { StowageError } from '../../src/errors.ts';
import type { DigestAlgorithm } from '../../src/oci/digest.ts';

const native = nativeHash();
const engines: [string, HashEngine][] = [['portable', portableHash]];
if (native !== undefined) engines.push(['native', native]);
const algorithms: DigestAlgorithm[] = ['sha256', 'sha384', 'sha512'];

/** NIST's example values for FIPS 180-4: the empty message, `abc`, two blocks, and a million times `a`. */
const twoBlocks256 = 'abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq';
const twoBlocks512 =
  'abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu';
const vectors: [DigestAlgorithm, string, string][] = [
  ['sha256', '', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
  ['sha256', 'abc', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
  ['sha256', twoBlocks256, '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1'],
  ['sha256', 'a'.repeat(1_000_000), 'cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0'],
  ['sha384', '', '38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b'],
  ['sha384', 'abc', 'cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7'],
  [
    'sha384',
    twoBlocks512,
    '09330c33f71147e83d192fc782cd1b4753111b173b3b05d22fa08086e3b0f712fcc7c71a557e2db966c3e9fa91746039',
  ],
  [
    'sha384',
    'a'.repeat(1_000_000),
    '9d0e1809716474cb086e834e310a4a1ced149e9c00f248527972cec5704c2a5b07b8b3dc38ecc4ebae97ddd87f3d8985',
  ],
  [
    'sha512',
    '',
    'cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e',
  ],
  [
    'sha512',
    'abc',
    'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f',
  ],
  [
    'sha512',
    twoBlocks512,
    '8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909',
  ],
  [
    'sha512',
    'a'.repeat(1_000_000),
    'e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973ebde0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b',
  ],
];

describe('hashing', () => {
  for (const [name, engine] of engines) {
    test(`gives NIST's values, ${name} engine`, async () => {
      for (const [algorithm, message, expected] of vectors) {
        const hasher = await hasherFor(algorithm, engine);
        hasher.update(new TextEncoder().encode(message));
        expect(hasher.digest()).toBe(`${algorithm}:${expected}`);
      }
    });

    test(`depends on the bytes, and not on how they are cut, ${name} engine`, async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }),
          fc.constantFrom(...algorithms),
          async (chunks, algorithm) => {
            const hasher = await hasherFor(algorithm, engine);
            for (const chunk of chunks) hasher.update(chunk);
            expect(hasher.digest()).toBe(await digestBy(algorithm, concatBytes(chunks)));
          },
        ),
        { numRuns: 300 },
      );
    });

    test(`a buffer may be reused once it was added, ${name} engine`, async () => {
      const buffer = new Uint8Array(7).fill(1);
      const hasher = await hasherFor('sha256', engine);
      hasher.update(buffer);
      hasher.update(buffer.fill(2));
      buffer.fill(3);
      expect(hasher.digest()).toBe(digestOf(Uint8Array.of(1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2)));
    });

    test(`ends with its digest, ${name} engine`, async () => {
      const hasher = await hasherFor('sha512', engine);
      hasher.digest();
      expect(() => hasher.digest()).toThrow(StowageError);
      expect(() => hasher.update(new Uint8Array(1))).toThrow(StowageError);
    });
  }

  test('a string is hashed as its UTF-8, with SHA-256 unless told', async () => {
    const bytes = new TextEncoder().encode('Grüße');
    expect(digestOf('Grüße')).toBe(await digestBy('sha256', bytes));
    const hasher = createHasher();
    hasher.update(bytes);
    expect(hasher.digest()).toBe(digestOf(bytes));
  });

  test('an unknown algorithm is refused by name', async () => {
    for (const algorithm of ['md5', 'SHA256', 'constructor', '__proto__', '']) {
      await expect(hasherFor(algorithm as DigestAlgorithm)).rejects.toMatchObject({ code: 'DIGEST_INVALID' });
    }
  });
});

describe('verifyChunks', () => {
  const contents = fc.array(fc.uint8Array({ minLength: 1, maxLength: 20 }), { maxLength: 6 });

  test('right content passes unchanged, with every algorithm', async () => {
    await fc.assert(
      fc.asyncProperty(contents, fc.constantFrom(...algorithms), async (chunks, algorithm) => {
        const bytes = concatBytes(chunks);
        const verified = verifyChunks(readChunks(chunks), {
          digest: await digestBy(algorithm, bytes),
          size: bytes.length,
        });
        expect(await readBytes(verified)).toEqual(bytes);
      }),
      { numRuns: 200 },
    );
  });

  test('wrong content fails, and is never handed out whole', async () => {
    await fc.assert(
      fc.asyncProperty(contents, fc.uint8Array({ maxLength: 60 }), async (chunks, other) => {
        const bytes = concatBytes(chunks);
        fc.pre(bytes.length !== other.length || bytes.some((byte, index) => byte !== other[index]));
        const { seen, error } = await read(chunks, { digest: digestOf(other), size: other.length });
        if (bytes.length === other.length) expect(error?.code).toBe('DIGEST_MISMATCH');
        else expect(['SIZE_MISMATCH', 'DIGEST_MISMATCH']).toContain(error?.code);
        const beginsRight = other.every((byte, index) => byte === bytes[index]);
        if (!beginsRight) expect(seen).toBeLessThan(other.length);
      }),
      { numRuns: 300 },
    );
  });

  test('names both digests, both sizes and the subject', async () => {
    const right = digestOf('right');
    const wrong = await read([new TextEncoder().encode('wrong')], { digest: right, size: 5 });
    expect(wrong.error?.details).toMatchObject({ expected: right, actual: digestOf('wrong') });
    expect(wrong.seen).toBe(0);
    const short = await read([new TextEncoder().encode('rig')], { digest: right, size: 5 });
    expect(short.error?.code).toBe('SIZE_MISMATCH');
    expect(short.error?.details).toMatchObject({ expected: 5, actual: 3 });
    expect(short.error?.message).toContain(right);
  });

  test('content that is too long fails with the first byte too many, and its source is released', async () => {
    let released = false;
    async function* endless(): AsyncGenerator<Uint8Array, void, void> {
      try {
        for (;;) yield new Uint8Array(10);
      } finally {
        released = true;
      }
    }
    const { seen, error } = await read(endless(), { digest: digestOf(new Uint8Array(25)), size: 25 });
    expect(error?.code).toBe('SIZE_MISMATCH');
    expect(seen).toBe(20);
    expect(released).toBe(true);
  });

  test('right content with more behind it fails', async () => {
    const bytes = new Uint8Array(10);
    const { error } = await read([bytes, bytes], { digest: digestOf(bytes), size: 10 });
    expect(error?.code).toBe('SIZE_MISMATCH');
    expect((await read([bytes], { digest: digestOf(''), size: 0 })).error?.code).toBe('SIZE_MISMATCH');
    expect((await read([], { digest: digestOf(bytes), size: 0 })).error?.code).toBe('DIGEST_MISMATCH');
  });

  test('a digest that is none is refused', async () => {
    expect((await read([], { digest: 'md5:00', size: 0 })).error?.code).toBe('DIGEST_INVALID');
  });
});

async function read(
  chunks: Uint8Array[] | AsyncIterable<Uint8Array>,
  expected: { digest: string; size: number },
): Promise<{ seen: number; error?: StowageError }> {
  let seen = 0;
  try {
    for await (const chunk of verifyChunks(readChunks(chunks), expected)) seen += chunk.length;
    return { seen };
  } catch (error) {
    expect(error).toBeInstanceOf(StowageError);
    return { seen, error: error as StowageError };
  }
}

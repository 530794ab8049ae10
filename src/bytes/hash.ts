/**
 * Digests of bytes on the move: SHA-256, SHA-384 and SHA-512 (FIPS 180-4), incremental. The runtime's own implementation
 * where it has one, about ten times as fast; else a portable one: SHA-256, which all that is written here is named by, at
 * once, the others loaded when a document names them. Web Crypto is of no use here: it takes the whole input at once.
 */
import { StowageError } from '../errors.ts';
import { type Digest, type DigestAlgorithm, parseDigest } from '../oci/digest.ts';
import { load } from './load.ts';
import { nativeModule } from './runtime.ts';
import { createSha256, type HashState } from './sha256.ts';

/** Takes bytes, then gives their digest. */
export interface Hasher {
  /** Adds bytes; the array may be reused afterwards. Throws `ARGUMENT_INVALID` after `digest()`. */
  update(bytes: Uint8Array): void;
  /** The digest of all that was added. Ends the hasher: a second call throws `ARGUMENT_INVALID`. */
  digest(): Digest;
}

/** Makes a hash of an algorithm. */
export type HashEngine = (algorithm: DigestAlgorithm) => HashState | Promise<HashState>;

/** What runs everywhere. */
export const portableHash: HashEngine = async (algorithm) => {
  if (algorithm === 'sha256') return createSha256();
  const { sha384, sha512 } = await load(() => import('@noble/hashes/sha2.js'));
  return (algorithm === 'sha384' ? sha384 : sha512).create();
};

/** The runtime's own implementation; `undefined` where it has none. */
export function nativeHash(): ((algorithm: DigestAlgorithm) => HashState) | undefined {
  return nativeModule<{ createHash: (algorithm: DigestAlgorithm) => HashState }>('node:crypto')?.createHash;
}

/** A new SHA-256 hasher. */
export function createHasher(): Hasher {
  return hasherOver('sha256', nativeHash()?.('sha256') ?? createSha256());
}

/**
 * A new hasher of an algorithm that a document names. `engine` is for tests, which hold both engines to the same results.
 *
 * @throws `DIGEST_INVALID` for an algorithm other than `sha256`, `sha384` and `sha512`.
 */
export async function hasherFor(
  algorithm: DigestAlgorithm,
  engine: HashEngine = nativeHash() ?? portableHash,
): Promise<Hasher> {
  if (!/^sha(256|384|512)$/.test(algorithm)) {
    throw new StowageError(
      'DIGEST_INVALID',
      `The digest algorithm ${JSON.stringify(algorithm)} is not known here. Use sha256, sha384 or sha512.`,
      { algorithm },
    );
  }
  return hasherOver(algorithm, await engine(algorithm));
}

function hasherOver(algorithm: DigestAlgorithm, hash: HashState): Hasher {
  let ended = false;
  const live = (): void => {
    if (ended)
      throw new StowageError('ARGUMENT_INVALID', 'This hasher has given its digest already. Create a new one.');
  };
  return {
    update(bytes) {
      live();
      hash.update(bytes);
    },
    digest() {
      live();
      ended = true;
      return `${algorithm}:${hex(hash.digest())}` as Digest;
    },
  };
}

/** The SHA-256 digest of bytes in memory; a string stands for its UTF-8. */
export function digestOf(bytes: Uint8Array | string): Digest {
  const hasher = createHasher();
  hasher.update(typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes);
  return hasher.digest();
}

/** The digest of bytes in memory by an algorithm that a document names. */
export async function digestBy(algorithm: DigestAlgorithm, bytes: Uint8Array): Promise<Digest> {
  const hasher = await hasherFor(algorithm);
  hasher.update(bytes);
  return hasher.digest();
}

/**
 * Passes chunks through and checks them against a descriptor on the way. Whoever reads to the end has read the content
 * that the descriptor names; wrong content never ends cleanly, and is never handed out whole: a chunk that makes it too
 * long, and the chunk that completes it, are given only once they are known to be right. `what` is the subject of the
 * error's sentence (default: the digest).
 *
 * @throws `SIZE_MISMATCH` as soon as there are too many bytes, or at the end where there are too few.
 * @throws `DIGEST_MISMATCH` when the last byte has come, with `expected` and `actual` in the details.
 * @throws `DIGEST_INVALID` for an expected digest that is none.
 */
export async function* verifyChunks(
  chunks: AsyncIterable<Uint8Array>,
  expected: { digest: Digest; size: number },
  what: string = expected.digest,
): AsyncGenerator<Uint8Array, void, void> {
  const hasher = await hasherFor(parseDigest(expected.digest).algorithm);
  let size = 0;
  const check = (): void => {
    const actual = hasher.digest();
    if (actual === expected.digest) return;
    throw new StowageError(
      'DIGEST_MISMATCH',
      `${what}: the content's digest is ${actual} instead of ${expected.digest}. It was altered or damaged; fetch it again.`,
      { expected: expected.digest, actual, size },
    );
  };
  if (expected.size === 0) check();
  for await (const chunk of chunks) {
    if (chunk.length === 0) continue;
    size += chunk.length;
    if (size > expected.size) throw sizeMismatch(what, expected, size, 'or more');
    hasher.update(chunk);
    if (size === expected.size) check();
    yield chunk;
  }
  if (size < expected.size) throw sizeMismatch(what, expected, size, 'in all');
}

function sizeMismatch(
  what: string,
  expected: { digest: Digest; size: number },
  actual: number,
  bound: string,
): StowageError {
  return new StowageError(
    'SIZE_MISMATCH',
    `${what}: ${actual} bytes came, ${bound}, instead of ${expected.size}. It was cut short, or its descriptor is wrong.`,
    { digest: expected.digest, expected: expected.size, actual },
  );
}

function hex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

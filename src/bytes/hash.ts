/**
 * Digests of bytes on the move: SHA-256, SHA-384 and SHA-512 (FIPS 180-4), incremental. The runtime's own implementation
 * where it has one, about ten times as fast; else noble's. Web Crypto is of no use here: it takes the whole input at once.
 */
import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js';
import { StowageError } from '../errors.ts';
import { type Digest, type DigestAlgorithm, parseDigest } from '../oci/digest.ts';
import { nativeModule } from './runtime.ts';

/** Takes bytes, then gives their digest. */
export interface Hasher {
  /** Adds bytes; the array may be reused afterwards. Throws `ARGUMENT_INVALID` after `digest()`. */
  update(bytes: Uint8Array): void;
  /** The digest of all that was added. Ends the hasher: a second call throws `ARGUMENT_INVALID`. */
  digest(): Digest;
}

/** An implementation of one hash function, in the form that both Node and noble give it. */
export type HashEngine = (algorithm: DigestAlgorithm) => { update(bytes: Uint8Array): unknown; digest(): Uint8Array };

/** Noble's implementation, which runs everywhere. */
export const portableHash: HashEngine = (algorithm) => nobleHashes[algorithm].create();

/** The runtime's own implementation; `undefined` where it has none. */
export function nativeHash(): HashEngine | undefined {
  return nativeModule<{ createHash: HashEngine }>('node:crypto')?.createHash;
}

/**
 * A new hasher. `engine` is for tests, which hold both engines to the same results.
 *
 * @throws `DIGEST_INVALID` for an algorithm other than `sha256`, `sha384` and `sha512`.
 */
export function createHasher(
  algorithm: DigestAlgorithm = 'sha256',
  engine: HashEngine = nativeHash() ?? portableHash,
): Hasher {
  if (!Object.hasOwn(nobleHashes, algorithm)) {
    throw new StowageError(
      'DIGEST_INVALID',
      `The digest algorithm ${JSON.stringify(algorithm)} is not known here. Use sha256, sha384 or sha512.`,
      { algorithm },
    );
  }
  const hash = engine(algorithm);
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

/** The digest of bytes in memory; a string stands for its UTF-8. */
export function digestOf(bytes: Uint8Array | string, algorithm: DigestAlgorithm = 'sha256'): Digest {
  const hasher = createHasher(algorithm);
  hasher.update(typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes);
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
  const hasher = createHasher(parseDigest(expected.digest).algorithm);
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

const nobleHashes = { sha256, sha384, sha512 };

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

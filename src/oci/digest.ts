/** Digests, the names of content: `algorithm:encoded` as image-spec's descriptor.md has them (section Digests). */
import { StowageError } from '../errors.ts';
import { type Check, scalar, show } from './check.ts';

/** Such as `sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a`. */
export type Digest = string;

/** The algorithms that content can be verified by here. */
export type DigestAlgorithm = 'sha256' | 'sha384' | 'sha512';

/**
 * Takes a digest apart.
 *
 * @throws `DIGEST_INVALID` what breaks the grammar, is not lower-case hexadecimal of the algorithm's length, or is of
 * an algorithm that cannot be verified here.
 */
export function parseDigest(text: string): { algorithm: DigestAlgorithm; encoded: string } {
  if (!isWellFormed(text)) {
    throw new StowageError(
      'DIGEST_INVALID',
      `${show(text)} is not a digest: expected algorithm:encoded, such as sha256: and 64 lower-case hexadecimal digits.`,
      { digest: text },
    );
  }
  const [algorithm, encoded] = text.split(':') as [DigestAlgorithm, string];
  if (!Object.hasOwn(hexLengths, algorithm)) {
    throw new StowageError(
      'DIGEST_INVALID',
      `Digest ${show(text)}: content cannot be verified by ${algorithm}; known are ${Object.keys(hexLengths).join(', ')}.`,
      { digest: text, algorithm },
    );
  }
  return { algorithm, encoded };
}

/** Whether `parseDigest` would take it. */
export function isDigest(text: unknown): text is Digest {
  return isWellFormed(text) && Object.hasOwn(hexLengths, text.slice(0, text.indexOf(':')));
}

/**
 * A digest within a document. One of an unknown algorithm passes, as descriptor.md asks: it does no harm until someone
 * wants the content, and `parseDigest` refuses it then.
 */
export const digest: Check<Digest> = scalar(
  'a digest, such as sha256: and 64 lower-case hexadecimal digits',
  isWellFormed,
);

const hexLengths = { sha256: 64, sha384: 96, sha512: 128 };

function isWellFormed(text: unknown): text is Digest {
  const parts = typeof text === 'string' && /^([a-z\d]+(?:[+._-][a-z\d]+)*):([\w=-]+)$/.exec(text);
  if (!parts) return false;
  const [, algorithm, encoded] = parts as unknown as [string, DigestAlgorithm, string];
  return (
    !Object.hasOwn(hexLengths, algorithm) || (encoded.length === hexLengths[algorithm] && /^[a-f\d]+$/.test(encoded))
  );
}

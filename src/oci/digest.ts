/** Digests, the names of content: `algorithm:encoded` as image-spec's descriptor.md has them (section Digests). */
import { type Check, refusal, scalar } from './check.ts';

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
  if (!isDigest(text)) throw refusal('DIGEST_INVALID', 'digest')('', digestRule, text);
  const [algorithm, encoded] = text.split(':') as [DigestAlgorithm, string];
  return { algorithm, encoded };
}

/** Whether `parseDigest` would take it. */
export function isDigest(text: unknown): text is Digest {
  return isWellFormed(text) && /^sha(256|384|512):/.test(text);
}

/** What `parseDigest` asks for, in words. */
export const digestRule = 'sha256:, sha384: or sha512: and its lower-case hexadecimal digits';

/**
 * A digest within a document. One of an unknown algorithm passes, as descriptor.md asks: it does no harm until someone
 * wants the content, and `parseDigest` refuses it then.
 */
export const digest: Check<Digest> = scalar(digestRule, isWellFormed);

function isWellFormed(text: unknown): text is Digest {
  if (typeof text !== 'string' || !/^[a-z\d]+([+._-][a-z\d]+)*:[\w=-]+$/.test(text)) return false;
  const bits = /^sha(256|384|512):/.exec(text)?.[1];
  return !bits || (text.length === 7 + +bits / 4 && /:[a-f\d]+$/.test(text));
}

/** Digests, the names of content: `algorithm:encoded` as image-spec's descriptor.md has them (section Digests). */
import { type Check, grammar, refusal } from './check.ts';

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
  const [algorithm, encoded] = knownDigest(text, '', refusal('DIGEST_INVALID', 'digest')).split(':');
  return { algorithm: algorithm as DigestAlgorithm, encoded: encoded! };
}

/** Whether `parseDigest` would take it. */
export function isDigest(text: unknown): text is Digest {
  return typeof text === 'string' && known.test(text);
}

const known = /^sha(256:[a-f\d]{64}|384:[a-f\d]{96}|512:[a-f\d]{128})$/;
const foreign = /^(?!sha(256|384|512):)[a-z\d]+([+._-][a-z\d]+)*:[\w=-]+$/;
const rule = 'sha256:, sha384: or sha512: and its lower-case hexadecimal digits';

/** A digest that content can be verified by. */
export const knownDigest: Check<Digest> = grammar(rule, known);

/**
 * A digest within a document. One of an unknown algorithm passes, as descriptor.md asks: it does no harm until someone
 * wants the content, and `parseDigest` refuses it then.
 */
export const digest: Check<Digest> = grammar(rule, known, foreign);

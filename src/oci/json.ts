/** JSON as documents are read: strict UTF-8, bounded in size and depth. */
import { StowageError } from '../errors.ts';
import { defaultJsonBytes, type Limits, limitExceeded } from '../limits.ts';

/** Objects and arrays within one another; honest documents stay below ten. */
const maximumDepth = 100;

/**
 * Reads one JSON document. Numbers are JavaScript's: an integer past 2^53 loses digits.
 *
 * @param options `what` names the document in errors; `limits.jsonBytes` bounds it (default 4 MiB).
 * @throws `JSON_INVALID` what is not UTF-8, starts with a byte order mark, is not JSON (`cause` is what the
 * runtime says of it), nests deeper than 100 or has a key `__proto__`; `LIMIT_EXCEEDED` past `jsonBytes`.
 */
export function parseJson(bytes: Uint8Array | string, options: { what: string; limits?: Partial<Limits> }): unknown {
  const { what, limits } = options;
  const { jsonBytes = defaultJsonBytes } = limits ?? {};
  const invalid = (problem: string, cause?: unknown): StowageError =>
    new StowageError('JSON_INVALID', `${what}: ${problem}.`, { what }, { cause });
  // A string has at least as many bytes as units: no more of it is encoded than shows that it is too long.
  const encoded = typeof bytes === 'string' ? new TextEncoder().encode(bytes.slice(0, jsonBytes + 1)) : bytes;
  if (encoded?.length > jsonBytes) throw limitExceeded('jsonBytes', { jsonBytes }, what);
  let text: string | undefined;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(encoded);
    value = JSON.parse(text);
  } catch (cause) {
    if (text === undefined) throw invalid('not UTF-8', cause);
    throw invalid(`not JSON: ${text[0] === '\ufeff' ? 'a byte order mark' : cause}`, cause);
  }
  const walk = (node: unknown, depth: number): void => {
    if (typeof node !== 'object' || !node) return;
    if (depth === maximumDepth) throw invalid(`nested deeper than ${maximumDepth} levels`);
    if (Object.hasOwn(node, '__proto__')) throw invalid('a key "__proto__"');
    for (const item of Object.values(node)) walk(item, depth + 1);
  };
  walk(value, 0);
  return value;
}

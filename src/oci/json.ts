/** JSON as documents are read and written: strict UTF-8, bounded in size and depth, compact, in a given key order. */
import { StowageError } from '../errors.ts';
import { type Limits, limitExceeded, resolveLimits } from '../limits.ts';
import { isObject } from './check.ts';

/** Objects and arrays within one another; honest documents stay below ten. */
const maximumDepth = 100;

/**
 * Reads one JSON document. Numbers are JavaScript's: an integer past 2^53 loses digits.
 *
 * @param options `what` names the document in errors; `limits.jsonBytes` bounds it (default 4 MiB).
 * @throws `JSON_INVALID` what is not UTF-8, starts with a byte order mark, is not JSON (with its `offset` in UTF-16
 * units), nests deeper than 100 or has a key `__proto__`; `LIMIT_EXCEEDED` past `jsonBytes`.
 */
export function parseJson(bytes: Uint8Array | string, options: { what: string; limits?: Partial<Limits> }): unknown {
  const { what } = options;
  const limits = resolveLimits(options.limits);
  const invalid = (problem: string, details?: Record<string, unknown>, cause?: unknown): StowageError =>
    new StowageError('JSON_INVALID', `${what}: ${problem}.`, { what, ...details }, { cause });
  // A string has at least as many bytes as units: what is far too long is never encoded.
  const size =
    typeof bytes !== 'string' || bytes.length > limits.jsonBytes
      ? bytes.length
      : new TextEncoder().encode(bytes).length;
  if (size > limits.jsonBytes) throw limitExceeded('jsonBytes', limits, what, { actual: size });
  let text = bytes as string;
  if (typeof bytes !== 'string') {
    try {
      text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch (cause) {
      throw invalid('its bytes are not UTF-8', {}, cause);
    }
  }
  if (text.startsWith('\ufeff')) throw invalid('it starts with a byte order mark; remove these 3 bytes', { offset: 0 });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const offset = errorOffset(text);
    const found = offset < text.length ? `unexpected ${JSON.stringify(text[offset])}` : 'unexpected end';
    throw invalid(`not JSON, ${found} at offset ${offset}`, { offset }, cause);
  }
  const walk = (node: unknown, depth: number): void => {
    if (typeof node !== 'object' || !node) return;
    if (depth === maximumDepth) throw invalid(`nested deeper than ${maximumDepth} levels`);
    if (Array.isArray(node)) for (const item of node) walk(item, depth + 1);
    else {
      for (const [key, item] of Object.entries(node)) {
        if (key === '__proto__') throw invalid('a key "__proto__" is refused');
        walk(item, depth + 1);
      }
    }
  };
  walk(value, 0);
  return value;
}

/**
 * Writes a value as UTF-8 JSON without white space or HTML escapes: the keys of `keyOrder` first and in that order, the
 * others after in their own. It orders the outermost object, or each object of an outermost array.
 *
 * @throws `JSON_INVALID` what JSON cannot say: a cycle, a bigint, `undefined`.
 */
export function serializeJson(value: unknown, keyOrder: readonly string[] = []): Uint8Array {
  const ordered = (node: unknown): unknown =>
    isObject(node) ? { ...Object.fromEntries(keyOrder.map((key) => [key, undefined])), ...node } : node;
  try {
    const text: string | undefined = JSON.stringify(Array.isArray(value) ? value.map(ordered) : ordered(value));
    if (text !== undefined) return new TextEncoder().encode(text);
  } catch (cause) {
    throw new StowageError('JSON_INVALID', `The value cannot be written as JSON: ${cause}`, {}, { cause });
  }
  throw new StowageError('JSON_INVALID', 'The value cannot be written as JSON: it is undefined or a function.');
}

/** Where the grammar of JSON breaks; the runtimes' own messages often do not say. Called for broken text only. */
function errorOffset(text: string): number {
  const token =
    /[{}[\],:]|"(?:[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
  const space = /[ \t\n\r]*/y;
  const open: string[] = [];
  // What may come: v a value, f a first item or `]`, k a key, p a first key or `}`, c a colon, s a comma or the end.
  let state = 'v';
  for (let at = 0; ; at = token.lastIndex) {
    space.lastIndex = at;
    space.test(text);
    token.lastIndex = space.lastIndex;
    const found = token.exec(text)?.[0];
    const start = space.lastIndex;
    if (!found) return start;
    if (found === ']' || found === '}') {
      if (!(state === 's' || state === (found === ']' ? 'f' : 'p')) || open.pop() !== found) return start;
      state = 's';
    } else if (found === ',') {
      if (state !== 's' || !open.length) return start;
      state = open.at(-1) === ']' ? 'v' : 'k';
    } else if (found === ':') {
      if (state !== 'c') return start;
      state = 'v';
    } else if (state === 'k' || state === 'p') {
      if (found[0] !== '"') return start;
      state = 'c';
    } else {
      if (state !== 'v' && state !== 'f') return start;
      state = found === '[' ? 'f' : found === '{' ? 'p' : 's';
      if (state !== 's') open.push(found === '[' ? ']' : '}');
    }
  }
}

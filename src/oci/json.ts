/** JSON as documents are read: strict UTF-8, bounded in size and depth. */
import { StowageError } from '../errors.ts';
import { defaultJsonBytes, type Limits, limitExceeded } from '../limits.ts';

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
  const { what, limits } = options;
  const { jsonBytes = defaultJsonBytes } = limits ?? {};
  const invalid = (problem: string, offset?: number, cause?: unknown): StowageError =>
    new StowageError('JSON_INVALID', `${what}: ${problem}.`, { what, offset }, { cause });
  // A string has at least as many bytes as units: no more of it is encoded than shows that it is too long.
  const encoded = typeof bytes === 'string' ? new TextEncoder().encode(bytes.slice(0, jsonBytes + 1)) : bytes;
  if (encoded?.length > jsonBytes) throw limitExceeded('jsonBytes', { jsonBytes }, what);
  let text: string | undefined;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(encoded);
    value = JSON.parse(text);
  } catch (cause) {
    if (text === undefined) throw invalid('not UTF-8', undefined, cause);
    const offset = errorOffset(text);
    const mark = text[0] === '\ufeff' ? ', a byte order mark' : '';
    throw invalid(`not JSON from offset ${offset} on${mark}`, offset, cause);
  }
  const walk = (node: unknown, depth: number): void => {
    if (typeof node !== 'object' || !node) return;
    if (depth === maximumDepth) throw invalid(`nested deeper than ${maximumDepth} levels`);
    if (Object.hasOwn(node, '__proto__')) throw invalid('a key "__proto__" is refused');
    for (const item of Object.values(node)) walk(item, depth + 1);
  };
  walk(value, 0);
  return value;
}

/** Where the grammar of JSON breaks; the runtimes' own messages often do not say. Called for broken text only. */
function errorOffset(text: string): number {
  const token =
    /[ \t\n\r]*([{}[\],:]|"[ !#-[\]-\uffff]*(?:\\(?:["\\/bfnrt]|u[\da-fA-F]{4})[ !#-[\]-\uffff]*)*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)?/y;
  const closers: string[] = [];
  const value = '"[{-0123456789tfn';
  // The first characters of what may come next.
  let allowed = value;
  for (let at = 0; ; ) {
    // JavaScriptCore gives up on strings of millions of escapes: their beginning must do.
    const [whole, found = ''] = token.exec(text) ?? [''];
    at += whole.length;
    const first = found[0];
    if (!first || !allowed.includes(first)) return at - found.length;
    if (first === '[') {
      closers.push(']');
      allowed = `${value}]`;
    } else if (first === '{') {
      closers.push('}');
      allowed = '"}';
    } else if (first === ':') allowed = value;
    else if (first === ',') allowed = closers.at(-1) === ']' ? value : '"';
    else if (allowed === '"' || allowed === '"}') allowed = ':';
    else {
      if (first === closers.at(-1)) closers.pop();
      allowed = closers.length ? `,${closers.at(-1)}` : '';
    }
  }
}

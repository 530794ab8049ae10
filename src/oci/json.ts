/** JSON as documents are read: strict UTF-8, bounded in size and depth. */
import { StowageError } from '../errors.ts';
import { type Limits, limitExceeded, resolveLimits } from '../limits.ts';

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
  const invalid = (problem: string, offset?: number, cause?: unknown): StowageError =>
    new StowageError('JSON_INVALID', `${what}: ${problem}.`, { what, offset }, { cause });
  // A string has at least as many bytes as units: what is far too long is never encoded.
  const size =
    typeof bytes === 'string' && bytes.length <= limits.jsonBytes
      ? new TextEncoder().encode(bytes).length
      : bytes?.length;
  if (size > limits.jsonBytes) throw limitExceeded('jsonBytes', limits, what);
  let text: string | undefined;
  let value: unknown;
  try {
    text = typeof bytes === 'string' ? bytes : new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
  } catch (cause) {
    if (text === undefined) throw invalid('not UTF-8', undefined, cause);
    const offset = errorOffset(text);
    throw invalid(
      `not JSON from offset ${offset} on${text[0] === '\ufeff' ? ', a byte order mark' : ''}`,
      offset,
      cause,
    );
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

/** Where the grammar of JSON breaks; the runtimes' own messages often do not say. Called for broken text only. */
function errorOffset(text: string): number {
  const token =
    /[ \t\n\r]*([{}[\],:]|"[ !#-[\]-\uffff]*(?:\\(?:["\\/bfnrt]|u[\da-fA-F]{4})[ !#-[\]-\uffff]*)*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)?/y;
  const open: string[] = [];
  const value = '["{0';
  // The first characters of what may come next; 0 is any number or word.
  let allowed = value;
  for (;;) {
    const from = token.lastIndex;
    const match = token.exec(text);
    // JavaScriptCore gives up on strings of millions of escapes: their beginning must do.
    if (match === null) return from;
    const found = match[1] ?? '';
    const kind = /^[^-\w]/.exec(found)?.[0] ?? '0';
    if (!found || !allowed.includes(kind)) return token.lastIndex - found.length;
    if (kind === '[' || kind === '{') {
      open.push(kind === '[' ? ']' : '}');
      allowed = kind === '[' ? `${value}]` : '"}';
    } else if (kind === ':') allowed = value;
    else if (kind === ',') allowed = open.at(-1) === ']' ? value : '"';
    else if (kind === '"' && !allowed.includes('0')) allowed = ':';
    else {
      if (kind === ']' || kind === '}') open.pop();
      allowed = open.length ? `,${open.at(-1)}` : '';
    }
  }
}

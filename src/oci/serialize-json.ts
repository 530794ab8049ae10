/** JSON as documents are written: compact, in a given key order. */
import { StowageError } from '../errors.ts';
import { inOrder, isObject } from './check.ts';

/**
 * Writes a value as UTF-8 JSON without white space or HTML escapes: its keys of `keyOrder` first and in that order, the
 * others after in their own. Objects within it keep their order.
 *
 * @throws `JSON_INVALID` what JSON cannot say (a cycle, a bigint, `undefined`), and a key `__proto__`.
 */
export function serializeJson(value: unknown, keyOrder: readonly string[] = []): Uint8Array {
  try {
    const text = JSON.stringify(isObject(value) ? { ...inOrder(keyOrder), ...value } : value).toString();
    // Within a string the quotes would be escaped: this is a key, which `parseJson` refuses.
    if (text.includes('"__proto__":')) throw new TypeError('a key "__proto__"');
    return new TextEncoder().encode(text);
  } catch (cause) {
    throw new StowageError('JSON_INVALID', `Not to be written as JSON: ${cause}`, {}, { cause });
  }
}

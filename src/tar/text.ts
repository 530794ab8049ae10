/**
 * Names between bytes and JavaScript strings without loss: UTF-8, and each byte that is no UTF-8 as one lone surrogate.
 * A byte 0x80..0xFF that starts no well-formed sequence becomes U+DC80..U+DCFF, and encoding turns it back, as Python's
 * `surrogateescape` does (PEP 383): file names on Unix are bytes, and a rewritten layer must keep them.
 */

/** The bytes of a text, or `undefined` where it holds a lone surrogate that stands for no byte. */
export function encodeText(text: string): Uint8Array | undefined {
  return loneSurrogate.test(text) ? encodeEscaped(text) : encoder.encode(text);
}

/** Whether the text stands for bytes that are not UTF-8. */
export function isEscaped(text: string): boolean {
  return loneSurrogate.test(text);
}

/** Whether the text is ASCII without NUL, which any header field can hold as it is. */
export function isPlain(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0 || code > 0x7f) return false;
  }
  return true;
}

/** Order of bytes; where one is the beginning of the other, the shorter comes first. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) if (a[at] !== b[at]) return a[at]! - b[at]!;
  return a.length - b.length;
}

const encoder = new TextEncoder();
/** In a `u` pattern a surrogate of a pair is part of its character, so this finds the lone ones alone. */
const loneSurrogate = /[\ud800-\udfff]/u;

function encodeEscaped(text: string): Uint8Array | undefined {
  const bytes: number[] = [];
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (code < 0xd800 || code > 0xdfff) bytes.push(...encoder.encode(character));
    else if (code >= 0xdc80 && code <= 0xdcff) bytes.push(code - 0xdc00);
    else return undefined;
  }
  return Uint8Array.from(bytes);
}

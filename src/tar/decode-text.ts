/** Names read: bytes as JavaScript strings, without loss. The other half of `text.ts`, which says how. */

/** The bytes `start` to `end` as text. Never throws; `encodeText` gives the same bytes back. */
export function decodeText(bytes: Uint8Array, start: number = 0, end: number = bytes.length): string {
  if (end <= start) return '';
  for (let at = start; at < end; at++) if (bytes[at]! > 0x7f) return decodeUnicode(bytes.subarray(start, end));
  // Measured on names of 20 to 60 bytes: three times as fast as TextDecoder, whose call costs more than its work.
  if (end - start <= 256) return String.fromCharCode.apply(null, bytes.subarray(start, end) as unknown as number[]);
  return utf8.decode(bytes.subarray(start, end));
}

/** A header field as text: `length` bytes from `at`, or up to the first NUL among them. */
export function decodeField(block: Uint8Array, at: number, length: number): string {
  let end = at;
  while (end < at + length && block[end] !== 0) end++;
  return decodeText(block, at, end);
}

/** How many bytes `encodeText` gives, without making them. */
export function byteLengthOf(text: string): number {
  let length = 0;
  for (const character of text) {
    const code = character.codePointAt(0)!;
    // A lone surrogate stands for one byte.
    if (code < 0x80 || (code >= 0xd800 && code <= 0xdfff)) length += 1;
    else length += code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return length;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodeUnicode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return decodeEscaped(bytes);
  }
}

function decodeEscaped(bytes: Uint8Array): string {
  let text = '';
  let run = 0;
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes, at);
    if (length > 0) {
      at += length;
      continue;
    }
    text += utf8.decode(bytes.subarray(run, at)) + String.fromCharCode(0xdc00 + bytes[at]!);
    run = ++at;
  }
  return text + utf8.decode(bytes.subarray(run));
}

/** Length of the well-formed sequence at `at`, 0 where none starts (The Unicode Standard, table 3-7). */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at]!;
  if (lead < 0x80) return 1;
  const length = lead < 0xc2 || lead > 0xf4 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (at + length > bytes.length) return 0;
  for (let index = 1; index < length; index++) if ((bytes[at + index]! & 0xc0) !== 0x80) return 0;
  // Overlong forms, surrogates, and what lies past U+10FFFF show in the second byte.
  const second = bytes[at + 1]!;
  if (lead === 0xe0 && second < 0xa0) return 0;
  if (lead === 0xed && second > 0x9f) return 0;
  if (lead === 0xf0 && second < 0x90) return 0;
  if (lead === 0xf4 && second > 0x8f) return 0;
  return length;
}

/** The order of paths in a layer. */
import { compareBytes, encodeText } from '../tar/text.ts';

/** Order of the UTF-8 bytes of two paths, which is not that of their UTF-16 code units. */
export function compareBytewise(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let index = 0; index < shorter; index++) {
    const left = a.charCodeAt(index);
    const right = b.charCodeAt(index);
    if (left === right) continue;
    // Surrogates are the only code units that sort elsewhere than the bytes they stand for.
    if ((left & 0xf800) === 0xd800 || (right & 0xf800) === 0xd800)
      return compareBytes(encodeText(a) as Uint8Array, encodeText(b) as Uint8Array);
    return left - right;
  }
  return a.length - b.length;
}

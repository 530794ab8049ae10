/** Writes PAX extended header records, `length keyword=value\n` (POSIX pax, "pax Extended Header"). */
import { compareBytes } from './text.ts';

export const xattrPrefix = 'SCHILY.xattr.';

/** The body of an extended header, its records sorted by the bytes of their keywords. */
export function formatPax(records: readonly (readonly [key: Uint8Array, value: Uint8Array])[]): Uint8Array {
  const sorted = [...records].sort(([a], [b]) => compareBytes(a, b));
  const lengths = sorted.map(([key, value]) => recordLength(key.length + value.length + 3));
  const body = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
  let at = 0;
  sorted.forEach(([key, value], index) => {
    const digits = String(lengths[index]);
    for (let digit = 0; digit < digits.length; digit++) body[at++] = digits.charCodeAt(digit);
    body[at++] = 0x20;
    body.set(key, at);
    at += key.length;
    body[at++] = 0x3d;
    body.set(value, at);
    at += value.length;
    body[at++] = 0x0a;
  });
  return body;
}

/** A time as a record's value, without trailing zeros. */
export function formatTime(seconds: number, nanoseconds: number): string {
  if (nanoseconds === 0) return String(seconds);
  const negative = seconds < 0;
  const whole = negative ? -seconds - 1 : seconds;
  const part = negative ? 1_000_000_000 - nanoseconds : nanoseconds;
  return `${negative ? '-' : ''}${whole}.${String(part).padStart(9, '0').replace(/0+$/, '')}`;
}

/** The length of a record counts its own digits. */
function recordLength(rest: number): number {
  const length = rest + String(rest).length;
  return rest + String(length).length;
}

/** Ranges in requests: of blobs that are read (RFC 9110, section 14), and of chunks that are uploaded (distribution-spec). */

/** Half-open, in bytes. */
export interface Span {
  start: number;
  end: number;
}

/**
 * What a `Range` header asks of content of a known size: `undefined` for all of it (no range, several, or one that breaks
 * the grammar, all of which a server may pass over), `unsatisfiable` for what lies beyond.
 */
export function parseRange(header: string | null, size: number): Span | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return undefined;
  const [first, last] = [match[1]!, match[2]!];
  if (first === '') {
    const length = Math.min(Number(last), size);
    return length > 0 ? { start: size - length, end: size } : 'unsatisfiable';
  }
  const start = Number(first);
  if (last !== '' && Number(last) < start) return undefined;
  if (start >= size) return 'unsatisfiable';
  return { start, end: last === '' ? size : Math.min(Number(last) + 1, size) };
}

/** The `Content-Range` of a chunk, `<start>-<end>` inclusive; `undefined` for what breaks that grammar. */
export function parseChunkRange(header: string): Span | undefined {
  const match = /^(\d+)-(\d+)$/.exec(header.trim());
  if (!match) return undefined;
  const span = { start: Number(match[1]), end: Number(match[2]) + 1 };
  return Number.isSafeInteger(span.end) && span.end > span.start ? span : undefined;
}

/** The body of a request, counted against what the client declared and what the server takes. */
import { readChunks } from '../bytes/byte-source.ts';
import { atLeast, concatBytes } from '../bytes/chunks.ts';
import { refuse } from './protocol-error.ts';

export interface BodyBounds {
  /** Bytes that must come, where the client said so other than by `Content-Length`. */
  expected?: number;
  /** Bytes that may come. */
  maximum: number;
  /** What is said where there are more. */
  tooLarge: string;
}

/** `Content-Length`, where it was sent. */
export function contentLength(request: Request): number | undefined {
  const header = request.headers.get('content-length');
  return header !== null && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
}

/**
 * The body in chunks. Never ends cleanly where it is longer or shorter than was declared (400 `SIZE_INVALID`), longer than it may be (413),
 * or where the connection breaks.
 */
export async function* receiveBody(request: Request, bounds: BodyBounds): AsyncGenerator<Uint8Array, void, void> {
  const { maximum, tooLarge } = bounds;
  const declared = contentLength(request);
  const expected = bounds.expected ?? declared;
  const excess = (): Error => refuse(413, 'SIZE_INVALID', tooLarge, { maximum });
  if ((expected ?? 0) > maximum) throw excess();
  if (declared !== undefined && declared !== expected) throw sizeInvalid(expected as number, declared);
  let size = 0;
  const chunks = atLeast(rawBody(request))[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { done, value } = await chunks.next().catch(() => {
        throw refuse(400, 'BLOB_UPLOAD_INVALID', 'The connection broke before the whole body had come. Send it again.');
      });
      if (done) break;
      size += value.length;
      if (expected !== undefined && size > expected) throw sizeInvalid(expected, size);
      if (size > maximum) throw excess();
      yield value;
    }
  } finally {
    await chunks.return();
  }
  if (expected !== undefined && size < expected) throw sizeInvalid(expected, size);
}

/** The whole body in memory. */
export async function receiveBytes(request: Request, bounds: BodyBounds): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  // What carries over from chunk to chunk is copied by `atLeast`, so that these can be kept.
  for await (const chunk of receiveBody(request, bounds)) chunks.push(chunk);
  return concatBytes(chunks);
}

async function* rawBody(request: Request): AsyncGenerator<Uint8Array> {
  const { body, signal } = request;
  if (body) yield* readChunks(body, { signal });
  // Firefox does not show the body of a request as a stream.
  else if (body === undefined) yield new Uint8Array(await request.arrayBuffer());
}

function sizeInvalid(expected: number, actual: number): Error {
  return refuse(
    400,
    'SIZE_INVALID',
    `The request announced ${expected} bytes, but ${actual}${actual > expected ? ' or more' : ''} came. Nothing was stored.`,
    { expected, actual },
  );
}

/** The pull category: manifests and blobs, whole and in parts, and what lets caches keep them (RFC 9110, 9111). */
import type { Descriptor } from '../oci/descriptor.ts';
import { isDigest } from '../oci/digest.ts';
import { parseRange, type Span } from './byte-ranges.ts';
import type { Context, PullContext } from './context.ts';
import { refuse } from './protocol-error.ts';

/** end-3: `GET` and `HEAD` of a manifest. */
export async function getManifest(context: PullContext, reference: string): Promise<Response> {
  const { request, repository } = context;
  const found = await repository.manifest(reference, request.signal);
  if (!found) {
    throw refuse(404, 'MANIFEST_UNKNOWN', `This repository has no manifest ${reference}.`, { reference });
  }
  const { descriptor } = found;
  const headers = contentHeaders(context, descriptor, isDigest(reference));
  if (isUnchanged(request, descriptor.digest)) return new Response(null, { status: 304, headers });
  headers.set('Content-Length', String(descriptor.size));
  const body = request.method === 'HEAD' ? null : ((await found.read()) as BodyInit);
  return new Response(body, { headers });
}

/** end-2: `GET` and `HEAD` of a blob, and of ranges. */
export async function getBlob(context: PullContext, digest: string): Promise<Response> {
  const { request, repository } = context;
  const method = request.method === 'HEAD' ? 'HEAD' : 'GET';
  const descriptor: Descriptor = { mediaType: 'application/octet-stream', digest, size: 0 };
  const headers = contentHeaders(context, descriptor, true);
  headers.set('Accept-Ranges', 'bytes');
  // What is named by its digest never changes, and a client that has it need not be looked up.
  const range = isRangeValid(request, digest) ? (request.headers.get('range') ?? undefined) : undefined;
  const found = await repository.blob(digest, { method, range, signal: request.signal });
  if (!found) throw refuse(404, 'BLOB_UNKNOWN', `This repository has no blob ${digest}.`, { digest });
  if (isUnchanged(request, digest)) {
    if (found instanceof Response) await found.body?.cancel();
    return new Response(null, { status: 304, headers });
  }
  if (found instanceof Response) return passOn(found, headers);
  const { size } = found;
  const part = method === 'GET' ? parseRange(range ?? null, size) : undefined;
  if (part === 'unsatisfiable') {
    const about = { 'Content-Range': `bytes */${size}` };
    throw refuse(416, 'SIZE_INVALID', `The blob has ${size} bytes: the range lies beyond them.`, { size }, about);
  }
  const span: Span = part ?? { start: 0, end: size };
  headers.set('Content-Length', String(span.end - span.start));
  if (part) headers.set('Content-Range', `bytes ${span.start}-${span.end - 1}/${size}`);
  const status = part ? 206 : 200;
  if (method === 'HEAD') return new Response(null, { status, headers });
  return new Response(sized(await found.read(span), span.end - span.start), { status, headers });
}

/**
 * A body whose length is known. Where a runtime asks to be told, since it sends `Content-Length` for no other stream,
 * it offers `FixedLengthStream`.
 */
export function sized(body: ReadableStream<Uint8Array>, size: number): ReadableStream<Uint8Array> {
  const { FixedLengthStream } = globalThis as { FixedLengthStream?: FixedLength };
  if (FixedLengthStream === undefined) return body;
  const { readable, writable } = new FixedLengthStream(size);
  // A failure reaches the client as a body that is cut short; nobody else waits for it.
  body.pipeTo(writable).catch(() => {});
  return readable;
}

type FixedLength = new (size: number) => TransformStream<Uint8Array, Uint8Array>;

/** The answer of somebody else, with the headers that are ours. */
function passOn(response: Response, headers: Headers): Response {
  for (const name of ['content-length', 'content-range', 'location']) {
    const value = response.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  // The length is that of a form which is decoded by now.
  if (response.headers.has('content-encoding')) headers.delete('content-length');
  const { status, body } = response;
  if (status >= 300 && status < 400) {
    // Where a redirect leads to is often signed, and good for minutes only.
    headers.set('Cache-Control', 'no-store');
    headers.delete('ETag');
    headers.delete('Content-Type');
    headers.delete('Content-Length');
  }
  return new Response(body, { status, headers });
}

function contentHeaders(context: Context, descriptor: Descriptor, isImmutable: boolean): Headers {
  const scope = context.isPrivate ? 'private' : 'public';
  return new Headers({
    'Content-Type': descriptor.mediaType,
    'Docker-Content-Digest': descriptor.digest,
    ETag: `"${descriptor.digest}"`,
    'Cache-Control': isImmutable ? `${scope}, max-age=31536000, immutable` : 'no-cache',
  });
}

/** RFC 9110, section 13.1.2. */
function isUnchanged(request: Request, digest: string): boolean {
  const header = request.headers.get('if-none-match');
  if (header === null) return false;
  return header.split(',').some((tag) => ['*', `"${digest}"`, digest].includes(tag.trim().replace(/^W\//, '')));
}

/** RFC 9110, section 13.1.5: a range of another version is not wanted. */
function isRangeValid(request: Request, digest: string): boolean {
  const header = request.headers.get('if-range');
  return header === null || header.trim() === `"${digest}"`;
}

/** The push category's blobs: monolithic, in chunks, mounted from another repository; and their deletion. */
import { hasherFor } from '../bytes/hash.ts';
import { blobPath } from '../content/blob-store.ts';
import { type Digest, type DigestAlgorithm, parseDigest } from '../oci/digest.ts';
import type { Storage } from '../storage/storage.ts';
import { parseChunkRange, type Span } from './byte-ranges.ts';
import type { PushContext } from './context.ts';
import { type ProtocolCode, ProtocolError, refuse } from './protocol-error.ts';
import { storageRepository } from './repository.ts';
import { contentLength, receiveBody } from './request-body.ts';
import { checkDigest, isRepositoryName } from './route.ts';
import {
  appendPart,
  findUpload,
  movePart,
  readParts,
  removeUpload,
  startUpload,
  type UploadPart,
  type UploadSession,
} from './upload-session.ts';

/** end-4a, end-4b, end-11: begins an upload, or does all at once. */
export async function postUpload(context: PushContext): Promise<Response> {
  const { storage, name, url, request } = context;
  const mount = url.searchParams.get('mount');
  if (mount !== null) {
    checkDigest(mount);
    if (await mountBlob(context, mount, url.searchParams.get('from'))) return created(name, mount);
  } else if (url.searchParams.has('digest')) {
    const digest = checkDigest(url.searchParams.get('digest'));
    await storeVerified(storage, digest, receiveChunk(context, 0), contentLength(request));
    await storageRepository(storage, name).linkBlob(digest);
    return created(name, digest);
  }
  const algorithm = url.searchParams.get('digest-algorithm') ?? 'sha256';
  if (!['sha256', 'sha384', 'sha512'].includes(algorithm))
    throw refuse(400, 'DIGEST_INVALID', 'This registry knows sha256, sha384 and sha512.', { algorithm });
  return progress(202, await startUpload(storage, name, algorithm as DigestAlgorithm));
}

/** end-5: one chunk, or the whole blob in one stream. */
export async function patchUpload(context: PushContext, id: string): Promise<Response> {
  const { storage, name, limits, uploadLifetime } = context;
  const session = await findUpload(storage, name, id, uploadLifetime);
  if (session.parts.length >= limits.uploadParts)
    throw refuse(413, 'SIZE_INVALID', `An upload has at most ${limits.uploadParts} chunks. Send larger ones.`);
  const span = chunkSpan(context, session);
  const next = await appendPart(storage, session, receiveChunk(context, session.size, span), misplaced);
  return progress(202, next);
}

/**
 * end-6: closes an upload, maybe with its last chunk. A client that did not hear the answer sends it again, when there is no such upload
 * any more: where the repository has the blob, the answer is the same.
 */
export async function putUpload(context: PushContext, id: string): Promise<Response> {
  const { storage, name, url } = context;
  const digest = checkDigest(url.searchParams.get('digest'));
  try {
    await closeUpload(context, id, digest);
  } catch (error) {
    if (!isRefusal(error, 'BLOB_UPLOAD_UNKNOWN')) throw error;
    if (!(await storageRepository(storage, name).statBlob(digest))) throw error;
  }
  return created(name, digest);
}

async function closeUpload(context: PushContext, id: string, digest: Digest): Promise<void> {
  const { storage, name, request, uploadLifetime } = context;
  const session = await findUpload(storage, name, id, uploadLifetime);
  const span = chunkSpan(context, session);
  const declared = span ? span.end - span.start : contentLength(request);
  async function* whole(): AsyncGenerator<Uint8Array> {
    yield* readParts(storage, session, request.signal);
    yield* receiveChunk(context, session.size, span);
  }
  let left: readonly UploadPart[] = session.parts;
  try {
    const isHashed = parseDigest(digest).algorithm === session.algorithm;
    if (left.length === 1 && declared === 0 && isHashed) {
      if (session.digest !== digest) throw wrongDigest(digest, session.digest as Digest);
      await movePart(storage, left[0]!, blobPath(digest));
      left = [];
    } else {
      await storeVerified(storage, digest, whole(), declared === undefined ? undefined : session.size + declared);
    }
  } catch (error) {
    // What has another digest than its client says, or has lost a part, cannot become right by sending more.
    if (isRefusal(error, 'DIGEST_INVALID') || isRefusal(error, 'BLOB_UPLOAD_UNKNOWN'))
      await removeUpload(storage, id, session.parts);
    throw error;
  }
  await storageRepository(storage, name).linkBlob(digest);
  await removeUpload(storage, id, left);
}

/** end-13: how far an upload has come. */
export async function getUpload(context: PushContext, id: string): Promise<Response> {
  return progress(204, await findUpload(context.storage, context.name, id, context.uploadLifetime));
}

/** end-14: gives an upload up. */
export async function deleteUpload(context: PushContext, id: string): Promise<Response> {
  const { storage, name, uploadLifetime } = context;
  const { parts } = await findUpload(storage, name, id, uploadLifetime);
  await removeUpload(storage, id, parts);
  return new Response(null, { status: 204 });
}

/** end-10. */
export async function deleteBlob(context: PushContext, digest: Digest): Promise<Response> {
  const repository = storageRepository(context.storage, context.name);
  if (await repository.alone(() => repository.deleteBlob(digest))) return new Response(null, { status: 202 });
  throw refuse(404, 'BLOB_UNKNOWN', `This repository has no blob ${digest}.`, { digest });
}

/** Whether the blob is one of this repository now. Where the client may not see it in the other, it is as if it were not there. */
async function mountBlob(context: PushContext, digest: Digest, from: string | null): Promise<boolean> {
  const { storage, name, authorize } = context;
  if (from === null || !isRepositoryName(from)) return false;
  try {
    await authorize({ action: 'pull', repository: from });
  } catch (error) {
    if (error instanceof ProtocolError) return false;
    throw error;
  }
  if (!(await storageRepository(storage, from).statBlob(digest))) return false;
  await storageRepository(storage, name).linkBlob(digest);
  return true;
}

/**
 * Stores what has that digest. What the storage holds already is not written again, but hashed all the same: a client
 * proves by it that it has the content, which another repository may be keeping from it.
 */
async function storeVerified(
  storage: Storage,
  digest: Digest,
  chunks: AsyncIterable<Uint8Array>,
  size: number | undefined,
): Promise<void> {
  const path = blobPath(digest);
  const hasher = await hasherFor(parseDigest(digest).algorithm);
  const held = await storage.stat(path);
  const file = held && (size === undefined || held.size === size) ? undefined : await storage.create({ path });
  try {
    for await (const chunk of chunks) {
      // The adapter writes while this thread hashes.
      const written = file?.write(chunk);
      hasher.update(chunk);
      await written;
    }
    const actual = hasher.digest();
    if (actual !== digest) throw wrongDigest(digest, actual);
    await file?.commit(path);
  } catch (error) {
    await file?.abort();
    throw error;
  }
}

function isRefusal(error: unknown, code: ProtocolCode): boolean {
  return error instanceof ProtocolError && error.faults[0]?.code === code;
}

function wrongDigest(expected: Digest, actual: Digest): Error {
  const message = `The content has the digest ${actual}, not ${expected}. Nothing was stored; send it again from the start.`;
  return refuse(400, 'DIGEST_INVALID', message, { expected, actual });
}

function receiveChunk(context: PushContext, offset: number, span?: Span): AsyncIterable<Uint8Array> {
  const { request, limits } = context;
  return receiveBody(request, {
    expected: span && span.end - span.start,
    maximum: limits.blobBytes - offset,
    tooLarge: `This registry takes blobs of up to ${limits.blobBytes} bytes.`,
  });
}

/** The chunk's place by its `Content-Range`; `undefined` for what comes without one, which goes on where the upload is. */
function chunkSpan({ request }: PushContext, session: UploadSession): Span | undefined {
  const header = request.headers.get('content-range');
  if (header === null) return undefined;
  const span = parseChunkRange(header);
  if (!span) {
    throw refuse(
      400,
      'BLOB_UPLOAD_INVALID',
      'Content-Range of a chunk is <first>-<last>, both inclusive, as in 0-65535.',
    );
  }
  if (span.start !== session.size) throw misplaced(session);
  return span;
}

function misplaced(session: UploadSession): Error {
  return refuse(
    416,
    'BLOB_UPLOAD_INVALID',
    `The upload has ${session.size} bytes, so the next chunk begins at ${session.size}.`,
    { offset: session.size },
    uploadHeaders(session),
  );
}

function progress(status: number, session: UploadSession): Response {
  return new Response(null, { status, headers: uploadHeaders(session) });
}

function uploadHeaders({ id, repository, size }: UploadSession): Record<string, string> {
  return {
    Location: `/v2/${repository}/blobs/uploads/${id}`,
    Range: `0-${Math.max(0, size - 1)}`,
    'Docker-Upload-UUID': id,
    'Cache-Control': 'no-store',
  };
}

function created(name: string, digest: Digest): Response {
  const headers = { Location: `/v2/${name}/blobs/${digest}`, 'Docker-Content-Digest': digest };
  return new Response(null, { status: 201, headers });
}

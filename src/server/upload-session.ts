/**
 * Upload sessions, kept in the storage so that any instance of the server can go on with them. A file of a storage is
 * visible whole or not at all, so each chunk is a file of its own, and the session says which there are:
 *
 *     uploads/<id>.session          repository, names and sizes of the parts, digest of the first, time of the last
 *     uploads/<id>.part-<n>-<uuid>  the bytes of a chunk
 *     uploads-swept                 when expired sessions were last looked for, in milliseconds since the epoch
 *
 * Most clients send a blob as one chunk. Its digest is known when it has come, and its file becomes the blob's by being moved.
 *
 * No lock is taken, since each would cost a bucket more than the session does. A part's name is its own, so that a session is true of its parts
 * whoever wrote it. Should a client send two chunks for one place to two instances at the same moment, the session that is written last counts, and the
 * client finds that out by the next chunk's offset, or at the end by the digest.
 */

import { readChunks } from '../bytes/byte-source.ts';
import { hasherFor } from '../bytes/hash.ts';
import { StowageError } from '../errors.ts';
import type { Digest, DigestAlgorithm } from '../oci/digest.ts';
import { parseJson } from '../oci/json.ts';
import { serializeJson } from '../oci/serialize-json.ts';
import { inTurn, type Turns } from '../storage/in-turn.ts';
import type { Storage } from '../storage/storage.ts';
import { writeStorageFile } from '../storage/write.ts';
import { type ProtocolError, refuse } from './protocol-error.ts';
import { readSmallFile } from './repository.ts';

export interface UploadSession {
  id: string;
  repository: string;
  /** Of the digest that the client means to name. */
  algorithm: DigestAlgorithm;
  /** Of the first part. */
  digest?: Digest;
  /** In order. */
  parts: readonly UploadPart[];
  /** Bytes of all parts. */
  size: number;
  /** Milliseconds since the epoch. */
  touched: number;
}

/** A chunk that was stored. */
export interface UploadPart {
  path: string;
  /** In bytes. */
  size: number;
}

export async function startUpload(
  storage: Storage,
  repository: string,
  algorithm: DigestAlgorithm,
): Promise<UploadSession> {
  const session = { id: crypto.randomUUID(), repository, algorithm, parts: [], size: 0, touched: Date.now() };
  await writeSession(storage, session);
  return session;
}

/** Throws `BLOB_UPLOAD_UNKNOWN` where there is none, it is another repository's, or it expired. */
export async function findUpload(
  storage: Storage,
  repository: string,
  id: string,
  lifetime: number,
): Promise<UploadSession> {
  const session = await readSession(storage, id);
  if (session?.repository === repository && session.touched + lifetime > Date.now()) return session;
  throw unknownUpload();
}

/**
 * Stores the chunk as the next part. Where another request was faster, or a chunk comes that does not follow the last
 * one, nothing changes and `misplaced` makes the error from the session as it is.
 */
export async function appendPart(
  storage: Storage,
  session: UploadSession,
  chunks: AsyncIterable<Uint8Array>,
  misplaced: (current: UploadSession) => Error,
): Promise<UploadSession> {
  const { id, parts } = session;
  const path = `uploads/${id}.part-${parts.length}-${crypto.randomUUID()}`;
  const hasher = parts.length === 0 ? await hasherFor(session.algorithm) : undefined;
  const file = await storage.create({ path });
  try {
    let size = 0;
    for await (const chunk of chunks) {
      // The adapter writes while this thread hashes.
      const written = file.write(chunk);
      hasher?.update(chunk);
      await written;
      size += chunk.length;
    }
    return await inTurn(turnsOf(storage), id, async () => {
      const current = await readSession(storage, id);
      if (!current) throw unknownUpload();
      if (current.size !== session.size || current.parts.length !== parts.length) throw misplaced(current);
      if (size === 0) {
        await file.abort();
        return current;
      }
      await file.commit(path);
      const next = {
        ...current,
        ...(hasher && { digest: hasher.digest() }),
        parts: [...parts, { path, size }],
        size: current.size + size,
        touched: Date.now(),
      };
      await writeSession(storage, next);
      return next;
    });
  } catch (error) {
    await file.abort();
    throw error;
  }
}

/** The bytes of all parts. */
export async function* readParts(
  storage: Storage,
  session: UploadSession,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for (const { path } of session.parts) {
    const stream = await storage.read(path).catch(refuseMissing);
    yield* readChunks(stream, { signal });
  }
}

/** Makes an upload's one part the file `path`, uncopied where the storage can rename. Where that is there already, another request has done it. */
export async function movePart(storage: Storage, part: UploadPart, path: string): Promise<void> {
  const isThere = async (): Promise<boolean> => (await storage.stat(path))?.size === part.size;
  if (await isThere()) return storage.delete(part.path);
  try {
    await storage.move(part.path, path);
  } catch (error) {
    if (!isNotFound(error) || !(await isThere())) refuseMissing(error);
  }
}

/** Forgets a session and its parts; what is gone already is no error. */
export async function removeUpload(
  storage: Storage,
  id: string,
  parts: readonly Pick<UploadPart, 'path'>[],
): Promise<void> {
  // The session last: should this stop halfway, it will expire.
  for (const { path } of parts) await storage.delete(path);
  await storage.delete(sessionPath(id));
}

/** Whether nobody has looked for expired sessions within the last `interval` milliseconds. Who is told so is the one who has now. */
export async function isSweepDue(storage: Storage, interval: number): Promise<boolean> {
  const now = Date.now();
  const noted = await readSmallFile(storage, sweptPath);
  const age = now - Number(new TextDecoder().decode(noted));
  // A time to come is another clock's fault, and no reason to wait for it.
  if (noted && age >= 0 && age < interval) return false;
  await writeStorageFile(storage, sweptPath, [new TextEncoder().encode(String(now))], { durable: false });
  return true;
}

/** Removes what was not touched for `lifetime` milliseconds, and parts that no session speaks of any more. */
export async function expireUploads(storage: Storage, lifetime: number): Promise<void> {
  const files = new Map<string, string[]>();
  for await (const path of storage.list('uploads/')) {
    const id = path.slice('uploads/'.length).split('.', 1)[0]!;
    const paths = files.get(id) ?? [];
    paths.push(path);
    files.set(id, paths);
  }
  for (const [id, paths] of files) {
    const session = await readSession(storage, id);
    if (session && session.touched + lifetime > Date.now()) continue;
    const parts = paths.filter((path) => path !== sessionPath(id)).map((path) => ({ path }));
    await removeUpload(storage, id, parts);
  }
}

/** A part is gone where another request ended the upload. */
function refuseMissing(error: unknown): never {
  throw isNotFound(error) ? unknownUpload() : error;
}

function isNotFound(error: unknown): boolean {
  return error instanceof StowageError && error.code === 'NOT_FOUND';
}

function unknownUpload(): ProtocolError {
  return refuse(
    404,
    'BLOB_UPLOAD_UNKNOWN',
    'There is no such upload: it ended, was cancelled or expired. Begin a new one.',
  );
}

async function readSession(storage: Storage, id: string): Promise<UploadSession | undefined> {
  const bytes = await readSmallFile(storage, sessionPath(id));
  try {
    return bytes && (parseJson(bytes, { what: sessionPath(id) }) as UploadSession);
  } catch {
    // Cut short by a power cut: its client begins anew.
    return undefined;
  }
}

function writeSession(storage: Storage, session: UploadSession): Promise<void> {
  return writeStorageFile(storage, sessionPath(session.id), [serializeJson(session)], { durable: false });
}

/** Of the requests that one storage object serves. Where each request makes its own, as in a Worker, none waits for another's promise. */
function turnsOf(storage: Storage): Turns {
  const turns: Turns = allTurns.get(storage) ?? new Map();
  allTurns.set(storage, turns);
  return turns;
}

const allTurns = new WeakMap<Storage, Turns>();

const sweptPath = 'uploads-swept';

function sessionPath(id: string): string {
  return `uploads/${id}.session`;
}

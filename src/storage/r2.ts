/** A storage in a Cloudflare R2 bucket, for Workers. */
import { toStream } from '../bytes/byte-source.ts';
import { toByteStream } from '../bytes/byte-stream.ts';
import { StowageError } from '../errors.ts';
import { inTurn, type Turns } from './in-turn.ts';
import { checkStoragePath, quotePath, storagePathFault } from './path.ts';
import { pendingFile } from './pending.ts';
import type { R2BucketBinding } from './r2-bucket.ts';
import { bucketFailed, persistently } from './r2-failure.ts';
import { acquireObjectLock } from './r2-lock.ts';
import { wholeBody } from './r2-reader.ts';
import { ObjectWriter, smallestPart } from './r2-writer.ts';
import { resolveByteRange } from './range.ts';
import type { ByteRange, CreateOptions, PendingFile, Storage } from './storage.ts';
import { checkFilePath, isInWorkFolder, workFolder } from './work-folder.ts';

export type { R2BucketBinding, R2Condition, R2ObjectFacts, R2Part, R2Upload } from './r2-bucket.ts';

/** Where and how an `R2Storage` writes. */
export interface R2StorageOptions {
  /** Put before every path, such as `images/`; ends with a slash. Default none: the whole bucket. */
  prefix?: string;
  /**
   * Bytes of a part, and so what is held of a large file at once. Default, and least, 5 MiB (5,242,880). R2 takes 10,000 parts, so
   * 5 MiB does for files of up to 48.8 GiB.
   */
  partSize?: number;
}

/**
 * Files as objects of an R2 bucket. Make one for each request: what a Worker waits for belongs to the request that began it.
 *
 * What it costs: a file of up to `partSize` is held and put at once. A larger one goes up part by part; nothing is seen before its
 * commit. R2 wants an object's name when the upload begins, so a large file whose path is known only at the end (a layer that is being
 * built) is written under `.stowage/` first and, on commit, read from there and written again: twice the writes, one read, no egress. Where the
 * path is known before, as of every blob that is copied, it is written once (see `CreateOptions.path`).
 *
 * `exclusive` is an object under `.stowage/` that is put on condition; it stays there, empty. It holds across requests, isolates and
 * machines. A holder that ends without a word, as by its client going away, is succeeded after ten seconds; Cloudflare
 * lets it finish where the work is handed to `waitUntil`. R2 takes one write a second of the same object, so that names
 * in great demand wait; a holder that was silent for too long and lost its place fails with `STORAGE_FAILED` at the end.
 * What a request that was cut off left under `.stowage/` is removed after a day, by the next large file; its parts by R2 itself, after
 * seven days unless the bucket's rules say otherwise.
 *
 * What `read` gives, and in Cloudflare's runtime a blob store over this, are byte streams. A reader in `byob` mode that brings one buffer again and
 * again leaves no garbage behind; one that brings none is given new buffers of 64 KiB, of which V8 lets 64 MiB gather.
 *
 * What R2 refuses is `STORAGE_FAILED`, its error as `cause`; where it was only busy the call is tried again first.
 *
 * @example
 * import { Layout } from 'stowage';
 * import { R2Storage } from 'stowage/storage/r2';
 *
 * export default {
 *   async fetch(request, env) {
 *     const layout = await Layout.create(new R2Storage(env.BUCKET, { prefix: 'images/' }));
 *     return Response.json(await layout.tags());
 *   },
 * };
 */
export class R2Storage implements Storage {
  readonly #bucket: R2BucketBinding;
  readonly #prefix: string;
  readonly #partSize: number;
  readonly #turns: Turns = new Map();
  #swept: Promise<void> | undefined;

  constructor(bucket: R2BucketBinding, options: R2StorageOptions = {}) {
    const { prefix = '', partSize = smallestPart } = options;
    if (prefix !== '') checkPrefix(prefix);
    if (!Number.isSafeInteger(partSize) || partSize < smallestPart) {
      throw new StowageError(
        'ARGUMENT_INVALID',
        `partSize is ${partSize}; R2 takes parts of at least ${smallestPart} bytes.`,
        { partSize },
      );
    }
    this.#bucket = bucket;
    this.#prefix = prefix;
    this.#partSize = partSize;
  }

  async stat(path: string): Promise<{ size: number } | undefined> {
    checkFilePath(path);
    const key = this.#key(path);
    if (isTooLong(key)) return undefined;
    const found = await this.#ask('looking up', path, () => this.#bucket.head(key));
    return found ? { size: found.size } : undefined;
  }

  async read(path: string, range?: ByteRange): Promise<ReadableStream<Uint8Array>> {
    checkFilePath(path);
    const key = this.#key(path);
    let part: { offset: number; length: number } | undefined;
    if (range?.start !== undefined || range?.end !== undefined) {
      const file = await this.stat(path);
      if (!file) throw this.#notFound(path);
      const { start, end } = resolveByteRange(range, file.size);
      // R2 has no empty ranges.
      if (start === end) return toStream(nothing());
      part = { offset: start, length: end - start };
    }
    if (isTooLong(key)) throw this.#notFound(path);
    const found = await this.#ask('reading', path, () => this.#bucket.get(key, part && { range: part }));
    if (!found) throw this.#notFound(path);
    const { body } = found;
    return toByteStream(wholeBody(body, part?.length ?? found.size, path), () => body.cancel());
  }

  async create(options: CreateOptions = {}): Promise<PendingFile> {
    if (options.path !== undefined) this.#check(options.path);
    const key = options.path === undefined ? `${this.#temporaryPrefix}${crypto.randomUUID()}` : this.#key(options.path);
    const writer = new ObjectWriter(this.#bucket, key, this.#partSize);
    let isStaged = false;
    return pendingFile(
      {
        write: async (chunk) => {
          try {
            await writer.write(chunk);
            if (writer.isBound && options.path === undefined) await this.#sweep();
          } catch (error) {
            throw bucketFailed('writing', options.path ?? 'a file', error);
          }
        },
        commit: async (path) => {
          this.#check(path);
          try {
            await writer.finish(this.#key(path));
            if (!writer.isBound || options.path !== undefined) return;
            isStaged = true;
            await this.#move(key, this.#key(path));
          } catch (error) {
            throw bucketFailed('committing', path, error);
          }
        },
        discard: async () => {
          if (isStaged) await this.#bucket.delete(key).catch(() => {});
          else await writer.abort();
        },
      },
      options.path,
    );
  }

  async *list(prefix: string): AsyncIterable<string> {
    const start = this.#prefix + prefix;
    if (isTooLong(start)) return;
    for (let cursor: string | undefined; ; ) {
      const page = await this.#ask('listing', prefix, () =>
        this.#bucket.list(cursor === undefined ? { prefix: start } : { prefix: start, cursor }),
      );
      for (const { key } of page.objects) {
        const path = key.slice(this.#prefix.length);
        // What others put into the bucket may have names that no path has.
        if (storagePathFault(path) === undefined && !isInWorkFolder(path)) yield path;
      }
      if (!page.truncated || page.cursor === undefined) return;
      cursor = page.cursor;
    }
  }

  async move(from: string, to: string): Promise<void> {
    checkFilePath(from);
    this.#check(to);
    if (from === to) {
      if (!(await this.stat(from))) throw this.#notFound(from);
      return;
    }
    try {
      await this.#move(this.#key(from), this.#key(to));
    } catch (error) {
      throw bucketFailed('moving', from, error);
    }
  }

  async delete(path: string): Promise<void> {
    checkFilePath(path);
    const key = this.#key(path);
    if (!isTooLong(key)) await this.#ask('deleting', path, () => this.#bucket.delete(key));
  }

  exclusive<T>(name: string, task: () => Promise<T>): Promise<T> {
    // Only the first of this object need wait for others.
    return inTurn(this.#turns, name, async () => {
      const key = `${this.#prefix}${workFolder}/lock-${await hashOf(name)}`;
      const lock = await acquireObjectLock(this.#bucket, key).catch((error: unknown) => {
        throw bucketFailed('locking', name, error);
      });
      let result: T;
      try {
        result = await task();
      } catch (error) {
        await lock.release().catch(() => {});
        throw error;
      }
      const isKept = await lock.release().catch((error: unknown) => {
        throw bucketFailed('unlocking', name, error);
      });
      if (isKept) return result;
      throw new StowageError(
        'STORAGE_FAILED',
        `The lock ${quotePath(name)} was lost while its task ran: R2 was not heard of for too long, and another request may have come between. Read what was written, and run it again.`,
        { name },
      );
    });
  }

  get #temporaryPrefix(): string {
    return `${this.#prefix}${workFolder}/tmp-`;
  }

  #key(path: string): string {
    return this.#prefix + path;
  }

  #check(path: string): void {
    checkFilePath(path);
    if (!isTooLong(this.#key(path))) return;
    throw new StowageError(
      'PATH_INVALID',
      `Storage path ${quotePath(path)} makes a key of more than ${longestKey} bytes, which R2 does not take. Choose a shorter name.`,
      { path },
    );
  }

  async #ask<T>(doing: string, path: string, work: () => Promise<T>): Promise<T> {
    try {
      return await persistently(work);
    } catch (error) {
      throw bucketFailed(doing, path, error);
    }
  }

  /** R2 has no rename: read and written again, and then removed. */
  async #move(from: string, to: string): Promise<void> {
    const staged = isTooLong(from) ? null : await persistently(() => this.#bucket.get(from));
    if (!staged) throw this.#notFound(from.slice(this.#prefix.length));
    const writer = new ObjectWriter(this.#bucket, to, this.#partSize);
    try {
      for await (const chunk of wholeBody(staged.body, staged.size, to)) await writer.write(chunk);
      await writer.finish();
    } catch (error) {
      await writer.abort();
      throw error;
    }
    await this.#bucket.delete(from).catch(() => {});
  }

  #sweep(): Promise<void> {
    this.#swept ??= this.#removeLeftovers().catch(() => {});
    return this.#swept;
  }

  /** Of a request nothing can be seen but its silence: no upload takes a day. */
  async #removeLeftovers(): Promise<void> {
    const { objects } = await this.#bucket.list({ prefix: this.#temporaryPrefix });
    const old = objects.filter(({ uploaded }) => Date.now() - uploaded.getTime() > leftoverMilliseconds);
    if (old.length > 0) await this.#bucket.delete(old.map(({ key }) => key));
  }

  #notFound(path: string): StowageError {
    return new StowageError('NOT_FOUND', `No file ${quotePath(path)} in the bucket.`, { path });
  }
}

const longestKey = 1024;
const leftoverMilliseconds = 24 * 3600_000;

function checkPrefix(prefix: string): void {
  if (!prefix.endsWith('/')) {
    throw new StowageError('ARGUMENT_INVALID', `prefix is ${quotePath(prefix)}; it must end with a slash.`, { prefix });
  }
  checkStoragePath(prefix.slice(0, -1));
}

function isTooLong(key: string): boolean {
  return key.length > longestKey || (key.length * 3 > longestKey && new TextEncoder().encode(key).length > longestKey);
}

async function hashOf(name: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(name)));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

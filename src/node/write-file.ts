/** A stream into a file on disk, whole or not at all. */
import { realpath, rename, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type ByteSource, readChunks } from '../bytes/byte-source.ts';
import { StowageError } from '../errors.ts';
import { diskFailed, FileWriter, isMissing, syncDirectory } from '../storage/node-file.ts';
import { randomToken } from '../storage/node-owner.ts';
import { localPath } from './read-file.ts';

/**
 * Writes `bytes` to the file at `path`: beside it first, renamed into its place when they are all on the disk. A failure, an aborted
 * `signal` or a crash leaves the old file, or none. A file that is replaced keeps its permission bits; where `path` is a symlink, what it
 * points to is replaced. The directory must be there.
 *
 * @throws `ARGUMENT_INVALID` where `path` is there and no regular file, `STORAGE_FAILED` for what the disk says; and whatever `bytes` throws.
 *
 * @example
 * import { Image, saveTarball } from 'stowage';
 * import { writeFile } from 'stowage/node';
 *
 * await writeFile('demo.tar', saveTarball(Image.scratch(), { tag: 'demo:1.0', compression: 'none' }));
 */
export async function writeFile(
  path: string | URL,
  bytes: ByteSource,
  options: { signal?: AbortSignal } = {},
): Promise<void> {
  const given = localPath(path);
  const failed = (cause: unknown): StowageError => diskFailed('writing', given, cause);
  const { writer, target, mode } = await begin(given, failed).catch(async (error: unknown) => {
    await release(bytes, error);
    throw error;
  });
  try {
    for await (const chunk of readChunks(bytes, options)) await writer.write(chunk);
    await writer.finish({ mode });
    options.signal?.throwIfAborted();
    await rename(writer.path, target).catch((error: unknown) => {
      throw failed(error);
    });
  } catch (error) {
    await writer.discard();
    throw error;
  }
  await syncDirectory(dirname(target)).catch((error: unknown) => {
    throw failed(error);
  });
}

async function begin(
  given: string,
  failed: (cause: unknown) => StowageError,
): Promise<{ writer: FileWriter; target: string; mode?: number }> {
  try {
    const { target, mode } = await destination(given);
    const name = `.${basename(target).slice(0, 60)}.${randomToken()}.part`;
    return { writer: await FileWriter.create(join(dirname(target), name), true, failed), target, mode };
  } catch (error) {
    throw failed(error);
  }
}

/** Lets go of a source that will not be read: what is read with an aborted signal is cancelled. */
async function release(bytes: ByteSource, reason: unknown): Promise<void> {
  const signal = AbortSignal.abort(reason);
  try {
    for await (const _ of readChunks(bytes, { signal })) break;
  } catch {
    // The reason, or that there is nothing to let go of.
  }
}

/** The file to be replaced, links followed, and its permission bits where it is there. */
async function destination(given: string): Promise<{ target: string; mode?: number }> {
  try {
    const found = await stat(given);
    if (found.isFile()) return { target: await realpath(given), mode: found.mode & 0o777 };
  } catch (error) {
    if (isMissing(error)) return { target: given };
    throw error;
  }
  throw new StowageError(
    'ARGUMENT_INVALID',
    `${JSON.stringify(given)} is no regular file, so it cannot be replaced by one. Name a file, or pipe the bytes to a stream of your own.`,
    { path: given },
  );
}

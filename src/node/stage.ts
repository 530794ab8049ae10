/** Where layers are unpacked: beside the directory that is to be, which it becomes when all went well. */
import { chmodSync } from 'node:fs';
import { lstat, mkdir, readdir, realpath, rename, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { StowageError } from '../errors.ts';
import { diskFailed, errorCode, isMissing } from '../storage/node-file.ts';
import { randomToken } from '../storage/node-owner.ts';

/** A directory under work. */
export interface Stage {
  /** Where to unpack to. Its parents are no symlinks. */
  directory: string;
  /** Whether it holds what was there before. */
  isUsed: boolean;
  /** A free name for what is to be removed, on the same file system. */
  removed: string;
  /** Puts it in its place. */
  commit: () => Promise<void>;
  /** Takes away what was unpacked, as far as nothing else was there. Never throws. */
  discard: () => Promise<void>;
}

/**
 * Makes the directory to unpack to. Where nothing or an empty directory is at `target`, a new one beside it that nobody else may enter;
 * what is mounted there cannot be renamed to, and is unpacked to at once. So is a directory that holds something, if `merge`.
 *
 * @throws `ARGUMENT_INVALID` where `target` holds something and not `merge`, or is no directory.
 */
export async function openStage(target: string, merge: boolean): Promise<Stage> {
  const place = await locate(target);
  const token = randomToken().toLowerCase();
  const stem = `.${basename(place.path).slice(0, 60)}.${token}`;
  const parent = dirname(place.path);
  if (place.holds > 0 && !merge) {
    throw new StowageError(
      'ARGUMENT_INVALID',
      `${JSON.stringify(target)} is not empty. Extract to a new directory, or apply the layers to what is there with { merge: true }.`,
      { path: target },
    );
  }
  if (place.holds > 0 || place.isMount) {
    const removed = join(place.path, `.stowage.${token}`);
    return {
      directory: place.path,
      isUsed: place.holds > 0,
      removed,
      commit: async () => {},
      discard: async () => {
        await removeTree(removed);
        if (place.holds > 0) return;
        for (const name of await readdir(place.path).catch(() => [])) await removeTree(join(place.path, name));
      },
    };
  }
  const directory = join(parent, `${stem}.part`);
  await mkdir(directory, 0o700).catch((error: unknown) => {
    throw diskFailed('making', directory, error);
  });
  const removed = join(parent, `${stem}.removed`);
  return {
    directory,
    isUsed: false,
    removed,
    commit: async () => {
      // Windows renames to no directory, even an empty one.
      await rename(directory, place.path).catch(async (error: unknown) => {
        if (!place.exists) throw error;
        await rmdir(place.path);
        await rename(directory, place.path);
      });
    },
    discard: async () => {
      await removeTree(removed);
      await removeTree(directory);
    },
  };
}

/** Removes a tree, even where directories of it are closed to their owner. Never throws, follows nothing. */
export async function removeTree(path: string): Promise<void> {
  const remove = (): Promise<void> => rm(path, { recursive: true, force: true, maxRetries: 2 });
  await remove().catch(async () => {
    await open(Buffer.from(path)).catch(() => {});
    await remove().catch(() => {});
  });
}

async function open(path: Buffer): Promise<void> {
  if (!(await lstat(path)).isDirectory()) return;
  chmodSync(path, 0o700);
  for (const name of await readdir(path, { encoding: 'buffer' })) await open(Buffer.concat([path, slash, name]));
}

const slash = Buffer.from('/');

interface Located {
  /** Absolute, without symlinks. */
  path: string;
  exists: boolean;
  /** How many names are in it. */
  holds: number;
  /** Whether another file system begins there. */
  isMount: boolean;
}

async function locate(target: string): Promise<Located> {
  try {
    const path = await realpath(target);
    const [found, above] = await Promise.all([stat(path), stat(dirname(path))]);
    if (!found.isDirectory()) throw noDirectory(target, 'is no directory');
    const holds = (await readdir(path)).length;
    return { path, exists: true, holds, isMount: found.dev !== above.dev || path === dirname(path) };
  } catch (error) {
    if (!isMissing(error)) throw diskFailed('looking up', target, error);
  }
  const isLink = await lstat(target).then(
    () => true,
    () => false,
  );
  if (isLink) throw noDirectory(target, 'is a symlink to nothing');
  try {
    return { path: join(await realpath(dirname(target)), basename(target)), exists: false, holds: 0, isMount: false };
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw diskFailed('looking up', dirname(target), error);
    throw new StowageError(
      'NOT_FOUND',
      `The directory ${JSON.stringify(dirname(target))}, in which to make ${JSON.stringify(basename(target))}, is not there. Make it first.`,
      { path: dirname(target) },
      { cause: error },
    );
  }
}

function noDirectory(path: string, why: string): StowageError {
  return new StowageError('ARGUMENT_INVALID', `${JSON.stringify(path)} ${why}. Name a directory, or nothing yet.`, {
    path,
  });
}

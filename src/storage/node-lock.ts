/**
 * A lock between processes, made of files alone: whoever creates the lock file holds it, and a dead holder's file is taken away.
 *
 * Taking it away is where such locks go wrong: two processes see the same dead holder, one removes the file and takes the lock,
 * and the other then removes the new file. Here the right to remove the file of the holder with token T is itself such a lock,
 * named after T. A token is never drawn twice and only the holder of `claim-T` removes a dead T's file, so the file that was
 * looked at under the claim is the file that is removed. Should the claimant die, the same rule frees its claim.
 */
import { link, open, readdir, readFile, stat, unlink, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { clearInterval, setInterval, setTimeout } from 'node:timers';
import { errorCode, isMissing } from './node-file.ts';
import { liveness, type Owner, randomToken, thisOwner } from './node-owner.ts';

/** How often a holder shows that it lives, for those who cannot see its process. */
const beatMilliseconds = 10_000;
/** Waiters ask again after 1 to 50 ms. */
const longestPause = 50;

/** The name of a file that is not finished, which tells whose it is. */
export async function temporaryName(): Promise<string> {
  const { host, pid, start } = await thisOwner();
  return `tmp-${host}-${pid}-${start}-${randomToken()}`;
}

/**
 * Waits until this call holds the lock `name` in `directory`, and gives the call that releases it. `prepare` makes the directory:
 * another process may remove it while it is empty. `silence` is how many milliseconds the file of an unseen holder must stand still,
 * by this waiter's own clock, before it counts as dead: six times the interval at which a holder touches it.
 */
export async function acquireLock(
  directory: string,
  name: string,
  prepare: () => Promise<void>,
  silence: number = 6 * beatMilliseconds,
): Promise<() => Promise<void>> {
  const seen: Sightings = { silence, files: new Map() };
  for (let pause = 1; ; pause = Math.min(pause * 1.5, longestPause)) {
    const release = await tryLock(directory, name, prepare, seen);
    if (release) return release;
    const milliseconds = pause * (0.5 + Math.random());
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
  }
}

/** Removes what dead processes left in `directory`: unfinished files and locks. */
export async function sweep(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  for (const name of names) {
    const path = join(directory, name);
    const temporary = /^tmp-([0-9a-f]{16})-(\d+)-(\d+)-[0-9a-f]{32}$/.exec(name);
    if (temporary) {
      const [, host, pid, start] = temporary as unknown as [string, string, string, string];
      const state = await liveness({ host, pid: Number(pid), start });
      // A name is never used again, so what is judged is what is removed. Of an unseen process, a day of silence must do.
      if (state === 'dead' || (state === 'unknown' && (await age(path)) > 24 * 3600_000)) await removed(path);
    } else if (/^(lock|claim)-/.test(name)) {
      const record = await readRecord(path);
      if (record?.owner && (await liveness(record.owner)) === 'dead') {
        const release = await tryLock(directory, name, async () => {}, {
          silence: Number.POSITIVE_INFINITY,
          files: new Map(),
        }).catch(() => undefined);
        await release?.();
      }
    }
  }
}

/** What a lock file says; without an owner where its writer died before it had written anything. */
interface LockRecord {
  token: string;
  owner: Owner | undefined;
}

/** When a waiter first saw a holder's file with this very time of change, by the holder's token. */
interface Sightings {
  silence: number;
  files: Map<string, { changed: number; since: number }>;
}

async function tryLock(
  directory: string,
  name: string,
  prepare: () => Promise<void>,
  seen: Sightings,
): Promise<(() => Promise<void>) | undefined> {
  const path = join(directory, name);
  const token = randomToken();
  for (;;) {
    if (await placeLock(directory, path, token, prepare)) return holdLock(path, token);
    const record = await readRecord(path);
    if (!record) continue;
    if (!(await isDead(path, record, seen))) return undefined;
    const release = await tryLock(directory, `claim-${record.token}`, prepare, seen);
    if (!release) return undefined;
    try {
      if ((await readRecord(path))?.token === record.token) await removed(path);
    } finally {
      await release();
    }
  }
}

/** Creates the lock file, its content already in it; `false` where it is there. */
async function placeLock(
  directory: string,
  path: string,
  token: string,
  prepare: () => Promise<void>,
): Promise<boolean> {
  const content = JSON.stringify({ token, owner: await thisOwner() });
  for (;;) {
    try {
      // The one look that most waiters need costs less than the file that would be made in vain.
      if (await stat(path).catch(() => undefined)) return false;
      await prepare();
      const draft = join(directory, await temporaryName());
      try {
        await createFile(draft, content);
        await link(draft, path);
        return true;
      } catch (error) {
        if (!withoutLinks.has(errorCode(error))) throw error;
        await createFile(path, content);
        return true;
      } finally {
        await removed(draft);
      }
    } catch (error) {
      if (errorCode(error) === 'EEXIST') return false;
      // The directory was empty for a moment, and somebody tidied it away.
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }
}

/** What file systems without hard links answer to `link`. */
const withoutLinks = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

async function createFile(path: string, content: string): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    await handle.writeFile(content);
  } finally {
    await handle.close();
  }
}

function holdLock(path: string, token: string): () => Promise<void> {
  const beat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {});
  }, beatMilliseconds);
  beat.unref();
  return async () => {
    clearInterval(beat);
    if ((await readRecord(path))?.token === token) await removed(path);
  };
}

async function isDead(path: string, record: LockRecord, seen: Sightings): Promise<boolean> {
  const state = record.owner ? await liveness(record.owner) : 'unknown';
  if (state !== 'unknown') return state === 'dead';
  const changed = (await stat(path).catch(() => undefined))?.mtimeMs ?? 0;
  const first = seen.files.get(record.token);
  if (first?.changed !== changed) {
    seen.files.set(record.token, { changed, since: performance.now() });
    return false;
  }
  return performance.now() - first.since > seen.silence;
}

async function readRecord(path: string): Promise<LockRecord | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    const { token, owner } = JSON.parse(text) as Partial<LockRecord>;
    if (typeof token === 'string' && /^[0-9a-f]{32}$/.test(token)) return { token, owner };
  } catch {
    // Falls through: cut short, or not ours.
  }
  return {
    token: `unwritten-${Math.trunc((await stat(path).catch(() => undefined))?.ctimeMs ?? 0)}`,
    owner: undefined,
  };
}

async function age(path: string): Promise<number> {
  const changed = (await stat(path).catch(() => undefined))?.mtimeMs;
  return changed === undefined ? 0 : Date.now() - changed;
}

async function removed(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => {
    if (!isMissing(error)) throw error;
  });
}

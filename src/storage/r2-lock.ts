/**
 * A lock in a bucket, made of one object and conditional puts. Empty, it is free; else it says who holds it. Each change goes through only
 * where the object is still the one that was looked at, so of two who see a free lock, or a dead holder, one gets it.
 *
 * R2 cannot delete conditionally, so a lock that was free once stays in the bucket as an empty object.
 */
import type { R2BucketBinding } from './r2-bucket.ts';
import { isTransient, pause } from './r2-failure.ts';

/**
 * A holder that has not shown itself for so long, by the bucket's clock, is dead: a request that was cut off leaves its lock behind. Long
 * enough for three signs of life, of which R2, at one write a second of an object, may refuse two.
 */
const expiryMilliseconds = 10_000;
const longestPause = 400;

/** A lock that is held. */
export interface HeldLock {
  /** Gives it back; `false` where somebody else took it meanwhile, because this holder was not heard of for too long. */
  release(): Promise<boolean>;
}

/** Waits for the lock under `key`. `expiry` in milliseconds, default 10 s: how long a holder may be silent. */
export async function acquireObjectLock(
  bucket: R2BucketBinding,
  key: string,
  expiry: number = expiryMilliseconds,
): Promise<HeldLock> {
  const token = crypto.randomUUID();
  for (let wait = 10; ; wait = Math.min(wait * 1.6, longestPause)) {
    try {
      const etag = await tryLock(bucket, key, token, expiry);
      if (etag !== undefined) return hold(bucket, key, token, etag, expiry / 3);
    } catch (error) {
      if (!isTransient(error)) throw error;
      await pause(longestPause);
    }
    await pause(wait);
  }
}

/** The ETag of the lock that is ours now, or `undefined`. */
async function tryLock(
  bucket: R2BucketBinding,
  key: string,
  token: string,
  expiry: number,
): Promise<string | undefined> {
  const found = await bucket.get(key);
  if (!found) return (await bucket.put(key, `${token} 0`, { onlyIf: { etagDoesNotMatch: '*' } }))?.etag;
  const holder = await new Response(found.body).text();
  // An answer of R2 was lost, but the put went through.
  if (holder.startsWith(token)) return found.etag;
  if (holder !== '' && Date.now() - found.uploaded.getTime() < expiry) return undefined;
  return (await bucket.put(key, `${token} 0`, { onlyIf: { etagMatches: found.etag } }))?.etag;
}

function hold(bucket: R2BucketBinding, key: string, token: string, first: string, interval: number): HeldLock {
  let etag: string | undefined = first;
  let count = 0;
  let beating: Promise<void> = Promise.resolve();
  const change = async (content: string): Promise<void> => {
    if (etag === undefined) return;
    etag = (await bucket.put(key, content, { onlyIf: { etagMatches: etag } }))?.etag;
  };
  const beat = setInterval(() => {
    // The count changes the ETag, so that nobody takes the lock of a holder who has just shown itself. A beat that fails is made up for by the next.
    beating = beating.then(() => change(`${token} ${++count}`)).catch(() => {});
  }, interval);
  return {
    async release() {
      clearInterval(beat);
      await beating;
      for (let attempt = 1; etag !== undefined; attempt++) {
        try {
          await change('');
          return etag !== undefined;
        } catch (error) {
          if (attempt > 5 || !isTransient(error)) throw error;
          await pause(150 * 2 ** attempt);
        }
      }
      return false;
    },
  };
}

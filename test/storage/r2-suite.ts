/** What R2Storage promises, as tests that run in a Worker with a bucket: `r2.node.test.ts` starts it. */
import { describe, expect, test } from 'vitest';
import { readChunks } from '../../src/bytes/byte-source.ts';
import { concatBytes } from '../../src/bytes/chunks.ts';
import { blobPath, blobStore } from '../../src/content/blob-store.ts';
import { R2Storage } from '../../src/storage/r2.ts';
import type { R2BucketBinding } from '../../src/storage/r2-bucket.ts';
import { acquireObjectLock } from '../../src/storage/r2-lock.ts';
import { blobStoreContract } from '../content/contract.ts';
import { startFile } from '../runtimes/harness.ts';
import { paths, pattern, put, same, storageContract, text } from './contract.ts';

startFile('storage/r2');

let count = 0;

/** The bucket of the request that runs the tests. */
function bucket(): R2BucketBinding {
  return (globalThis as unknown as { stowageBucket: R2BucketBinding }).stowageBucket;
}

/** A bucket whose calls are counted by name, and that fails where `fault` throws. */
function watched(fault: (call: string, times: number) => void = () => {}): {
  bucket: R2BucketBinding;
  calls: Record<string, number>;
} {
  const calls: Record<string, number> = {};
  const watch = <T extends object>(target: T): T =>
    new Proxy(target, {
      get: (object, key) => {
        const value = Reflect.get(object, key) as unknown;
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]) => {
          const name = String(key);
          calls[name] = (calls[name] ?? 0) + 1;
          fault(name, calls[name]);
          const result = await value.apply(object, args);
          return name === 'createMultipartUpload' ? watch(result) : result;
        };
      },
    });
  return { bucket: watch(bucket()), calls };
}

async function keys(prefix: string): Promise<string[]> {
  return (await bucket().list({ prefix })).objects.map(({ key }) => key.slice(prefix.length));
}

async function readAll(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

storageContract('R2Storage', async () => {
  const prefix = `contract-${++count}/`;
  return {
    storage: new R2Storage(bucket(), { prefix }),
    async cleanup() {
      const left = await keys(prefix);
      // Only locks stay, empty.
      expect(left.filter((key) => key.startsWith('.stowage/') && !key.startsWith('.stowage/lock-'))).toEqual([]);
      if (left.length > 0) await bucket().delete(left.map((key) => prefix + key));
    },
  };
});

blobStoreContract('blobStore over R2Storage', async () => {
  const prefix = `blobs-${++count}/`;
  const storage = new R2Storage(bucket(), { prefix });
  return {
    store: blobStore(storage),
    corrupt: (descriptor, content) => put(storage, blobPath(descriptor.digest), content),
    blobs: async () => (await paths(storage, 'blobs/')).map((path) => path.slice(6).replace('/', ':')),
    async cleanup() {
      const left = await keys(prefix);
      if (left.length > 0) await bucket().delete(left.map((key) => prefix + key));
    },
  };
});

describe('what is read from a bucket', () => {
  test('comes into buffers that the reader brings, or into new ones of 64 KiB', async () => {
    const storage = new R2Storage(bucket(), { prefix: `read-${++count}/` });
    const content = pattern(300_000);
    const { digest, size } = await blobStore(storage).write(content);
    for (const open of [
      () => storage.read(blobPath(digest)),
      () => blobStore(storage).read({ mediaType: 'application/octet-stream', digest, size }),
      () => storage.read(blobPath(digest), { start: 0, end: 1e9 }),
    ]) {
      const own = new Uint8Array(size);
      let buffer = new ArrayBuffer(70_000);
      let filled = 0;
      const reader = (await open()).getReader({ mode: 'byob' });
      for (let next = await reader.read(new Uint8Array(buffer)); !next.done; ) {
        own.set(next.value, filled);
        filled += next.value.length;
        buffer = next.value.buffer;
        next = await reader.read(new Uint8Array(buffer, 0, 70_000));
      }
      expect(same(own, content)).toBe(true);
      const sizes: number[] = [];
      const chunks = (await open()).getReader();
      for (let next = await chunks.read(); !next.done; next = await chunks.read()) sizes.push(next.value.length);
      expect(sizes).toEqual([65_536, 65_536, 65_536, 65_536, 37_856]);
    }
    // Inside the library too, where a chunk may be kept, or its buffer used again.
    for (const reuse of [false, true]) {
      const joined = new Uint8Array(size);
      let filled = 0;
      const kept: Uint8Array[] = [];
      for await (const chunk of readChunks(await storage.read(blobPath(digest)), { reuse })) {
        joined.set(chunk, filled);
        filled += chunk.length;
        kept.push(chunk);
      }
      expect(same(joined, content)).toBe(true);
      if (!reuse) expect(same(concatBytes(kept), content)).toBe(true);
      expect(kept.length).toBeLessThan(8);
    }
  });

  test('is a failure where a body ends early, of whatever kind its stream is', async () => {
    const prefix = `short-${++count}/`;
    await put(new R2Storage(bucket(), { prefix }), 'a', pattern(100_000));
    for (const type of ['bytes', undefined] as const) {
      const lying = new Proxy(bucket(), {
        get: (target, key) =>
          key !== 'get'
            ? (Reflect.get(target, key) as () => unknown).bind(target)
            : async () => ({
                size: 100_000,
                body: new ReadableStream({
                  ...(type && { type }),
                  start(controller: ReadableStreamDefaultController<Uint8Array>) {
                    controller.enqueue(pattern(60_000));
                    controller.close();
                  },
                } as UnderlyingSource<Uint8Array>),
              }),
      });
      const reading = new R2Storage(lying, { prefix }).read('a').then(readAll);
      await expect(reading).rejects.toMatchObject({ code: 'STORAGE_FAILED', details: { path: 'a' } });
    }
  });
});

describe('a bucket', () => {
  const prefixOf = (): string => `own-${++count}/`;

  test('holds each file under its own key, behind the prefix', async () => {
    const prefix = prefixOf();
    await put(new R2Storage(bucket(), { prefix }), 'blobs/sha256/abc', 'x');
    expect(await keys(prefix)).toEqual(['blobs/sha256/abc']);
    const whole = new R2Storage(bucket());
    expect(await text(whole, `${prefix}blobs/sha256/abc`)).toBe('x');
  });

  test('a file of up to 5 MiB is one put; a larger one goes up in parts of 5 MiB', async () => {
    const prefix = prefixOf();
    const part = 5 * 1024 * 1024;
    for (const [size, expected] of [
      [part, { put: 1 }],
      [part + 1, { createMultipartUpload: 1, uploadPart: 2, complete: 1 }],
      [2 * part, { createMultipartUpload: 1, uploadPart: 2, complete: 1 }],
    ] as const) {
      const { bucket: counted, calls } = watched();
      const storage = new R2Storage(counted, { prefix });
      const file = await storage.create({ path: `${size}` });
      const content = pattern(size);
      for (let offset = 0; offset < size; offset += 300_000)
        await file.write(content.subarray(offset, offset + 300_000));
      await file.commit(`${size}`);
      expect(calls).toEqual(expected);
      expect(same(await readAll(await storage.read(`${size}`)), content)).toBe(true);
    }
  });

  test('a large file whose path is not known is staged, copied on commit, and its draft removed', async () => {
    const prefix = prefixOf();
    const { bucket: counted, calls } = watched();
    const storage = new R2Storage(counted, { prefix });
    const content = pattern(6_000_000);
    await put(storage, 'large', content);
    expect(calls).toEqual({ createMultipartUpload: 2, uploadPart: 4, complete: 2, list: 1, get: 1, delete: 1 });
    expect(await keys(prefix)).toEqual(['large']);
    expect(same(await readAll(await storage.read('large')), content)).toBe(true);
  });

  test('a blob whose digest is known is written once, and not at all where it does not match', async () => {
    const prefix = prefixOf();
    const { bucket: counted, calls } = watched();
    const source = blobStore(new R2Storage(bucket(), { prefix: prefixOf() }));
    const content = pattern(6_000_000);
    const { digest, size } = await source.write(content);
    const store = blobStore(new R2Storage(counted, { prefix }));
    await store.write(content, { digest, size });
    expect(calls).toMatchObject({ createMultipartUpload: 1, uploadPart: 2, complete: 1 });
    const wrong = `sha256:${'0'.repeat(64)}` as const;
    await expect(store.write(content, { digest: wrong })).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
    expect(calls.abort).toBe(1);
    expect(await keys(prefix)).toEqual([`blobs/${digest.replace(':', '/')}`]);
  });

  test('an aborted upload is aborted in the bucket, and so is one that fails', async () => {
    const prefix = prefixOf();
    const { bucket: counted, calls } = watched((call, times) => {
      if (call === 'uploadPart' && times === 3) throw new Error('uploadPart: no such bucket (10006)');
    });
    const storage = new R2Storage(counted, { prefix });
    const aborted = await storage.create();
    await aborted.write(pattern(6_000_000));
    await aborted.abort();
    expect(calls.abort).toBe(1);
    const failing = await storage.create();
    await failing.write(pattern(6_000_000));
    await expect(failing.write(pattern(6_000_000))).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
    await failing.abort();
    expect(calls.abort).toBe(2);
    expect(await keys(prefix)).toEqual([]);
  });

  test('a draft that cannot be copied is removed, and the commit fails', async () => {
    const prefix = prefixOf();
    const { bucket: broken } = watched((call, times) => {
      if (call === 'complete' && times === 2) throw new Error('complete: entity too small (10011)');
    });
    const storage = new R2Storage(broken, { prefix });
    await expect(put(storage, 'large', pattern(6_000_000))).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
    expect(await keys(prefix)).toEqual([]);
  });

  test('a bucket that is busy for a moment is asked again', async () => {
    const prefix = prefixOf();
    const { bucket: busy, calls } = watched((call, times) => {
      if (call === 'put' && times < 3) throw new Error('put: reduce your concurrent request rate (10058)');
    });
    await put(new R2Storage(busy, { prefix }), 'index.json', '{}');
    expect(calls.put).toBe(3);
    expect(await keys(prefix)).toEqual(['index.json']);
  });

  test('more files than one answer lists are all listed', async () => {
    const prefix = prefixOf();
    const storage = new R2Storage(bucket(), { prefix });
    const names = Array.from({ length: 1100 }, (_, number) => `many/${String(number).padStart(4, '0')}`);
    for (let at = 0; at < names.length; at += 50) {
      await Promise.all(names.slice(at, at + 50).map((name) => bucket().put(prefix + name, 'x')));
    }
    expect(await paths(storage)).toEqual(names);
  });

  test('names that no path has, and keys too long for R2, are not there and cannot be made', async () => {
    const prefix = prefixOf();
    const storage = new R2Storage(bucket(), { prefix });
    await bucket().put(`${prefix}a//b`, 'x');
    expect(await paths(storage)).toEqual([]);
    const long = 'x'.repeat(1024);
    expect(await storage.stat(long)).toBe(undefined);
    await expect(storage.read(long)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await storage.delete(long);
    await expect(put(storage, long, 'x')).rejects.toMatchObject({ code: 'PATH_INVALID' });
    await expect(storage.create({ path: '../x' })).rejects.toMatchObject({ code: 'PATH_INVALID' });
    await expect(put(storage, '.stowage/x', 'x')).rejects.toMatchObject({ code: 'PATH_INVALID' });
  });

  test('a prefix or part size that cannot be is refused', () => {
    for (const options of [
      { prefix: 'a' },
      { prefix: '../' },
      { prefix: '/' },
      { partSize: 1000 },
      { partSize: 6e6 + 0.5 },
    ]) {
      expect(() => new R2Storage(bucket(), options)).toThrow(/prefix|partSize|path/);
    }
  });

  test('the lock of a holder that fell silent goes to the next one, and the first learns of it', async () => {
    const key = `${prefixOf()}lock`;
    // A holder whose beats do not come through.
    const { bucket: silent } = watched((call, times) => {
      if (call === 'put' && times > 1) throw new Error('put: internal error (10001)');
    });
    await acquireObjectLock(silent, key, 600);
    const second = await acquireObjectLock(bucket(), key, 600);
    const third = acquireObjectLock(bucket(), key, 600);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    // It lives, so nobody took its place although it held it for longer than the expiry.
    expect(await second.release()).toBe(true);
    expect(await (await third).release()).toBe(true);
    expect((await bucket().head(key))?.size).toBe(0);
  });

  test('a task whose lock was taken meanwhile fails, since another may have come between', async () => {
    const prefix = prefixOf();
    const storage = new R2Storage(bucket(), { prefix });
    const running = storage.exclusive('name', async () => {
      const [lock] = await keys(`${prefix}.stowage/`);
      await bucket().put(`${prefix}.stowage/${lock}`, 'somebody else');
    });
    await expect(running).rejects.toMatchObject({ code: 'STORAGE_FAILED', details: { name: 'name' } });
  });
});

import { describe, expect, test } from 'vitest';
import { readBytes, readChunks, toStream } from '../../src/bytes/byte-source.ts';
import { readByteStream, toByteStream } from '../../src/bytes/byte-stream.ts';
import { concatBytes } from '../../src/bytes/chunks.ts';
import { inOneBuffer, same } from '../content/contract.ts';

const content = new Uint8Array(300_000).map((_, index) => (index * 31 + (index >> 8)) % 251);

const reused = (size: number): AsyncGenerator<Uint8Array> => inOneBuffer(content, size);

/** Not every browser has streams of bytes. */
const hasByteStreams = ((): boolean => {
  try {
    return new ReadableStream({ type: 'bytes' }) !== undefined;
  } catch {
    return false;
  }
})();

test('a stream that gives buffers of its own is left as it is', async () => {
  const stream = toStream(reused(7000));
  expect(readByteStream(stream, {})).toBe(undefined);
  expect(stream.locked).toBe(false);
});

describe('a stream into buffers of its reader', () => {
  // A runtime without such streams never comes here.
  if (!hasByteStreams) return;

  test('gives its bytes to every kind of reader, whatever chunks it is made of', async () => {
    for (const size of [1000, 65_536, 200_000, 300_000]) {
      expect(same(await readBytes(toByteStream(reused(size))), content)).toBe(true);
      expect(same(await readBytes(readByteStream(toByteStream(reused(size)), {})!), content)).toBe(true);
    }
    expect(same(await readBytes(toByteStream(readChunks(toByteStream(reused(5000))))), content)).toBe(true);
    const body = await new Response(toByteStream(reused(7000))).arrayBuffer();
    expect(same(new Uint8Array(body), content)).toBe(true);
    expect((await readBytes(toByteStream(readChunks([])))).length).toBe(0);
  });

  test('gives chunks of 64 KiB to a reader that brings no buffers, but for the last', async () => {
    const reader = toByteStream(reused(7000)).getReader();
    const sizes: number[] = [];
    for (let next = await reader.read(); !next.done; next = await reader.read()) sizes.push(next.value.length);
    expect(sizes).toEqual([65_536, 65_536, 65_536, 65_536, 37_856]);
  });

  test('is read in chunks that stay as they are, or into one buffer where that is asked for', async () => {
    const kept: Uint8Array[] = [];
    for await (const chunk of readByteStream(toByteStream(reused(7000)), {})!) kept.push(chunk);
    expect(same(concatBytes(kept), content)).toBe(true);
    // A document is not to hold on to a buffer for a layer.
    expect(kept[0]!.buffer.byteLength).toBe(4096);
    const copied: Uint8Array[] = [];
    const earlier: Uint8Array[] = [];
    for await (const chunk of readByteStream(toByteStream(reused(7000)), { reuse: true })!) {
      copied.push(chunk.slice());
      earlier.push(chunk);
    }
    expect(same(concatBytes(copied), content)).toBe(true);
    expect(earlier.slice(1, -1).every(({ length }) => length === 0)).toBe(true);
  });

  test('cancels its source when its reader leaves, and asks it for nothing before it came', async () => {
    const told: string[] = [];
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        told.push('asked');
        for (;;) yield content;
      } finally {
        told.push('left');
      }
    }
    await toByteStream(source(), () => told.push('unread')).cancel();
    expect(told).toEqual(['unread']);
    for await (const _ of readByteStream(toByteStream(source()), {})!) break;
    expect(told).toEqual(['unread', 'asked', 'left']);
  });

  test('fails as its source does', async () => {
    const broken = new Error('the disk is gone');
    async function* source(): AsyncGenerator<Uint8Array> {
      yield content;
      throw broken;
    }
    await expect(readBytes(toByteStream(source()))).rejects.toBe(broken);
    await expect(readBytes(readByteStream(toByteStream(source()), {})!)).rejects.toBe(broken);
  });

  test('an abort ends even a read that hangs, and one that has bytes left, with the reason', async () => {
    const reason = new Error('the user left');
    let cancelled = false;
    const hanging = new ReadableStream({
      type: 'bytes',
      pull: () => new Promise<void>(() => {}),
      cancel() {
        cancelled = true;
      },
    });
    const controller = new AbortController();
    const reading = readByteStream(hanging, { signal: controller.signal })!.next();
    const reader = toByteStream(readChunks(content), () => {}, controller.signal).getReader();
    await reader.read();
    setTimeout(() => controller.abort(reason), 5);
    await expect(reading).rejects.toBe(reason);
    expect(cancelled).toBe(true);
    await expect(reader.read()).rejects.toBe(reason);
  });
});

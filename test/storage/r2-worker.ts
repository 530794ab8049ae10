/**
 * The Worker in which R2Storage is tested: `/suite` runs the tests, `/tag` is one of many requests that tag in one bucket, `/lock` holds a lock and `/holder`
 * says who does, `/layer` builds one layer.
 */
import { blobStore } from '../../src/content/blob-store.ts';
import { createLayer } from '../../src/layer/create-layer.ts';
import { Layout } from '../../src/layout/layout.ts';
import { R2Storage } from '../../src/storage/r2.ts';
import type { R2BucketBinding } from '../../src/storage/r2-bucket.ts';
import { runSuite, type SuiteEvent } from '../runtimes/harness.ts';
import { generatedBytes } from './generated-bytes.ts';
import './r2-suite.ts';

const prefix = 'shared-layout/';

export default {
  async fetch(request: Request, { BUCKET: bucket }: { BUCKET: R2BucketBinding }): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const number = (name: string): number => Number(searchParams.get(name));
    switch (pathname) {
      case '/suite': {
        Object.assign(globalThis, { stowageBucket: bucket });
        const events: SuiteEvent[] = [];
        await runSuite((event) => events.push(event));
        return Response.json(events);
      }
      case '/tag': {
        const layout = await Layout.create(new R2Storage(bucket, { prefix }));
        for (let index = 0; index < number('total'); index++) {
          const name = `${number('request')}-${index}`;
          const blob = await layout.write(`{"image":"${name}"}`);
          await layout.tag({ ...blob, mediaType: 'application/vnd.example.root' }, name);
        }
        return new Response('tagged');
      }
      case '/count': {
        const layout = await Layout.open(new R2Storage(bucket, { prefix }));
        return Response.json(new Set((await layout.tags()).map(({ name }) => name)).size);
      }
      case '/layer': {
        const compression = searchParams.get('compression') as 'none' | 'gzip';
        return Response.json(await buildLayer(bucket, number('size'), compression, searchParams.has('collect')));
      }
      case '/lock': {
        const task = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, number('hold') * 1000));
        await new R2Storage(bucket, { prefix: 'locked/' }).exclusive('name', task);
        return new Response('released');
      }
      case '/holder': {
        const [lock] = (await bucket.list({ prefix: 'locked/' })).objects;
        return new Response(lock && (await bucket.get(lock.key))?.body);
      }
      case '/hold': {
        const held = new Uint8Array(number('size')).fill(1);
        await new Promise((resolve) => setTimeout(resolve, 1000));
        return new Response(String(held.length));
      }
      default:
        return new Response('no such action', { status: 404 });
    }
  },
};

/** Builds a layer of a generated stream in the bucket, and reads it back into one buffer. With `collect`, garbage is collected every few MiB. */
async function buildLayer(
  bucket: R2BucketBinding,
  size: number,
  compression: 'none' | 'gzip',
  collect: boolean,
): Promise<{ size: number; read: number }> {
  let passed = 0;
  const pass = (chunk: Uint8Array): void => {
    const before = passed;
    passed += chunk.length;
    const each = 2 * 1024 * 1024;
    if (collect && Math.floor(before / each) < Math.floor(passed / each))
      (globalThis as unknown as { gc(): void }).gc();
  };
  async function* body(): AsyncGenerator<Uint8Array> {
    for await (const chunk of generatedBytes(size)) {
      pass(chunk);
      yield chunk;
    }
  }
  const store = blobStore(new R2Storage(bucket, { prefix: 'large/' }));
  const layer = await createLayer([{ path: 'large.bin', size, body: body() }], { store, compression });
  let read = 0;
  const reader = (await store.read(layer.descriptor)).getReader({ mode: 'byob' });
  let buffer = new ArrayBuffer(65_536);
  for (;;) {
    const { done, value } = await reader.read(new Uint8Array(buffer));
    if (done) break;
    read += value.length;
    pass(value);
    buffer = value.buffer;
  }
  return { size: layer.descriptor.size, read };
}

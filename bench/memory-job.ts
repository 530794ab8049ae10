/** One layer of a generated stream into a directory and back, in Node, Deno or Bun: memory-job.ts FOLDER BYTES COMPRESSION, for `memory.ts`. */
import { rmSync } from 'node:fs';
import process from 'node:process';
import { blobStore } from '../src/content/blob-store.ts';
import { createLayer } from '../src/layer/create-layer.ts';
import { NodeStorage } from '../src/storage/node.ts';
import { generatedBytes } from '../test/storage/generated-bytes.ts';

const [folder, bytes, compression] = process.argv.slice(2) as [string, string, 'none' | 'gzip'];
const mebibyte = 1024 * 1024;
const store = blobStore(new NodeStorage(`${folder}/store`, { durable: false }));

async function build(size: number): Promise<{ size: number; read: number }> {
  const layer = await createLayer([{ path: 'large.bin', size, body: generatedBytes(size) }], { store, compression });
  let read = 0;
  const reader = (await store.read(layer.descriptor)).getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) read += next.value.length;
  rmSync(`${folder}/store`, { recursive: true });
  return { size: layer.descriptor.size, read };
}

await build(16 * mebibyte);
const before = process.memoryUsage.rss();
let most = before;
const watching = setInterval(() => {
  most = Math.max(most, process.memoryUsage.rss());
}, 20);
const began = Date.now();
const result = await build(Number(bytes));
clearInterval(watching);
const rounded = (value: number): number => Math.round(value / mebibyte);
const seconds = Math.round((Date.now() - began) / 1000);
console.log(JSON.stringify({ ...result, seconds, before: rounded(before), growth: rounded(most - before) }));
process.exit(0);

/**
 * Speed and ratio of the portable gzip beside Node's zlib and fflate, on files of this machine.
 *
 *     npx tsx bench/deflate.ts [--mebibytes 64] [--rounds 3] [--levels 1,6,9] [directory…]
 *
 * Without a directory, the input is taken from where Node itself is installed and from node_modules. The portable engine
 * works on one thread here; the native one, streamed, on those of zlib.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync as zlibGzip } from 'node:zlib';
import { gzipSync as fflateGzip } from 'fflate';
import { gzip } from '../src/bytes/gzip.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    mebibytes: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '3' },
    levels: { type: 'string', default: '1,2,3,4,5,6,7,8,9' },
  },
});
const levels = values.levels.split(',').map(Number);
const rounds = Number(values.rounds);
const roots =
  positionals.length > 0
    ? positionals
    : [dirname(dirname(process.execPath)), join(dirname(fileURLToPath(import.meta.url)), '../node_modules')];
const input = sample(roots, Number(values.mebibytes) * 1024 * 1024);

console.log(`${(input.length / 1e6).toFixed(1)} MB of files, best of ${rounds} rounds, Node ${process.version}`);
console.log('engine           level   MB/s   CPU MB/s   ratio');
for (const level of levels) await measure('portable', level, (bytes) => streamed(bytes, 'portable', level));
for (const level of levels)
  await measure('zlib', level, (bytes) => zlibGzip(bytes, { level, chunkSize: 1 << 20 }).length);
for (const level of [1, 6]) {
  if (levels.includes(level)) await measure('native, streamed', level, (bytes) => streamed(bytes, 'native', level));
}
for (const level of [1, 6] as const) {
  if (levels.includes(level)) await measure('fflate', level, (bytes) => fflateGzip(bytes, { level }).length);
}
const noise = new Uint8Array(input.length);
for (let at = 0; at < noise.length; at += 65536) crypto.getRandomValues(noise.subarray(at, at + 65536));
await measure('portable, noise', 6, (bytes) => streamed(bytes, 'portable', 6), noise);

async function measure(
  engine: string,
  level: number,
  run: (bytes: Uint8Array) => number | Promise<number>,
  bytes: Uint8Array = input,
): Promise<void> {
  await run(bytes.subarray(0, 16 * 1024 * 1024));
  let wall = Number.POSITIVE_INFINITY;
  let cpu = Number.POSITIVE_INFINITY;
  let size = 0;
  for (let round = 0; round < rounds; round++) {
    const cpuBefore = process.cpuUsage();
    const before = performance.now();
    size = await run(bytes);
    wall = Math.min(wall, performance.now() - before);
    const { user, system } = process.cpuUsage(cpuBefore);
    cpu = Math.min(cpu, (user + system) / 1000);
  }
  const speed = (milliseconds: number): string => (bytes.length / 1000 / milliseconds).toFixed(1);
  console.log(
    `${engine.padEnd(16)}   ${level}  ${speed(wall).padStart(7)}  ${speed(cpu).padStart(8)}   ${(size / bytes.length).toFixed(4)}`,
  );
}

async function streamed(bytes: Uint8Array, engine: 'portable' | 'native', level: number): Promise<number> {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += 65536) yield bytes.subarray(at, at + 65536);
  }
  let size = 0;
  for await (const chunk of gzip(chunks(), { engine, level, workers: 0 })) size += chunk.length;
  return size;
}

/** Files up to `limit` bytes in all, one of every so many in the order of their paths, so that all kinds are among them. */
function sample(directories: string[], limit: number): Uint8Array {
  const paths: { path: string; size: number }[] = [];
  for (const directory of directories) {
    for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const { size } = statSync(path);
      if (size > 0 && size <= limit / 8) paths.push({ path, size });
    }
  }
  paths.sort((a, b) => (a.path < b.path ? -1 : 1));
  const total = paths.reduce((sum, { size }) => sum + size, 0);
  const bytes = new Uint8Array(Math.min(limit, total));
  const share = bytes.length / total;
  let at = 0;
  let due = 0;
  for (const { path, size } of paths) {
    due += size * share;
    if (at >= due) continue;
    const content = readFileSync(path).subarray(0, bytes.length - at);
    bytes.set(content, at);
    at += content.length;
  }
  return bytes.subarray(0, at);
}

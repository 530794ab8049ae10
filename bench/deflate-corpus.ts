/**
 * The long examination of the portable encoder: real files by the gigabyte and made-up inputs by the hundred thousand,
 * each compressed, inflated by zlib and compared. It stops at the first difference.
 *
 *     npx tsx bench/deflate-corpus.ts [--mebibytes 1024] [--cases 100000] [--seed 1] [directory…]
 *
 * Without a directory, the files are those where Node itself is installed and in node_modules.
 */
import { createReadStream, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createGunzip, inflateRawSync } from 'node:zlib';
import { stretchSize } from '../src/bytes/deflate/compressible.ts';
import { DeflateEncoder, dictionarySize } from '../src/bytes/deflate.ts';
import { gzip } from '../src/bytes/gzip.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    mebibytes: { type: 'string', default: '1024' },
    cases: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
  },
});
const roots =
  positionals.length > 0
    ? positionals
    : [dirname(dirname(process.execPath)), join(dirname(fileURLToPath(import.meta.url)), '../node_modules')];

checkCases(Number(values.cases), Number(values.seed));
await checkFiles(roots, Number(values.mebibytes) * 1024 * 1024);

/** All files in one stream after the other, at each level in turn, until there were enough bytes. */
async function checkFiles(directories: string[], limit: number): Promise<void> {
  const paths = directories.flatMap((directory) =>
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  shuffle(paths.sort(), Number(values.seed));
  const perStream = 32 * 1024 * 1024;
  let total = 0;
  let compressed = 0;
  let level = 0;
  while (total < limit && paths.length > 0) {
    level = (level % 9) + 1;
    const input: Uint8Array[] = [];
    let size = 0;
    while (size < perStream && paths.length > 0) {
      try {
        for await (const chunk of createReadStream(paths.pop()!)) {
          input.push(chunk as Uint8Array);
          size += (chunk as Uint8Array).length;
          if (size >= perStream) break;
        }
      } catch {
        // Not for us to read.
      }
    }
    const output: Uint8Array[] = [];
    for await (const chunk of gzip(each(input), { level })) output.push(chunk.slice());
    await expectGunzipped(output, input, `level ${level}, after ${total} bytes`);
    total += size;
    compressed += output.reduce((sum, chunk) => sum + chunk.length, 0);
    console.log(
      `${(total / 1e6).toFixed(0)} MB of files the same, level ${level}, ratio ${(compressed / total).toFixed(4)}`,
    );
  }
}

/** So that every level meets every kind. */
function shuffle(paths: string[], seed: number): void {
  const random = randomNumbers(seed);
  for (let at = paths.length - 1; at > 0; at--) {
    const other = random(at + 1);
    [paths[at], paths[other]] = [paths[other]!, paths[at]!];
  }
}

/** Whole numbers from 0 to below what is asked, the same ones for the same seed. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return Math.floor(((state >>> 8) / 2 ** 24) * below);
  };
}

async function* each(chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

async function expectGunzipped(output: Uint8Array[], input: Uint8Array[], what: string): Promise<void> {
  const gunzip = createGunzip();
  const writing = (async () => {
    for (const chunk of output) if (!gunzip.write(chunk)) await new Promise((resolve) => gunzip.once('drain', resolve));
    gunzip.end();
  })();
  const expected = Buffer.concat(input);
  let at = 0;
  for await (const chunk of gunzip as AsyncIterable<Buffer>) {
    if (!expected.subarray(at, at + chunk.length).equals(chunk)) throw new Error(`differs near ${at}: ${what}`);
    at += chunk.length;
  }
  await writing;
  if (at !== expected.length) throw new Error(`${at} bytes of ${expected.length}: ${what}`);
}

/** Made-up inputs whose sizes lie around every boundary that the encoder knows. */
function checkCases(cases: number, seed: number): void {
  const random = randomNumbers(seed);
  const boundaries = [0, 4, 255, 258, 2048, 4096, stretchSize, dictionarySize, 65535, 2 * 65535];
  const encoders = Array.from({ length: 10 }, (_, level) => new DeflateEncoder(level));
  for (let number = 0; number < cases; number++) {
    const near = boundaries[random(number % 10 === 0 ? boundaries.length : 6)]!;
    const start = random(4) === 0 ? random(dictionarySize + 10) : 0;
    const input = new Uint8Array(start + Math.max(0, near + random(9) - 4));
    fill(input, random);
    const level = random(10);
    const output = encoders[level]!.encode(input, start, input.length, true);
    const dictionary = input.subarray(Math.max(0, start - dictionarySize), start);
    const inflated = inflateRawSync(output, dictionary.length > 0 ? { dictionary } : {});
    if (!inflated.equals(input.subarray(start))) throw new Error(`case ${number}, level ${level} differs`);
    if (number % 10_000 === 9999) console.log(`${number + 1} cases the same`);
  }
}

/** Noise of some alphabet, runs and copies, by turns. */
function fill(input: Uint8Array, random: (below: number) => number): void {
  const alphabet = 1 << random(9);
  for (let at = 0; at < input.length; ) {
    const kind = random(3);
    const end = Math.min(input.length, at + 1 + random(kind === 0 ? 300 : 600));
    const back = 1 + random(Math.max(1, at));
    const byte = random(256);
    for (; at < end; at++) input[at] = kind === 0 ? random(alphabet) : kind === 1 ? byte : (input[at - back] ?? 0);
  }
}

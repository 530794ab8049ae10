import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { crc32, portableCrc32 } from '../../src/bytes/crc32.ts';
import { gzip } from '../../src/bytes/gzip.ts';

const levels = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

/** A few megabytes of what this very project is made of: sources, programs, maps. */
const input = Buffer.concat(
  readdirSync(join(dirname(new URL(import.meta.url).pathname), '../../node_modules/typescript/'), {
    recursive: true,
    encoding: 'utf8',
  })
    .map((name) => join(dirname(new URL(import.meta.url).pathname), '../../node_modules/typescript/', name))
    .filter((path) => statSync(path).isFile())
    .sort()
    .map((path) => readFileSync(path))
    .slice(0, 200),
).subarray(0, 6_000_000);

describe('other programs read what the portable gzip writes, at every level', () => {
  test('zlib', async () => {
    for (const level of levels) expect(gunzipSync(await compress(level)).equals(input), `level ${level}`).toBe(true);
  });

  for (const [program, ...args] of [
    ['gzip', '-dc'],
    ['pigz', '-dc'],
    ['libdeflate-gunzip', '-c'],
    ['7z', 'x', '-si', '-so', '-tgzip'],
    ['bsdcat'],
    ['python3', '-c', 'import gzip,sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))'],
  ] as [string, ...string[]][]) {
    const present = spawnSync(program, ['--help']).error === undefined;
    test.runIf(present)(program, async () => {
      for (const level of levels) {
        const output = execFileSync(program, args, { input: await compress(level), maxBuffer: 1e9 });
        expect(output.equals(input), `level ${level}`).toBe(true);
      }
    });
  }
});

test("the runtime's own CRC-32 and the portable one agree on megabytes", () => {
  expect(portableCrc32(input)).toBe(crc32(input));
});

async function compress(level: number): Promise<Buffer> {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield input;
  }
  const parts: Uint8Array[] = [];
  for await (const part of gzip(chunks(), { level })) parts.push(part);
  return Buffer.concat(parts);
}

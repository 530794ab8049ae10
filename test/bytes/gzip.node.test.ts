import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { gunzipSync as gunzipByFflate } from 'fflate';
import { describe, expect, test } from 'vitest';
import { crc32, portableCrc32 } from '../../src/bytes/crc32.ts';
import { gzip } from '../../src/bytes/gzip.ts';
import { peerTest, run, temporaryDirectory } from '../peers/peers.ts';

const levels = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

/** The sources and programs of a few megabytes that this very project rests on, as a tar archive. */
const input = tarOf(join(import.meta.dirname, '../../node_modules/typescript'), 6_000_000);

describe('other programs read what the portable gzip writes, at every level', () => {
  test('zlib', async () => {
    for (const level of levels) expect(gunzipSync(await compress(level)).equals(input), `level ${level}`).toBe(true);
  });

  test('fflate', async () => {
    for (const level of levels)
      expect(input.equals(gunzipByFflate(await compress(level))), `level ${level}`).toBe(true);
  });

  // The archive of one file, for bsdtar; as good as any bytes for the others.
  for (const peer of ['gzip', 'pigz', 'libdeflate-gunzip', 'bsdtar'] as const) {
    peerTest([peer], peer, async () => {
      const directory = temporaryDirectory();
      for (const level of levels) {
        const path = join(directory, `${level}.tar`);
        writeFileSync(`${path}.gz`, await compress(level));
        await run(peer, peer === 'bsdtar' ? ['-tf', `${path}.gz`] : ['-dk', `${path}.gz`]);
        if (peer !== 'bsdtar') expect(readFileSync(path).equals(input), `level ${level}`).toBe(true);
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
  for await (const part of gzip(chunks(), { level })) parts.push(part.slice());
  return Buffer.concat(parts);
}

/** Files of a directory in one archive, in the order of their names, until it has `limit` bytes. */
function tarOf(directory: string, limit: number): Buffer {
  const parts: Buffer[] = [];
  let size = 0;
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  for (const { parentPath, name } of files.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (size >= limit) break;
    const content = readFileSync(join(parentPath, name)).subarray(0, limit / 2);
    const header = Buffer.alloc(512);
    header.write(name.slice(0, 99));
    header.write('0000644\x000000000\x000000000\0', 100);
    header.write(`${content.length.toString(8).padStart(11, '0')}\x0000000000000\0        0`, 124);
    header.write(
      `${header
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0`,
      148,
    );
    parts.push(header, content, Buffer.alloc(-content.length & 511));
    size = parts.reduce((sum, part) => sum + part.length, 0);
  }
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

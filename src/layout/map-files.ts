/** The files of an archive in place: found by the headers of its tar, and read as parts of the `Blob` that it is. */
import { readBytes } from '../bytes/byte-source.ts';
import { compressionOf, magicBytes } from '../bytes/compression.ts';
import { StowageError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import { resolveByteRange } from '../storage/range.ts';
import type { Storage } from '../storage/storage.ts';
import { readTar } from '../tar/read-tar.ts';
import { archiveFiles, follow } from './archive.ts';

/** Finds every file's place, reading the headers of the tar alone. */
export async function mapFiles(
  blob: Blob,
  limits: Limits,
  signal?: AbortSignal,
): Promise<{ storage: Storage; follow(path: string): string }> {
  const compression = compressionOf(await readBytes(blob.slice(0, magicBytes), { signal }));
  if (compression !== 'none') {
    throw new StowageError(
      'ARGUMENT_INVALID',
      `The archive is compressed with ${compression}, so that no part of it can be read in place. Load it with loadTarballForPush, or decompress it first.`,
      { compression },
    );
  }
  const places = new Map<string, Blob>();
  const links = new Map<string, string>();
  const scan = { skipTo: 0 };
  const entries = readTar(scanned(blob, scan, signal), { limits, signal, what: 'the archive' });
  for await (const { path, entry } of archiveFiles(entries, links, limits, (path) => places.has(path))) {
    if (entry.sparse) {
      throw new StowageError(
        'LAYOUT_INVALID',
        `The archive holds ${JSON.stringify(path)} as a sparse file, which cannot be read in place. Load it with loadTarballForPush.`,
        { path },
      );
    }
    scan.skipTo = entry.bodyOffset + entry.header.size;
    places.set(path, blob.slice(entry.bodyOffset, scan.skipTo));
  }
  return { storage: slices(places), follow: (path) => follow(links, path) };
}

/** The archive's bytes, with zeros in place of bodies: these the decoder passes over, and nobody reads them. */
async function* scanned(
  blob: Blob,
  scan: { readonly skipTo: number },
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  let position = 0;
  let length = smallestRead;
  while (position < blob.size) {
    const skipEnd = Math.min(scan.skipTo, blob.size);
    if (position < skipEnd) {
      const chunk = zeros.subarray(0, Math.min(zeros.length, skipEnd - position));
      position += chunk.length;
      length = smallestRead;
      yield chunk;
    } else {
      const chunk = await readBytes(blob.slice(position, position + length), { signal });
      if (chunk.length === 0) return;
      position += chunk.length;
      // Where no body comes there is much of something else: many links, or a long rest behind the end.
      length = Math.min(length * 2, largestRead);
      yield chunk;
    }
  }
}

const smallestRead = 4096;
const largestRead = 262144;
const zeros = new Uint8Array(262144);

/** Parts of a blob as files that can only be read. */
function slices(places: ReadonlyMap<string, Blob>): Storage {
  const refuse = async (): Promise<never> => {
    throw new StowageError(
      'STORAGE_FAILED',
      'An archive in place can only be read. Copy it into a layout to change it.',
    );
  };
  return {
    async stat(path) {
      const place = places.get(path);
      return place && { size: place.size };
    },
    async read(path, range) {
      const place = places.get(path);
      if (!place) throw new StowageError('NOT_FOUND', `The archive holds no file ${JSON.stringify(path)}.`, { path });
      const { start, end } = resolveByteRange(range, place.size);
      return place.slice(start, end).stream();
    },
    async *list(prefix) {
      for (const path of places.keys()) if (path.startsWith(prefix)) yield path;
    },
    create: refuse,
    move: refuse,
    delete: refuse,
    exclusive: refuse,
  };
}

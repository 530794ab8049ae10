/** Image archives in place: an uncompressed tar in a `Blob` is read by offsets, and no byte of it is copied anywhere. */
import { readBytes } from '../bytes/byte-source.ts';
import { compressionOf, magicBytes } from '../bytes/compression.ts';
import type { ContentSource } from '../content/content.ts';
import { walkGraph } from '../content/graph.ts';
import { StowageError } from '../errors.ts';
import { type Limits, resolveLimits } from '../limits.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { isDigest } from '../oci/digest.ts';
import { resolveByteRange } from '../storage/range.ts';
import type { Storage } from '../storage/storage.ts';
import { readTar } from '../tar/read-tar.ts';
import { archiveFiles, follow } from './archive.ts';
import type { Tag } from './layout.ts';
import { readArchive } from './read-archive.ts';

export interface OpenArchiveOptions {
  limits?: Partial<Limits>;
  signal?: AbortSignal;
}

/** An archive as a place of content: images are opened in it, and copied from it. */
export interface ImageArchive extends ContentSource {
  /** Every name, in the order of the archive. */
  tags(): Promise<Tag[]>;
  /** What the archive lists at its top, named or not. */
  readonly roots: readonly Descriptor[];
}

/**
 * Opens an image archive where it lies: an OCI layout in a tar, or what `docker save` writes, uncompressed. Of an OCI
 * archive only headers and documents are read, whatever its size, and blobs when someone asks for them, verified. The layers
 * of a `docker save` archive are read once, as it holds no digests of them.
 *
 * A browser's `File` is a `Blob`, so is what `fs.openAsBlob`, `Bun.file` and a fetched response's `blob()` give.
 *
 * @throws `ARGUMENT_INVALID` for a compressed archive: `loadTarballForPush` reads those; else as `loadTarballForPush`.
 * @example
 * const archive = await openArchive(file);
 * const image = await Image.from(archive, 'myapp:1.0');
 */
export async function openArchive(blob: Blob, options: OpenArchiveOptions = {}): Promise<ImageArchive> {
  const { signal } = options;
  const limits = resolveLimits(options.limits);
  signal?.throwIfAborted();
  const files = await mapFiles(blob, limits, signal);
  const { content, roots, tags } = await readArchive(files, limits, signal);
  return {
    roots,
    tags: async () => [...tags],
    has: (descriptor, options) => content.has(descriptor, options),
    read: (descriptor, options) => content.read(descriptor, options),
    async resolve(reference, options) {
      const named = isDigest(reference)
        ? roots.find(({ digest }) => digest === reference)
        : tags.findLast(({ name }) => name === reference)?.descriptor;
      if (named) return named;
      if (isDigest(reference)) {
        const { documents } = await walkGraph(content, roots, { missing: 'pass', limits, signal: options?.signal });
        const found = documents.find(({ descriptor }) => descriptor.digest === reference);
        if (found) return found.descriptor;
      }
      const names = tags.map(({ name }) => name);
      throw new StowageError(
        'NOT_FOUND',
        `The archive has no ${reference}. Its tags are: ${names.slice(0, 20).join(', ') || 'none'}; what has no tag is found by digest, in roots.`,
        { reference },
      );
    },
  };
}

/** Finds every file's place, reading the headers of the tar alone. */
async function mapFiles(
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
    delete: refuse,
    exclusive: refuse,
  };
}

/** Image archives in place: an uncompressed tar in a `Blob` is read by offsets, and no byte of it is copied anywhere. */
import { load } from '../bytes/load.ts';
import type { ContentSource } from '../content/content.ts';
import { walkGraph } from '../content/graph.ts';
import { StowageError } from '../errors.ts';
import { type Limits, resolveLimits } from '../limits.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { isDigest } from '../oci/digest.ts';
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
  // Loaded when asked for, as all that reads archives: most programs write them.
  const { mapFiles } = await load(() => import('./map-files.ts'));
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

/** Every fault of a layout, not only the first. */

import { readChunks } from '../bytes/byte-source.ts';
import { verifyChunks } from '../bytes/hash.ts';
import { blobPath, blobStore } from '../content/blob-store.ts';
import { checkDepth, isDocument, readChildren, readDocument } from '../content/graph.ts';
import { StowageError } from '../errors.ts';
import { type Limits, limitExceeded, resolveLimits } from '../limits.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { isDigest } from '../oci/digest.ts';
import { imageIndex } from '../oci/image-index.ts';
import { isNonDistributable } from '../oci/media-types.ts';
import { parseLayoutHeader } from '../oci/parse.ts';
import type { Storage } from '../storage/storage.ts';
import { readLayoutFile } from './layout-file.ts';

/** What a check of a layout found. The layout is whole where `faults` is empty. */
export interface LayoutReport {
  /** Blobs that were read. */
  blobs: number;
  /** Bytes in them. */
  bytes: number;
  /** What is wrong, each with its `code` and `details`. */
  faults: StowageError[];
}

export async function verifyLayout(
  storage: Storage,
  options: { limits?: Partial<Limits>; signal?: AbortSignal },
): Promise<LayoutReport> {
  const limits = resolveLimits(options.limits);
  const { signal } = options;
  const report: LayoutReport = { blobs: 0, bytes: 0, faults: [] };
  const attempt = async <T>(task: () => T | Promise<T>): Promise<T | undefined> => {
    signal?.throwIfAborted();
    try {
      return await task();
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof StowageError)) throw error;
      report.faults.push(error);
      return undefined;
    }
  };
  await attempt(async () => parseLayoutHeader(await readLayoutFile(storage, 'oci-layout', limits, signal), { limits }));
  const index = await attempt(async () =>
    imageIndex.parse(await readLayoutFile(storage, 'index.json', limits, signal), { limits }),
  );
  const corrupt = new Set<string>();
  for await (const path of storage.list('blobs/')) {
    const faults = report.faults.length;
    await attempt(() => verifyBlob(storage, path, report, signal));
    if (report.faults.length > faults) corrupt.add(path);
  }
  await verifyGraph(storage, index?.manifests ?? [], { attempt, corrupt, limits, signal });
  return report;
}

async function verifyBlob(storage: Storage, path: string, report: LayoutReport, signal?: AbortSignal): Promise<void> {
  const [, algorithm, encoded, ...rest] = path.split('/');
  const digest = `${algorithm}:${encoded}`;
  if (rest.length > 0 || !isDigest(digest))
    throw new StowageError(
      'LAYOUT_INVALID',
      `${path} is no name for a blob whose digest can be checked. Remove the file, unless its algorithm is known elsewhere.`,
      { path },
    );
  const size = (await storage.stat(path))?.size ?? 0;
  report.blobs++;
  report.bytes += size;
  for await (const _ of verifyChunks(
    readChunks(await storage.read(path), { signal, reuse: true }),
    { digest, size },
    path,
  ));
}

/** Follows what the roots name. A blob that was found corrupt has been reported, and is not looked into. */
async function verifyGraph(
  storage: Storage,
  roots: readonly Descriptor[],
  context: {
    attempt: <T>(task: () => T | Promise<T>) => Promise<T | undefined>;
    corrupt: Set<string>;
    limits: Limits;
    signal?: AbortSignal;
  },
): Promise<void> {
  const { attempt, corrupt, limits, signal } = context;
  const blobs = blobStore(storage);
  const seen = new Set<string>();
  const visit = async (descriptor: Descriptor, parent: string, depth: number): Promise<void> => {
    const path = blobPath(descriptor.digest);
    const held = await storage.stat(path);
    if (!held && isNonDistributable(descriptor.mediaType)) return;
    if (!held)
      throw new StowageError(
        'BLOB_NOT_FOUND',
        `${parent} names ${descriptor.digest} (${descriptor.mediaType}), which is not here. Copy it anew.`,
        { digest: descriptor.digest, parent },
      );
    if (held.size !== descriptor.size) {
      throw new StowageError(
        'SIZE_MISMATCH',
        `${parent} says that ${descriptor.digest} has ${descriptor.size} bytes, but it has ${held.size}.`,
        { digest: descriptor.digest, parent, expected: descriptor.size, actual: held.size },
      );
    }
    if (corrupt.has(path) || !isDocument(descriptor) || seen.has(descriptor.digest)) return;
    seen.add(descriptor.digest);
    checkDepth(descriptor, depth, limits);
    if (seen.size > limits.graphNodes) throw limitExceeded('graphNodes', limits, 'The graph of the layout');
    for (const child of readChildren(descriptor, await readDocument(blobs, descriptor, { limits, signal }), {
      limits,
    })) {
      await attempt(() => visit(child, descriptor.digest, depth + 1));
    }
  };
  for (const root of roots) await attempt(() => visit(root, 'index.json', 0));
}

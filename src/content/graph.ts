/** The graph that a root descriptor spans: indexes name manifests, manifests name a config and layers. */
import { readBytes, readChunks } from '../bytes/byte-source.ts';
import { verifyChunks } from '../bytes/hash.ts';
import { pmapBounded } from '../bytes/pmap-bounded.ts';
import { type Limits, limitExceeded, resolveLimits } from '../limits.ts';
import { type Descriptor, descriptorData } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { imageIndex } from '../oci/image-index.ts';
import { parseManifest } from '../oci/manifest.ts';
import { isIndex, isManifest } from '../oci/media-types.ts';
import type { BlobSource } from './content.ts';

/** A document of a graph, with the bytes that its digest is of. */
export interface GraphDocument {
  descriptor: Descriptor;
  bytes: Uint8Array;
  /** What the document names, in its order: an index's manifests, or a manifest's config and layers. */
  children: Descriptor[];
}

/** All that a root reaches, each digest once. */
export interface Graph {
  /** Indexes and manifests, parents before children. */
  documents: GraphDocument[];
  /** Configs, layers and content of types that are not known here. */
  blobs: Descriptor[];
}

export interface WalkOptions {
  /** What to do about a document that the source does not hold: default `refuse`; `pass` leaves it out. */
  missing?: 'refuse' | 'pass';
  concurrency?: number;
  limits?: Partial<Limits>;
  signal?: AbortSignal;
}

/** True for what names other content: a manifest or an index, OCI's or Docker's. */
export function isDocument(descriptor: Descriptor): boolean {
  return isManifest(descriptor.mediaType) || isIndex(descriptor.mediaType);
}

/**
 * The bytes of a document or config, verified. Served from the descriptor's `data` where it holds them (descriptor.md,
 * "Embedded Content"). Throws `LIMIT_EXCEEDED` past `jsonBytes` before anything is read.
 */
export async function readDocument(
  source: BlobSource,
  descriptor: Descriptor,
  options: { limits?: Partial<Limits>; signal?: AbortSignal } = {},
): Promise<Uint8Array> {
  const limits = resolveLimits(options.limits);
  const what = `${descriptor.mediaType} ${descriptor.digest}`;
  if (descriptor.size > limits.jsonBytes) throw limitExceeded('jsonBytes', limits, what, { digest: descriptor.digest });
  const embedded = descriptorData(descriptor);
  const body = embedded
    ? verifyChunks(readChunks(embedded), descriptor, what)
    : await source.read(descriptor, { signal: options.signal });
  return readBytes(body, { maximum: limits.jsonBytes, limit: 'jsonBytes', what, signal: options.signal });
}

/** Parses a manifest or an index and lists what it names. Throws `MANIFEST_INVALID` or `INDEX_INVALID`. */
export function readChildren(
  descriptor: Descriptor,
  bytes: Uint8Array,
  options: { limits?: Partial<Limits> } = {},
): Descriptor[] {
  if (isIndex(descriptor.mediaType)) return imageIndex.parse(bytes, options).manifests;
  const manifest = parseManifest(bytes, { ...options, mediaType: descriptor.mediaType });
  return [manifest.config, ...manifest.layers];
}

/**
 * Reads every index and manifest that the roots reach, level by level, and lists the rest.
 * Bounded by `limits`: `indexDepth`, `graphNodes`, `jsonBytes`, `documentBytes`.
 */
export async function walkGraph(
  source: BlobSource,
  roots: readonly Descriptor[],
  options: WalkOptions = {},
): Promise<Graph> {
  const { missing = 'refuse', concurrency = 4, signal } = options;
  const limits = resolveLimits(options.limits);
  const seen = new Set<Digest>();
  const documents: GraphDocument[] = [];
  const blobs: Descriptor[] = [];
  let documentBytes = 0;
  let level = [...roots];
  for (let depth = 0; level.length > 0; depth++) {
    // The deepest index may still name manifests, and those their blobs.
    if (depth > limits.indexDepth + 1)
      throw limitExceeded('indexDepth', limits, `Index ${roots[0]?.digest} nests others`);
    const fresh = level.filter((descriptor) => !seen.has(descriptor.digest) && seen.add(descriptor.digest));
    if (seen.size > limits.graphNodes) throw limitExceeded('graphNodes', limits, `The graph of ${roots[0]?.digest}`);
    blobs.push(...fresh.filter((descriptor) => !isDocument(descriptor)));
    const read = await pmapBounded(
      async (descriptor): Promise<GraphDocument | undefined> => {
        signal?.throwIfAborted();
        if (missing === 'pass' && !descriptor.data && !(await source.has(descriptor, { signal }))) return undefined;
        const bytes = await readDocument(source, descriptor, { limits, signal });
        documentBytes += bytes.length;
        if (documentBytes > limits.documentBytes)
          throw limitExceeded('documentBytes', limits, `The documents of ${roots[0]?.digest}`);
        return { descriptor, bytes, children: readChildren(descriptor, bytes, { limits }) };
      },
      fresh.filter(isDocument),
      concurrency,
    );
    const found = read.filter((document) => document !== undefined);
    documents.push(...found);
    level = found.flatMap((document) => document.children);
  }
  return { documents, blobs };
}

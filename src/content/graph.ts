/** The graph that a root descriptor spans: indexes name manifests, manifests name a config and layers. */

import { readBytes, readChunks } from '../bytes/byte-source.ts';
import { verifyChunks } from '../bytes/hash.ts';
import { pmapBounded } from '../bytes/pmap-bounded.ts';
import { StowageError } from '../errors.ts';
import { type Limits, limitExceeded, resolveLimits } from '../limits.ts';
import { type Descriptor, descriptorData } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { imageIndex } from '../oci/image-index.ts';
import { isIndex, isManifest } from '../oci/media-types.ts';
import { parseManifest } from '../oci/parse.ts';
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
  /** Indexes and manifests, each before all that it names, however it is reached. */
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
 * Throws `LIMIT_EXCEEDED` for an index past `indexDepth`, where a root has the depth 0. The deepest index may still name
 * manifests, but those name no documents.
 */
export function checkDepth(descriptor: Descriptor, depth: number, limits: Limits): void {
  if (depth > limits.indexDepth + (isIndex(descriptor.mediaType) ? 0 : 1))
    throw limitExceeded('indexDepth', limits, `Index ${descriptor.digest} is nested`, { digest: descriptor.digest });
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
  const named = new Map<Digest, Descriptor>();
  const documents = new Map<Digest, GraphDocument>();
  const blobs = new Map<Digest, Descriptor>();
  let documentBytes = 0;
  let level = [...roots];
  for (let depth = 0; level.length > 0; depth++) {
    const fresh = new Map<Digest, Descriptor>();
    for (const descriptor of level) {
      const { digest } = descriptor;
      checkOneSize(named.get(digest) ?? descriptor, descriptor);
      named.set(digest, descriptor);
      if (!isDocument(descriptor)) blobs.set(digest, blobs.get(digest) ?? descriptor);
      else if (!documents.has(digest)) fresh.set(digest, descriptor);
    }
    if (named.size > limits.graphNodes) throw limitExceeded('graphNodes', limits, `The graph of ${roots[0]?.digest}`);
    for (const descriptor of fresh.values()) checkDepth(descriptor, depth, limits);
    const read = await pmapBounded(
      async (descriptor): Promise<GraphDocument | undefined> => {
        signal?.throwIfAborted();
        const bytes = await readDocument(source, descriptor, { limits, signal }).catch((error: unknown) => {
          if (missing === 'pass' && error instanceof StowageError && error.code === 'BLOB_NOT_FOUND') return undefined;
          throw error;
        });
        if (bytes === undefined) return undefined;
        documentBytes += bytes.length;
        if (documentBytes > limits.documentBytes)
          throw limitExceeded('documentBytes', limits, `The documents of ${roots[0]?.digest}`);
        return { descriptor, bytes, children: readChildren(descriptor, bytes, { limits }) };
      },
      fresh.values(),
      concurrency,
    );
    const found = read.filter((document) => document !== undefined);
    for (const document of found) documents.set(document.descriptor.digest, document);
    level = found.flatMap((document) => document.children);
  }
  // What one document calls a blob may be a document to another, and then its children count.
  for (const digest of documents.keys()) blobs.delete(digest);
  return { documents: parentsFirst(roots, documents), blobs: [...blobs.values()] };
}

/** Two descriptors of one digest that state two sizes: one of them lies, and readers may differ in which they believe. */
function checkOneSize(known: Descriptor, descriptor: Descriptor): void {
  if (known.size === descriptor.size) return;
  throw new StowageError(
    'SIZE_MISMATCH',
    `${descriptor.digest} is said to have ${known.size} bytes in one place and ${descriptor.size} in another. The documents that name it contradict one another; fetch or build the image anew.`,
    { digest: descriptor.digest, expected: known.size, actual: descriptor.size },
  );
}

/** A document may be named on several levels, so the order in which they were read is not good enough. */
function parentsFirst(roots: readonly Descriptor[], documents: ReadonlyMap<Digest, GraphDocument>): GraphDocument[] {
  const finished = new Set<GraphDocument>();
  const seen = new Set<Digest>();
  const visit = ({ digest }: Descriptor): void => {
    const document = documents.get(digest);
    if (document === undefined || seen.has(digest)) return;
    seen.add(digest);
    for (const child of [...document.children].reverse()) visit(child);
    finished.add(document);
  };
  // Backwards, so that the reverse keeps the order of siblings.
  for (const root of [...roots].reverse()) visit(root);
  return [...finished].reverse();
}

/** An index, and those nested in it, written anew around the manifests that change; what does not change keeps its bytes. Loaded when one is. */

import { readChunks, toStream } from '../bytes/byte-source.ts';
import { digestOf } from '../bytes/hash.ts';
import type { ContentSource } from '../content/content.ts';
import { checkDepth, readDocument } from '../content/graph.ts';
import { StowageError } from '../errors.ts';
import { type Limits, limitExceeded, resolveLimits } from '../limits.ts';
import { annotationKeys } from '../oci/annotations.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { type ImageIndex, imageIndex } from '../oci/image-index.ts';
import type { Manifest } from '../oci/manifest.ts';
import { isConfig, isIndex, isManifest, mediaTypes } from '../oci/media-types.ts';
import { parseImageConfig, parseManifest } from '../oci/parse.ts';
import type { Platform } from '../oci/platform.ts';
import { serializeIndex } from '../oci/serialize-index.ts';
import type { Image } from './image.ts';
import { type ImageContent, imageContent } from './image-content.ts';
import { isDocker } from './media-family.ts';

interface RewriteOptions {
  limits?: Partial<Limits>;
  signal?: AbortSignal;
}

/** What becomes of a manifest: another descriptor, the same, or `undefined` where it is left out. */
type MapManifest = (descriptor: Descriptor) => Promise<Descriptor | undefined>;

/** One rewriting of one root. It holds the new documents, and the images that they are of. */
export class IndexRewriter {
  readonly #source: ContentSource;
  readonly #options: RewriteOptions;
  readonly #limits: Limits;
  readonly #documents = new Map<Digest, Uint8Array>();
  readonly #images: ImageContent[] = [];
  /** Digests that the new root no longer reaches. */
  readonly #gone = new Set<unknown>();
  readonly #manifests = new Map<Digest, Manifest>();
  #kept = 0;
  #bytes = 0;

  constructor(source: ContentSource, options: RewriteOptions) {
    this.#source = source;
    this.#options = options;
    this.#limits = resolveLimits(options.limits);
  }

  /** Maps the images first, and then leaves out what speaks of those that have changed or gone. */
  async rewrite(reference: string | Descriptor, map: MapManifest): Promise<ImageContent> {
    const { signal } = this.#options;
    const old = typeof reference === 'string' ? await this.#source.resolve(reference, { signal }) : reference;
    const stays = new Set<Digest>();
    const visit: MapManifest = async (descriptor) => {
      if (subjectByAnnotation(descriptor) !== undefined || !isManifest(descriptor.mediaType)) return descriptor;
      // Two entries of one digest may differ in platform or annotations.
      const next = await map(descriptor);
      if (next?.digest !== descriptor.digest) this.#gone.add(descriptor.digest);
      else stays.add(descriptor.digest);
      if (next !== undefined && (await this.#countsAsImage(descriptor))) this.#kept++;
      return next;
    };
    const mapped = await this.#visit(old, visit, 0);
    if (mapped === undefined || this.#kept === 0) {
      throw new StowageError('NOT_FOUND', `No image of ${old.digest} is left. Keep one, or remove the tag instead.`, {
        digest: old.digest,
      });
    }
    for (const digest of stays) this.#gone.delete(digest);
    let root = mapped;
    // What speaks of something that was dropped for this reason is dropped in its turn.
    for (let known = 0; known < this.#gone.size; ) {
      known = this.#gone.size;
      root = (await this.#visit(root, (each) => this.#unlessOrphaned(each), 0)) ?? root;
    }
    return layered(
      root,
      typeof reference === 'string' ? reference : undefined,
      this.#documents,
      this.#images,
      this.#source,
    );
  }

  /** Whether it is a manifest of an image, no attestation and no other artifact. */
  async isImage(descriptor: Descriptor): Promise<boolean> {
    if (!isManifest(descriptor.mediaType) || isUnknown(descriptor.platform)) return false;
    return isConfig((await this.#manifest(descriptor)).config.mediaType);
  }

  /** What an image runs on, read from its config where the index does not say; `undefined` for what is no image. */
  async platformOf(descriptor: Descriptor): Promise<Platform | undefined> {
    if (isUnknown(descriptor.platform)) return undefined;
    if (descriptor.platform !== undefined) return descriptor.platform;
    if (!(await this.isImage(descriptor))) return undefined;
    const { config } = await this.#manifest(descriptor);
    const bytes = await readDocument(this.#source, config, this.#options);
    const { os, architecture, variant } = parseImageConfig(bytes, this.#options);
    return { os, architecture, ...(variant !== undefined && { variant }) };
  }

  /** Takes an image in, in the place of another, whose descriptor it inherits what is said of the image by name. */
  hold(image: Image, before: Image, descriptor: Descriptor): Descriptor {
    this.#images.push(imageContent(image));
    const { digest, size, mediaType, platform } = image.descriptor;
    const { data: _, ...kept } = descriptor;
    const isMoved = JSON.stringify(before.platform) !== JSON.stringify(image.platform);
    return { ...kept, mediaType, digest, size, ...(isMoved && { platform }) };
  }

  async #countsAsImage(descriptor: Descriptor): Promise<boolean> {
    return descriptor.platform !== undefined ? !isUnknown(descriptor.platform) : this.isImage(descriptor);
  }

  async #visit(descriptor: Descriptor, map: MapManifest, depth: number): Promise<Descriptor | undefined> {
    this.#options.signal?.throwIfAborted();
    if (!isIndex(descriptor.mediaType)) return map(descriptor);
    checkDepth(descriptor, depth, this.#limits);
    const index = imageIndex.parse(await this.#document(descriptor), this.#options);
    const manifests: Descriptor[] = [];
    for (const child of index.manifests) {
      const next = await this.#visit(child, map, depth + 1);
      if (next !== undefined) manifests.push(next);
    }
    if (manifests.length === index.manifests.length && manifests.every((each, at) => each === index.manifests[at]))
      return descriptor;
    this.#gone.add(descriptor.digest);
    if (manifests.length === 0) return undefined;
    return this.#write({ ...index, manifests }, descriptor);
  }

  /** A nested index has the fields of its old descriptor; a list of Docker's that now names OCI's manifests is an index. */
  #write(index: ImageIndex, descriptor: Descriptor): Descriptor {
    const { data: _, ...kept } = descriptor;
    const isMixed = isDocker(descriptor.mediaType) && !index.manifests.every((each) => isDocker(each.mediaType));
    const mediaType = isMixed ? mediaTypes.index : descriptor.mediaType;
    const bytes = serializeIndex(isMixed ? { ...index, mediaType } : index);
    const digest = digestOf(bytes);
    this.#documents.set(digest, bytes);
    return { ...kept, mediaType, digest, size: bytes.length };
  }

  async #unlessOrphaned(descriptor: Descriptor): Promise<Descriptor | undefined> {
    const subject = subjectByAnnotation(descriptor) ?? (await this.#subject(descriptor));
    if (!this.#gone.has(subject)) return descriptor;
    this.#gone.add(descriptor.digest);
    return undefined;
  }

  /** Images for a platform are taken to speak of nobody, so that they need not be read. */
  async #subject(descriptor: Descriptor): Promise<Digest | undefined> {
    if (!isManifest(descriptor.mediaType) || (descriptor.platform !== undefined && !isUnknown(descriptor.platform)))
      return undefined;
    if (this.#images.some(({ root }) => root.digest === descriptor.digest)) return undefined;
    return (await this.#manifest(descriptor)).subject?.digest;
  }

  async #manifest(descriptor: Descriptor): Promise<Manifest> {
    const known = this.#manifests.get(descriptor.digest);
    if (known !== undefined) return known;
    const bytes = await this.#document(descriptor);
    const manifest = parseManifest(bytes, { ...this.#options, mediaType: descriptor.mediaType });
    this.#manifests.set(descriptor.digest, manifest);
    return manifest;
  }

  async #document(descriptor: Descriptor): Promise<Uint8Array> {
    const written = this.#documents.get(descriptor.digest);
    if (written !== undefined) return written;
    const bytes = await readDocument(this.#source, descriptor, this.#options);
    this.#bytes += bytes.length;
    if (this.#bytes > this.#limits.documentBytes)
      throw limitExceeded('documentBytes', this.#limits, `The documents of ${descriptor.digest}`);
    return bytes;
  }
}

/** Content with an image more behind its root: in its index, or in a new one around its single image. */
export async function addToIndex(content: ImageContent, image: Image, options: RewriteOptions): Promise<ImageContent> {
  const { root } = content;
  const added = { ...image.descriptor };
  let index: ImageIndex;
  if (isIndex(root.mediaType)) {
    const read = imageIndex.parse(await readDocument(content, root, options), options);
    index = { ...read, manifests: [...read.manifests, added] };
  } else {
    const rewriter = new IndexRewriter(content, options);
    const platform = await rewriter.platformOf(root);
    const { [annotationKeys.refName]: _, ...annotations } = root.annotations ?? {};
    index = {
      schemaVersion: 2,
      mediaType: mediaTypes.index,
      manifests: [{ ...root, annotations, ...(platform && { platform }) }, added],
    };
  }
  const bytes = serializeIndex(index);
  const mediaType = isIndex(root.mediaType) ? root.mediaType : mediaTypes.index;
  const next = { ...(isIndex(root.mediaType) && root), mediaType, digest: digestOf(bytes), size: bytes.length };
  const old = root.digest;
  const resolve: ContentSource['resolve'] = async (reference, settings) => {
    if (reference === next.digest) return next;
    const found = await content.resolve(reference, settings);
    return found.digest === old ? next : found;
  };
  return { ...layered(next, undefined, new Map([[next.digest, bytes]]), [imageContent(image)], content), resolve };
}

/** New documents and images over the place that holds all else. */
function layered(
  root: Descriptor,
  reference: string | undefined,
  documents: ReadonlyMap<Digest, Uint8Array>,
  images: readonly ImageContent[],
  source: ContentSource,
): ImageContent {
  const holder = async (descriptor: Descriptor): Promise<ImageContent | undefined> => {
    for (const image of images) if (await image.has(descriptor)) return image;
    return undefined;
  };
  return {
    root,
    resolve: async (name, options) =>
      name === root.digest || name === reference ? root : source.resolve(name, options),
    has: async (descriptor, options) =>
      documents.has(descriptor.digest) || (await holder(descriptor)) !== undefined || source.has(descriptor, options),
    origin: (descriptor) => {
      if (documents.has(descriptor.digest)) return undefined;
      for (const image of images) {
        const found = image.origin?.(descriptor);
        if (found !== undefined) return found;
      }
      return source.origin?.(descriptor) ?? source;
    },
    read: async (descriptor, options) => {
      const bytes = documents.get(descriptor.digest);
      if (bytes !== undefined) return toStream(readChunks(bytes));
      return ((await holder(descriptor)) ?? source).read(descriptor, options);
    },
  };
}

function subjectByAnnotation({ annotations }: Descriptor): string | undefined {
  return annotations?.['vnd.docker.reference.digest'];
}

function isUnknown(platform: Platform | undefined): boolean {
  return platform?.os === 'unknown' && platform.architecture === 'unknown';
}

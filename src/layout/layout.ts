/** The OCI image layout (image-layout.md) over any storage: a content store whose tags stand in `index.json`. */

import type { ByteSource } from '../bytes/byte-source.ts';
import { load } from '../bytes/load.ts';
import { blobPath, blobStore } from '../content/blob-store.ts';
import type { BlobStore, ContentStore, ReadBlobOptions } from '../content/content.ts';
import { walkGraph } from '../content/graph.ts';
import { StowageError } from '../errors.ts';
import { type Limits, limitExceeded, resolveLimits } from '../limits.ts';
import { annotationKeys } from '../oci/annotations.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, isDigest } from '../oci/digest.ts';
import { type ImageIndex, imageIndex } from '../oci/image-index.ts';
import { checkRefName, serializeLayoutHeader } from '../oci/image-layout.ts';
import { mediaTypes } from '../oci/media-types.ts';
import { parseLayoutHeader } from '../oci/parse.ts';
import { serializeIndex } from '../oci/serialize-index.ts';
import type { Storage } from '../storage/storage.ts';
import { writeStorageFile } from '../storage/write.ts';
import { readLayoutFile } from './layout-file.ts';
import type { LayoutReport } from './verify.ts';

export interface LayoutOptions {
  limits?: Partial<Limits>;
}

/** A root of the layout, and the name it has, if any. */
export interface Tag {
  name: string;
  descriptor: Descriptor;
}

/**
 * An image layout. Its methods may be called by many holders at once: other tabs and processes too, where the storage's
 * `exclusive` reaches that far. Nothing is cached, so that what others write is seen.
 *
 * @example
 * const layout = await Layout.create(new MemoryStorage());
 * await copy(other, layout, { references: ['demo:1.0'] });
 */
export class Layout implements ContentStore {
  readonly storage: Storage;
  readonly #blobs: BlobStore;
  readonly #limits: Limits;

  private constructor(storage: Storage, options: LayoutOptions) {
    this.storage = storage;
    this.#blobs = blobStore(storage);
    this.#limits = resolveLimits(options.limits);
  }

  /** A layout in this storage: the one that is there, else a new and empty one. */
  static async create(storage: Storage, options: LayoutOptions = {}): Promise<Layout> {
    return storage.exclusive('index.json', async () => {
      // The header last: where it is, the rest is.
      if (!(await storage.stat('oci-layout'))) {
        if (!(await storage.stat('index.json')))
          await writeStorageFile(storage, 'index.json', [serializeIndex(emptyIndex())]);
        await writeStorageFile(storage, 'oci-layout', [serializeLayoutHeader()]);
      }
      return Layout.open(storage, options);
    });
  }

  /** The layout in this storage. Throws `LAYOUT_INVALID` where there is none, or one of another version. */
  static async open(storage: Storage, options: LayoutOptions = {}): Promise<Layout> {
    const layout = new Layout(storage, options);
    parseLayoutHeader(await layout.#readFile('oci-layout'), { limits: layout.#limits });
    await layout.index();
    return layout;
  }

  /** `index.json` as it is now. Plain data; change it by `tag` and `untag`. */
  async index(options: { signal?: AbortSignal } = {}): Promise<ImageIndex> {
    return imageIndex.parse(await this.#readFile('index.json', options.signal), { limits: this.#limits });
  }

  /** Every named root (`org.opencontainers.image.ref.name`), in the order of `index.json`. */
  async tags(options: { signal?: AbortSignal } = {}): Promise<Tag[]> {
    const { manifests } = await this.index(options);
    return manifests.flatMap((descriptor) => {
      const name = refName(descriptor);
      return name === undefined ? [] : [{ name, descriptor }];
    });
  }

  has(descriptor: Descriptor): Promise<boolean> {
    return this.#blobs.has(descriptor);
  }

  /** Size of a blob, asked by digest alone; `undefined` where the layout does not hold it. */
  stat(digest: Digest): Promise<{ size: number } | undefined> {
    return this.storage.stat(blobPath(digest));
  }

  read(descriptor: Descriptor, options?: ReadBlobOptions): Promise<ReadableStream<Uint8Array>> {
    return this.#blobs.read(descriptor, options);
  }

  write(body: ByteSource, expected?: Partial<Descriptor>, options?: { signal?: AbortSignal }): Promise<Descriptor> {
    return this.#blobs.write(body, expected, options);
  }

  /** The root of that name; or by digest, any root, index or manifest that the roots reach. */
  async resolve(reference: string, options: { signal?: AbortSignal } = {}): Promise<Descriptor> {
    const { manifests } = await this.index(options);
    const byDigest = isDigest(reference);
    const roots = manifests.filter((descriptor) => reference === (byDigest ? descriptor.digest : refName(descriptor)));
    // Of two roots of one name, which only others write, the later was written later.
    const root = roots.at(-1);
    if (root) return root;
    if (byDigest) {
      const graph = await walkGraph(this, manifests, { missing: 'pass', limits: this.#limits, signal: options.signal });
      const found = graph.documents.find((document) => document.descriptor.digest === reference);
      if (found) return found.descriptor;
    }
    const names = manifests.flatMap((descriptor) => refName(descriptor) ?? []);
    throw new StowageError(
      'NOT_FOUND',
      `The layout has no ${byDigest ? 'manifest' : 'tag'} ${reference}. Its tags are: ${names.slice(0, 20).join(', ') || 'none'}.`,
      { reference },
    );
  }

  /** Throws `REFERENCE_INVALID` for a name outside annotations.md's grammar, `BLOB_NOT_FOUND` where the content is not here. */
  async tag(descriptor: Descriptor, reference: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = options;
    const nameless = reference === descriptor.digest;
    if (!nameless) checkRefName(reference);
    if (!nameless && isDigest(reference)) {
      throw new StowageError(
        'REFERENCE_INVALID',
        `${reference} is the digest of something else than ${descriptor.digest}, so it cannot be its tag. Give a name, or its own digest.`,
        { reference, digest: descriptor.digest },
      );
    }
    if (!(await this.has(descriptor))) {
      throw new StowageError(
        'BLOB_NOT_FOUND',
        `Cannot tag ${descriptor.digest} as ${reference}: the layout does not hold it. Copy it here first.`,
        { digest: descriptor.digest, reference },
      );
    }
    await this.#changeIndex((manifests) => {
      const { [annotationKeys.refName]: _, ...annotations } = descriptor.annotations ?? {};
      const named = nameless ? annotations : { ...annotations, [annotationKeys.refName]: reference };
      const root: Descriptor = { ...descriptor, annotations: named };
      if (Object.keys(named).length === 0) delete root.annotations;
      if (nameless && manifests.some((known) => known.digest === descriptor.digest)) return manifests;
      // The new name takes the place of the old root of that name, and of the same content without a name.
      const kept = manifests.filter((known) => {
        const name = refName(known);
        return name === undefined ? known.digest !== descriptor.digest : name !== reference;
      });
      return [...kept, root];
    }, signal);
  }

  /** Removes a name. The content stays until `gc`. Throws `NOT_FOUND`. */
  async untag(reference: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    await this.#changeIndex((manifests) => {
      const kept = manifests.filter((known) => reference !== (isDigest(reference) ? known.digest : refName(known)));
      if (kept.length < manifests.length) return kept;
      throw new StowageError('NOT_FOUND', `The layout has no tag ${reference}, so there is none to remove.`, {
        reference,
      });
    }, options.signal);
  }

  /**
   * Finds the blobs that no root reaches, and with `dryRun: false` deletes them. Run it when nobody writes: a blob whose
   * manifest is still to come is reached by no root either. Where a document is corrupt nothing is deleted (`verify` says which).
   */
  async gc(options: { dryRun?: boolean; signal?: AbortSignal } = {}): Promise<{ paths: string[]; bytes: number }> {
    const { dryRun = true, signal } = options;
    return this.storage.exclusive('index.json', async () => {
      const { manifests } = await this.index(options);
      const { documents, blobs } = await walkGraph(this, manifests, { missing: 'pass', limits: this.#limits, signal });
      const reached = new Set<string>();
      for (const descriptor of [...manifests, ...blobs, ...documents.map((document) => document.descriptor)]) {
        if (isDigest(descriptor.digest)) reached.add(blobPath(descriptor.digest));
      }
      const garbage: string[] = [];
      let bytes = 0;
      for await (const path of this.storage.list('blobs/')) {
        signal?.throwIfAborted();
        if (reached.has(path)) continue;
        garbage.push(path);
        bytes += (await this.storage.stat(path))?.size ?? 0;
      }
      garbage.sort();
      if (dryRun) return { paths: garbage, bytes };
      for (const path of garbage) {
        signal?.throwIfAborted();
        await this.storage.delete(path);
      }
      return { paths: garbage, bytes };
    });
  }

  /** Reads everything and reports all that is wrong: documents, blobs against their digests, and what is named but missing. */
  async verify(options: { signal?: AbortSignal } = {}): Promise<LayoutReport> {
    const { verifyLayout } = await load(() => import('./verify.ts'));
    return verifyLayout(this.storage, { limits: this.#limits, signal: options.signal });
  }

  async #changeIndex(change: (manifests: Descriptor[]) => Descriptor[], signal?: AbortSignal): Promise<void> {
    await this.storage.exclusive('index.json', async () => {
      signal?.throwIfAborted();
      const index = await this.index({ signal });
      const manifests = change(index.manifests);
      if (manifests === index.manifests) return;
      const bytes = serializeIndex({ ...index, manifests });
      // What no reader would take must not be written: the layout could not be opened again.
      if (bytes.length > this.#limits.jsonBytes)
        throw limitExceeded('jsonBytes', this.#limits, 'index.json, with this tag');
      await writeStorageFile(this.storage, 'index.json', [bytes]);
    });
  }

  async #readFile(path: string, signal?: AbortSignal): Promise<Uint8Array> {
    return readLayoutFile(this.storage, path, this.#limits, signal);
  }
}

/** The tag that a root descriptor bears. */
export function refName(descriptor: Descriptor): string | undefined {
  return descriptor.annotations?.[annotationKeys.refName];
}

function emptyIndex(): ImageIndex {
  return { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [] };
}

/** Manifests that were read or written lately, so that resolving, reading and tagging one costs one request each, not two. */
import type { Digest } from '../oci/digest.ts';
import type { RemoteDocument } from './manifests.ts';

/** The last used of a few megabytes of documents, by digest. What a digest names never changes. */
export class DocumentCache {
  readonly #documents = new Map<Digest, RemoteDocument>();
  #size = 0;

  get(digest: Digest): RemoteDocument | undefined {
    const document = this.#documents.get(digest);
    if (document) {
      this.#documents.delete(digest);
      this.#documents.set(digest, document);
    }
    return document;
  }

  add(document: RemoteDocument): void {
    this.delete(document.descriptor.digest);
    this.#documents.set(document.descriptor.digest, document);
    this.#size += document.bytes.length;
    for (const oldest of this.#documents.keys()) {
      if (this.#size <= maximumSize || this.#documents.size === 1) return;
      this.delete(oldest);
    }
  }

  delete(digest: Digest): void {
    const held = this.#documents.get(digest);
    if (held === undefined) return;
    this.#size -= held.bytes.length;
    this.#documents.delete(digest);
  }
}

const maximumSize = 8 * 1024 * 1024;

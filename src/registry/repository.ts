/** A registry's repository as a place of content: blobs by digest, manifests by digest and tag, over the distribution protocol. */
import { type ByteSource, readBytes, readChunks, releaseSource, toStream } from '../bytes/byte-source.ts';
import { digestBy, verifyChunks } from '../bytes/hash.ts';
import type { BlobSource, ContentStore, ReadBlobOptions } from '../content/content.ts';
import { isDocument } from '../content/graph.ts';
import { StowageError } from '../errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, isDigest, parseDigest } from '../oci/digest.ts';
import { parseReference } from '../oci/reference.ts';
import { DocumentCache } from './document-cache.ts';
import { announcedSize, type BlobRequest, blobUrl, fetchBlob, openBlob } from './download.ts';
import { type Answer, refused } from './failure.ts';
import { listNames } from './listing.ts';
import { acceptDocuments, getDocument, manifestUrl, putDocument, type RemoteDocument } from './manifests.ts';
import { changeReferrers, describeReferrer, hasReferrersApi, listReferrers } from './referrers.ts';
import { Registry, type RegistryOptions } from './registry.ts';
import { repositoryScope } from './scope.ts';
import { UploadSession } from './session.ts';
import { blobSize, uploadBlob } from './upload.ts';

/**
 * A repository of a registry. `copy` moves content in and out of it, `Image.from` reads images from it, and `createLayer` with `store` set to it
 * uploads a layer while that is being built.
 *
 * @example
 * const repository = new RemoteRepository('ghcr.io/team/app', { credentials: dockerCredentials() });
 * await copy(layout, repository, { references: ['1.0'] });
 */
export class RemoteRepository implements ContentStore {
  readonly registry: Registry;
  /** Path within the registry: `team/app`. */
  readonly name: string;
  readonly #documents = new DocumentCache();
  /** Blobs that were not here when last asked for: what is uploaded next need not be asked for again. */
  readonly #absent = new Set<Digest>();
  /** Sessions that a registry opened in place of a mount. */
  readonly #sessions = new Map<Digest, UploadSession>();

  /**
   * `reference` as `host/path`, without tag or digest; a name without a host is one of Docker Hub. A `Registry` in place of
   * options shares its tokens with the other repositories of that registry.
   *
   * @throws `REFERENCE_INVALID`
   */
  constructor(reference: string, options: RegistryOptions | Registry = {}) {
    const { registry, repository, tag, digest } = parseReference(reference);
    if (digest !== undefined || reference.endsWith(`:${tag}`)) {
      throw new StowageError(
        'REFERENCE_INVALID',
        `${reference} names an image, where a repository is wanted. Give ${registry}/${repository}, and the tag or digest to the call that reads it.`,
        { reference },
      );
    }
    this.registry = options instanceof Registry ? options : new Registry(registry, options);
    if (this.registry.host !== registry) {
      throw new StowageError(
        'REFERENCE_INVALID',
        `${reference} is a repository of ${registry}, but was given the registry ${this.registry.host}.`,
        { reference },
      );
    }
    this.name = repository;
  }

  /** Asks by `HEAD`. A blob of another size does not count as there. */
  async has(descriptor: Descriptor, options: { signal?: AbortSignal } = {}): Promise<boolean> {
    const { signal } = options;
    const { digest } = descriptor;
    parseDigest(digest);
    if (isDocument(descriptor)) return this.#hasDocument(descriptor, signal);
    const size = await blobSize(this.registry, this.name, digest, signal);
    const isHere = size !== undefined && (Number.isNaN(size) || size === descriptor.size);
    if (isHere) this.#absent.delete(digest);
    else this.#absent.add(digest);
    if (this.#absent.size > 10_000) this.#absent.clear();
    return isHere;
  }

  /**
   * Manifests are read whole. Blobs are streamed, and continued by `Range` where the connection breaks.
   *
   * @throws `BLOB_NOT_FOUND`, `DIGEST_MISMATCH`, `SIZE_MISMATCH`; `UNAUTHORIZED`, `REGISTRY_FAILED`, `REGISTRY_INVALID`.
   */
  async read(descriptor: Descriptor, options: ReadBlobOptions = {}): Promise<ReadableStream<Uint8Array>> {
    const { signal } = options;
    const { digest } = descriptor;
    parseDigest(digest);
    signal?.throwIfAborted();
    if (isDocument(descriptor)) {
      const document = await this.#document(digest, signal);
      if (document) return toStream(verifyChunks(readChunks(document.bytes), descriptor, `manifest ${digest}`));
    } else {
      const stream = await openBlob(this.registry, this.name, descriptor, options);
      if (stream) return stream;
    }
    throw this.#blobNotFound(descriptor);
  }

  /**
   * A blob as the registry answers it, for a server that passes it on: unread, so neither verified nor continued where the connection breaks.
   * The status is 200, 206, 416 or, where `redirect` allows it, a redirect's. `undefined` where the blob is not there.
   */
  fetchBlob(digest: Digest, request: BlobRequest): Promise<Response | undefined> {
    return fetchBlob(this.registry, this.name, digest, request);
  }

  /** The descriptor of what a tag or digest names. The manifest is fetched and checked, and kept for the `read` that follows. */
  async resolve(reference: string, options: { signal?: AbortSignal } = {}): Promise<Descriptor> {
    const { signal } = options;
    signal?.throwIfAborted();
    if (!isDigest(reference)) checkTag(reference);
    const document = isDigest(reference)
      ? await this.#document(reference, signal)
      : await getDocument(this.registry, this.name, reference, signal);
    if (document === undefined) {
      throw new StowageError(
        'NOT_FOUND',
        `${this.registry.host}/${this.name} has no ${isDigest(reference) ? 'manifest' : 'tag'} ${reference}. tags() lists what it has.`,
        { reference },
      );
    }
    this.#documents.add(document);
    return document.descriptor;
  }

  /**
   * Uploads a blob, or puts a manifest where `expected.mediaType` says that it is one. A manifest with a subject is added to the list of what refers to that
   * subject, where the registry does not do so itself.
   *
   * @throws `DIGEST_MISMATCH`, `SIZE_MISMATCH`; `UNAUTHORIZED`, `REGISTRY_FAILED`, `REGISTRY_INVALID`.
   */
  async write(
    body: ByteSource,
    expected: Partial<Descriptor> = {},
    options: { signal?: AbortSignal } = {},
  ): Promise<Descriptor> {
    const { signal } = options;
    signal?.throwIfAborted();
    const { digest, mediaType = 'application/octet-stream' } = expected;
    if (digest !== undefined) parseDigest(digest);
    if (isDocument({ mediaType } as Descriptor)) return this.#writeDocument(body, { ...expected, mediaType }, signal);
    const session = digest === undefined ? undefined : this.#sessions.get(digest);
    if (digest !== undefined) {
      this.#sessions.delete(digest);
      if (!this.#absent.delete(digest) && session === undefined) {
        const size = await blobSize(this.registry, this.name, digest, signal);
        if (size !== undefined && !Number.isNaN(size) && size === (expected.size ?? size)) {
          await releaseSource(body);
          return { mediaType, ...expected, digest, size };
        }
      }
    }
    const written = await uploadBlob(this.registry, this.name, body, expected, { session, signal });
    return { mediaType, ...expected, ...written };
  }

  /** Puts the manifest under one more name; nothing is uploaded but the manifest. Throws `BLOB_NOT_FOUND`, `REFERENCE_INVALID`. */
  async tag(descriptor: Descriptor, reference: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = options;
    signal?.throwIfAborted();
    const nameless = reference === descriptor.digest;
    if (!nameless) checkTag(reference);
    const document = await this.#document(descriptor.digest, signal);
    if (document === undefined) throw this.#blobNotFound(descriptor);
    // Its digest names it already.
    if (!nameless) await this.#put(document, reference, signal);
  }

  /**
   * Has the registry take a blob from another of its repositories, without a byte going through here. True where it did; false
   * where it did not, or `from` is not a repository of this registry.
   */
  async mount(
    descriptor: Descriptor,
    from: Pick<BlobSource, 'read'>,
    options: { signal?: AbortSignal } = {},
  ): Promise<boolean> {
    if (!(from instanceof RemoteRepository) || from.registry.origin.href !== this.registry.origin.href) return false;
    if (from.name === this.name || isDocument(descriptor)) return false;
    const { digest } = descriptor;
    const mount = { digest, from: from.name };
    try {
      const session = await UploadSession.open(this.registry, this.name, { mount, signal: options.signal });
      if (session !== undefined) this.#sessions.set(digest, session);
      else this.#absent.delete(digest);
      return session === undefined;
    } catch (error) {
      // Whoever may push here need not be allowed to read there; what can be uploaded need not be mounted.
      options.signal?.throwIfAborted();
      if (error instanceof StowageError && [400, 401, 403, 404, 405].includes(error.details.status as number))
        return false;
      throw error;
    }
  }

  /** All tags, page by page, in the registry's order. @throws `NOT_FOUND` for an unknown repository. */
  tags(options: { signal?: AbortSignal } = {}): AsyncGenerator<string, void, void> {
    return listNames(this.registry, {
      url: new URL(`/v2/${this.name}/tags/list`, this.registry.origin),
      field: 'tags',
      scopes: [repositoryScope(this.name, 'pull')],
      missing: (answer) => this.#notFound('GET', answer),
      signal: options.signal,
    });
  }

  /**
   * What refers to a manifest: signatures, inventories. From the referrers API, or from the tag that stands in for it.
   * Each descriptor has the `artifactType` and annotations of what it names.
   */
  referrers(
    subject: Digest | Descriptor,
    options: { artifactType?: string; signal?: AbortSignal } = {},
  ): Promise<Descriptor[]> {
    const digest = typeof subject === 'string' ? subject : subject.digest;
    return listReferrers(this.registry, this.name, digest, options);
  }

  /** Removes a tag; the manifest stays. Not every registry can (`REGISTRY_FAILED`). @throws `NOT_FOUND` */
  async untag(tag: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    checkTag(tag);
    await this.#delete(manifestUrl(this.registry, this.name, tag), options.signal);
  }

  /**
   * Deletes a manifest with all its tags, and takes it from the list of what refers to its subject where the registry does not do so itself. Its
   * blobs are the registry's to collect. @throws `NOT_FOUND`
   */
  async deleteManifest(digest: Digest, options: { signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = options;
    parseDigest(digest);
    const document = await this.#document(digest, signal);
    const found = document && describeReferrer(document);
    this.#documents.delete(digest);
    await this.#delete(manifestUrl(this.registry, this.name, digest), signal);
    if (found === undefined) return;
    const subject = found.subject.digest;
    if (await hasReferrersApi(this.registry, this.name, subject, signal)) return;
    await changeReferrers(this.registry, this.name, subject, { remove: digest }, signal);
  }

  /** Deletes a blob. Manifests that name it break. @throws `NOT_FOUND` */
  async deleteBlob(digest: Digest, options: { signal?: AbortSignal } = {}): Promise<void> {
    await this.#delete(blobUrl(this.registry, this.name, digest), options.signal);
  }

  async #document(digest: Digest, signal: AbortSignal | undefined): Promise<RemoteDocument | undefined> {
    const held = this.#documents.get(digest);
    if (held) return held;
    const document = await getDocument(this.registry, this.name, digest, signal);
    if (document) this.#documents.add(document);
    return document;
  }

  async #hasDocument({ digest, size }: Descriptor, signal: AbortSignal | undefined): Promise<boolean> {
    const { status, headers } = await this.registry.call({
      method: 'HEAD',
      url: manifestUrl(this.registry, this.name, digest),
      headers: { ...acceptDocuments },
      scopes: [repositoryScope(this.name, 'pull')],
      accept: [200, 404],
      signal,
    });
    return status === 200 && (announcedSize(headers) ?? size) === size;
  }

  async #writeDocument(
    body: ByteSource,
    expected: Partial<Descriptor> & { mediaType: string },
    signal: AbortSignal | undefined,
  ): Promise<Descriptor> {
    const { mediaType, size, digest: wanted } = expected;
    const what = `manifest ${wanted ?? 'to be written'}`;
    const read = await readBytes(body, { maximum: this.registry.limits.jsonBytes, limit: 'jsonBytes', what, signal });
    // Kept for `tag`, whatever the caller does with its own.
    const bytes = read.slice();
    const digest = await digestBy(wanted === undefined ? 'sha256' : parseDigest(wanted).algorithm, bytes);
    const check = { digest: wanted ?? digest, size: size ?? bytes.length };
    for await (const _ of verifyChunks(readChunks(bytes), check, what));
    const document = { descriptor: { mediaType, digest, size: bytes.length }, bytes };
    await this.#put(document, digest, signal);
    this.#documents.add(document);
    return { ...expected, ...document.descriptor };
  }

  async #put(document: RemoteDocument, reference: string, signal: AbortSignal | undefined): Promise<void> {
    const found = describeReferrer(document);
    const { subject } = await putDocument(this.registry, this.name, document, reference, signal);
    if (found === undefined || subject !== null) return;
    await changeReferrers(this.registry, this.name, found.subject.digest, { add: found.referrer }, signal);
  }

  async #delete(url: URL, signal: AbortSignal | undefined): Promise<void> {
    const scopes = [repositoryScope(this.name, 'delete')];
    const answer = await this.registry.call({ method: 'DELETE', url, scopes, accept: [202, 200, 204, 404], signal });
    if (answer.status === 404) throw this.#notFound('DELETE', answer);
  }

  #notFound(method: string, answer: Answer): StowageError {
    const advice = `${this.registry.host}/${this.name} does not have it.`;
    return refused(method, answer, { code: 'NOT_FOUND', advice });
  }

  #blobNotFound({ digest, mediaType }: Descriptor): StowageError {
    return new StowageError(
      'BLOB_NOT_FOUND',
      `${digest} (${mediaType}) is not in ${this.registry.host}/${this.name}. Copy the whole image into it, or read it where it came from.`,
      { digest },
    );
  }
}

function checkTag(tag: string): void {
  if (/^\w[\w.-]{0,127}$/.test(tag)) return;
  throw new StowageError(
    'REFERENCE_INVALID',
    `${JSON.stringify(tag)} is no tag for a registry: letters, digits, "_", "." and "-", at most 128. Where its content has another name, copy it under a new one: references: [[from, to]].`,
    { reference: tag },
  );
}

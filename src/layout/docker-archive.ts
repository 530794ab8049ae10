/**
 * What `docker save` wrote before version 25, and `podman save` and skopeo's `docker-archive:` still write: `manifest.json`
 * names a config and uncompressed layers by paths that vouch for nothing. Each layer is checked against the config's diff
 * IDs, and an OCI manifest is made for it, as the archive holds none.
 */

import { readBytes, readChunks, toStream } from '../bytes/byte-source.ts';
import { decompress } from '../bytes/compression.ts';
import { createHasher, digestOf, verifyChunks } from '../bytes/hash.ts';
import type { ContentSource } from '../content/content.ts';
import { StowageError } from '../errors.ts';
import { type Limits, limitExceeded } from '../limits.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { ImageConfig } from '../oci/image-config.ts';
import { parseJson } from '../oci/json.ts';
import { serializeManifest } from '../oci/manifest.ts';
import { mediaTypes } from '../oci/media-types.ts';
import { parseImageConfig } from '../oci/parse.ts';
import type { Unpacked } from './archive.ts';
import type { Tag } from './layout.ts';

type ArchiveFiles = Pick<Unpacked, 'storage' | 'follow'>;

interface DockerArchive {
  content: ContentSource;
  roots: readonly Descriptor[];
  tags: readonly Tag[];
}

/** One image of `manifest.json`. */
interface SavedImage {
  Config: string;
  RepoTags?: string[] | null;
  Layers: string[];
}

export async function openDockerArchive(
  unpacked: ArchiveFiles,
  limits: Limits,
  signal?: AbortSignal,
): Promise<DockerArchive> {
  const reader = new DockerArchiveReader(unpacked, limits, signal);
  const saved = checkSavedImages(parseJson(await reader.readSmall('manifest.json'), { what: 'manifest.json', limits }));
  const roots: Descriptor[] = [];
  const tags: Tag[] = [];
  for (const image of saved) {
    const descriptor = await reader.addImage(image);
    roots.push(descriptor);
    for (const name of image.RepoTags ?? []) tags.push({ name, descriptor });
  }
  return { content: reader, roots, tags };
}

class DockerArchiveReader implements ContentSource {
  readonly #unpacked: ArchiveFiles;
  readonly #limits: Limits;
  readonly #signal: AbortSignal | undefined;
  readonly #documents = new Map<Digest, Uint8Array>();
  #documentBytes = 0;
  #inflatedBytes = 0;
  /** Configs are read once, however many images share them. */
  readonly #configs = new Map<string, { bytes: Uint8Array; config: ImageConfig }>();
  readonly #paths = new Map<Digest, string>();
  /** Layers are hashed once, however many images share them. */
  readonly #layers = new Map<string, { descriptor: Descriptor; diffId: Digest }>();

  constructor(unpacked: ArchiveFiles, limits: Limits, signal?: AbortSignal) {
    this.#unpacked = unpacked;
    this.#limits = limits;
    this.#signal = signal;
  }

  async addImage(saved: SavedImage): Promise<Descriptor> {
    const { bytes: configBytes, config } = await this.#readConfig(saved.Config);
    const diffIds = config.rootfs.diff_ids;
    if (diffIds.length !== saved.Layers.length) {
      throw new StowageError(
        'MANIFEST_INVALID',
        `manifest.json names ${saved.Layers.length} layers, but ${saved.Config} has ${diffIds.length} diff IDs. Save the image anew.`,
        { path: saved.Config },
      );
    }
    const layers: Descriptor[] = [];
    for (const [index, path] of saved.Layers.entries()) {
      const { descriptor, diffId } = await this.#describeLayer(path);
      if (diffId !== diffIds[index]) {
        throw new StowageError(
          'DIGEST_MISMATCH',
          `Layer ${path} has the diff ID ${diffId} where ${saved.Config} says ${diffIds[index]}. The archive is corrupt; save the image anew.`,
          { path, expected: diffIds[index], actual: diffId },
        );
      }
      layers.push(descriptor);
    }
    const manifest = serializeManifest({
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      config: { mediaType: mediaTypes.config, digest: this.#hold(configBytes), size: configBytes.length },
      layers,
    });
    return { mediaType: mediaTypes.manifest, digest: this.#hold(manifest), size: manifest.length };
  }

  async #readConfig(path: string): Promise<{ bytes: Uint8Array; config: ImageConfig }> {
    const file = this.#unpacked.follow(path);
    let known = this.#configs.get(file);
    if (known === undefined) {
      const bytes = await this.readSmall(path);
      known = { bytes, config: parseImageConfig(bytes, { what: path, limits: this.#limits }) };
      this.#configs.set(file, known);
    }
    return known;
  }

  async readSmall(path: string): Promise<Uint8Array> {
    return readBytes(await this.#open(path), {
      maximum: this.#limits.jsonBytes,
      limit: 'jsonBytes',
      what: path,
      signal: this.#signal,
    });
  }

  async resolve(reference: string): Promise<Descriptor> {
    throw new StowageError('NOT_FOUND', `A docker-archive has no references to resolve, and so no ${reference}.`, {
      reference,
    });
  }

  async has({ digest }: Descriptor): Promise<boolean> {
    return this.#documents.has(digest) || this.#paths.has(digest);
  }

  async read(descriptor: Descriptor, { signal }: { signal?: AbortSignal } = {}): Promise<ReadableStream<Uint8Array>> {
    const document = this.#documents.get(descriptor.digest);
    const path = this.#paths.get(descriptor.digest);
    if (!document && path === undefined) {
      throw new StowageError('BLOB_NOT_FOUND', `The archive does not hold ${descriptor.digest}.`, {
        digest: descriptor.digest,
      });
    }
    const body = document ?? (await this.#open(path as string));
    const chunks = verifyChunks(readChunks(body, { signal }), descriptor, `blob ${descriptor.digest}`);
    return toStream(chunks, () => (body instanceof Uint8Array ? undefined : body.cancel()));
  }

  #hold(bytes: Uint8Array): Digest {
    const digest = digestOf(bytes);
    if (this.#documents.has(digest)) return digest;
    this.#documents.set(digest, bytes);
    this.#documentBytes += bytes.length;
    if (this.#documentBytes > this.#limits.documentBytes)
      throw limitExceeded('documentBytes', this.#limits, 'The configs of the archive');
    return digest;
  }

  async #open(path: string): Promise<ReadableStream<Uint8Array>> {
    const file = this.#unpacked.follow(path);
    if (!(await this.#unpacked.storage.stat(file))) {
      throw new StowageError(
        'LAYOUT_INVALID',
        `manifest.json names ${JSON.stringify(path)}, which the archive does not hold. Save the image anew.`,
        { path },
      );
    }
    return this.#unpacked.storage.read(file);
  }

  async #describeLayer(path: string): Promise<{ descriptor: Descriptor; diffId: Digest }> {
    const file = this.#unpacked.follow(path);
    const known = this.#layers.get(file);
    if (known) return known;
    const blob = createHasher();
    let size = 0;
    const counted = async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
      for await (const chunk of chunks) {
        blob.update(chunk);
        size += chunk.length;
        yield chunk;
      }
    };
    const stored = readChunks(await this.#open(path), { signal: this.#signal });
    // The layers of an archive inflate to no more than one of them may, or a small archive could take hours.
    const limits = { ...this.#limits, inflatedBytes: Math.max(0, this.#limits.inflatedBytes - this.#inflatedBytes) };
    const { compression, chunks } = await decompress(counted(stored), { limits, what: path });
    const tar = createHasher();
    for await (const chunk of chunks) {
      tar.update(chunk);
      if (compression !== 'none') this.#inflatedBytes += chunk.length;
    }
    const mediaType =
      compression === 'gzip' ? mediaTypes.layerGzip : compression === 'zstd' ? mediaTypes.layerZstd : mediaTypes.layer;
    const layer = { descriptor: { mediaType, digest: blob.digest(), size }, diffId: tar.digest() };
    this.#layers.set(file, layer);
    this.#paths.set(layer.descriptor.digest, file);
    return layer;
  }
}

function checkSavedImages(value: unknown): SavedImage[] {
  const isStrings = (list: unknown): boolean => Array.isArray(list) && list.every((item) => typeof item === 'string');
  const fits = (item: Partial<SavedImage> | null): boolean =>
    typeof item?.Config === 'string' && isStrings(item.Layers) && (item.RepoTags == null || isStrings(item.RepoTags));
  if (Array.isArray(value) && value.length > 0 && value.every(fits)) return value as SavedImage[];
  throw new StowageError(
    'LAYOUT_INVALID',
    'manifest.json is not a list of images as docker save writes it: [{ Config, RepoTags, Layers }]. Save the image anew.',
  );
}

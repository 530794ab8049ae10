/**
 * A repository in a storage. Content lies once for all repositories in `blobs/`; what a repository holds is said by small
 * files in a folder of its own, so that none sees what another has:
 *
 *     blobs/<algorithm>/<encoded>                                      content
 *     catalog/<name>/_repository                                       the names that are known
 *     repositories/<name>/_blobs/<algorithm>/<encoded>                 the repository holds that blob
 *     repositories/<name>/_manifests/<algorithm>/<encoded>             it holds that manifest: its descriptor, and its subject
 *     repositories/<name>/_tags/<tag>                                  the digest that a tag names
 *     repositories/<name>/_referrers/<algorithm>/<encoded>/<algorithm>-<encoded>   a descriptor, by subject
 *
 * No part of a name starts with `_`, so that repositories may lie within one another.
 */

import { readBytes } from '../bytes/byte-source.ts';
import { blobPath } from '../content/blob-store.ts';
import { StowageError } from '../errors.ts';
import { checkDescriptor, type Descriptor } from '../oci/descriptor.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';
import { parseJson } from '../oci/json.ts';
import { serializeJson } from '../oci/serialize-json.ts';
import type { Storage } from '../storage/storage.ts';
import { writeStorageFile } from '../storage/write.ts';
import type { Span } from './byte-ranges.ts';
import type { ServedBlob, ServedManifest, ServedRepository } from './served.ts';

/** A manifest that is to be stored, checked already. */
export interface NewManifest {
  descriptor: Descriptor;
  bytes: Uint8Array;
  tags: readonly string[];
  /** The digest of the subject, and what the list of its referrers says of this manifest. */
  referrer?: { subject: Digest; descriptor: Descriptor };
}

export interface Repository extends ServedRepository {
  /** Size of a blob that this repository holds. */
  statBlob(digest: Digest): Promise<{ size: number } | undefined>;
  statManifest(digest: Digest): Promise<Descriptor | undefined>;
  blob(digest: Digest): Promise<ServedBlob | undefined>;
  /** Makes a blob of the storage one of this repository. */
  linkBlob(digest: Digest): Promise<void>;
  /** False where it holds none. The content stays until `collectGarbage`. */
  deleteBlob(digest: Digest): Promise<boolean>;
  putManifest(manifest: NewManifest): Promise<void>;
  /** Removes a tag, or a manifest with all tags that name it. False where there is none. */
  deleteManifest(reference: string): Promise<boolean>;
  /** Runs alone among all that change which manifests this repository holds. */
  alone<T>(task: () => Promise<T>): Promise<T>;
}

export function storageRepository(storage: Storage, name: string): Repository {
  const root = `repositories/${name}`;
  const marker = `catalog/${name}/_repository`;
  const blobLink = (digest: Digest): string => `${root}/_blobs/${digestPath(digest)}`;
  const manifestFile = (digest: Digest): string => `${root}/_manifests/${digestPath(digest)}`;
  const tagFile = (tag: string): string => `${root}/_tags/${tag}`;
  const referrersFolder = (subject: Digest): string => `${root}/_referrers/${digestPath(subject)}/`;
  const referrerFile = (subject: Digest, digest: Digest): string =>
    `${referrersFolder(subject)}${digest.replace(':', '-')}`;

  const makeKnown = async (): Promise<void> => {
    if (!(await storage.stat(marker))) await writeStorageFile(storage, marker, []);
  };
  const readDescriptor = async (path: string): Promise<Descriptor | undefined> => {
    const bytes = await readSmallFile(storage, path);
    return bytes && checkDescriptor(parseJson(bytes, { what: path }), path);
  };
  const tagNames = (): Promise<string[]> => namesIn(storage, `${root}/_tags/`);

  const repository: Repository = {
    async manifest(reference): Promise<ServedManifest | undefined> {
      let digest = reference;
      if (!reference.includes(':')) {
        const named = await readSmallFile(storage, tagFile(reference));
        if (!named) return undefined;
        digest = new TextDecoder().decode(named);
      }
      const descriptor = await repository.statManifest(digest);
      if (!descriptor) return undefined;
      return { descriptor, read: async () => readBytes(await storage.read(blobPath(digest))) };
    },

    async blob(digest) {
      const found = await repository.statBlob(digest);
      if (!found) return undefined;
      const { size } = found;
      // Of a range an object store asks the size once more.
      const isWhole = ({ start, end }: Span): boolean => start === 0 && end === size;
      return { size, read: (span) => storage.read(blobPath(digest), isWhole(span) ? undefined : span) };
    },

    async tags() {
      const [known, names] = await Promise.all([storage.stat(marker), tagNames()]);
      return known ? names : undefined;
    },

    async referrers(subject) {
      if (!(await storage.stat(marker))) return [];
      const folder = referrersFolder(subject);
      const found: Descriptor[] = [];
      for (const file of await namesIn(storage, folder)) {
        const descriptor = await readDescriptor(folder + file);
        if (descriptor) found.push(descriptor);
      }
      return found;
    },

    async statBlob(digest) {
      if (!(await storage.stat(blobLink(digest)))) return undefined;
      return storage.stat(blobPath(digest));
    },

    statManifest: (digest) => readDescriptor(manifestFile(digest)),

    async linkBlob(digest) {
      await makeKnown();
      // Clients ask first, so that it is seldom there.
      await writeStorageFile(storage, blobLink(digest), []);
    },

    async deleteBlob(digest) {
      if (!(await repository.statBlob(digest))) return false;
      await storage.delete(blobLink(digest));
      return true;
    },

    async putManifest({ descriptor, bytes, tags, referrer }) {
      const { digest } = descriptor;
      await makeKnown();
      // What is named first, names last: a crash between leaves nothing that leads nowhere.
      if (!(await storage.stat(blobPath(digest)))) await writeStorageFile(storage, blobPath(digest), [bytes]);
      if (referrer) {
        const file = referrerFile(referrer.subject, digest);
        await writeStorageFile(storage, file, [serializeJson(referrer.descriptor)]);
      }
      const record = { ...descriptor, ...(referrer && { subject: referrer.subject }) };
      await writeStorageFile(storage, manifestFile(digest), [serializeJson(record)]);
      const named = [new TextEncoder().encode(digest)];
      for (const tag of tags) await writeStorageFile(storage, tagFile(tag), named);
    },

    async deleteManifest(reference) {
      if (!reference.includes(':')) {
        if (!(await storage.stat(tagFile(reference)))) return false;
        await storage.delete(tagFile(reference));
        return true;
      }
      const record = await repository.statManifest(reference);
      if (!record) return false;
      for (const tag of await tagNames()) {
        const named = await readSmallFile(storage, tagFile(tag));
        if (named && new TextDecoder().decode(named) === reference) await storage.delete(tagFile(tag));
      }
      if (typeof record.subject === 'string') await storage.delete(referrerFile(record.subject, reference));
      await storage.delete(manifestFile(reference));
      return true;
    },

    alone: (task) => storage.exclusive(root, task),
  };
  return repository;
}

/** The names of all repositories, in ASCII order. */
export async function repositoryNames(storage: Storage): Promise<string[]> {
  const names: string[] = [];
  for await (const path of storage.list('catalog/')) {
    if (path.endsWith('/_repository')) names.push(path.slice('catalog/'.length, -'/_repository'.length));
  }
  return names.sort();
}

/**
 * Finds the content that no repository holds any more, and with `dryRun: false` deletes it. Run it when nobody pushes: a blob that
 * is just being pushed is held by none yet. `paths` are those of the storage.
 */
export async function collectGarbage(
  storage: Storage,
  options: { dryRun?: boolean; signal?: AbortSignal } = {},
): Promise<{ paths: string[]; bytes: number }> {
  const { dryRun = true, signal } = options;
  const held = new Set<string>();
  for await (const path of storage.list('repositories/')) {
    signal?.throwIfAborted();
    const match = /\/_(?:blobs|manifests)\/([^/]+\/[^/]+)$/.exec(path);
    if (match) held.add(`blobs/${match[1]}`);
  }
  const paths: string[] = [];
  let bytes = 0;
  for await (const path of storage.list('blobs/')) {
    signal?.throwIfAborted();
    if (held.has(path)) continue;
    paths.push(path);
    bytes += (await storage.stat(path))?.size ?? 0;
  }
  if (!dryRun) {
    for (const path of paths) {
      signal?.throwIfAborted();
      await storage.delete(path);
    }
  }
  return { paths: paths.sort(), bytes };
}

/** A file of a few hundred bytes; `undefined` where there is none. */
export async function readSmallFile(storage: Storage, path: string): Promise<Uint8Array | undefined> {
  try {
    return await readBytes(await storage.read(path), { maximum: smallFileBytes, what: path });
  } catch (error) {
    if (error instanceof StowageError && error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}

/** Descriptors of referrers carry the annotations of their manifests, which may be as long as a manifest. */
const smallFileBytes = 8 * 1024 * 1024;

function digestPath(digest: Digest): string {
  const { algorithm, encoded } = parseDigest(digest);
  return `${algorithm}/${encoded}`;
}

async function namesIn(storage: Storage, folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const path of storage.list(folder)) names.push(path.slice(folder.length));
  return names.sort();
}

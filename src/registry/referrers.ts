/** What refers to a manifest: the referrers API, and the tag that stands in for it where a registry has none (distribution-spec, Referrers Tag Schema). */

import { digestOf } from '../bytes/hash.ts';
import { StowageError } from '../errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';
import { type ImageIndex, imageIndex } from '../oci/image-index.ts';
import { isIndex, mediaTypes } from '../oci/media-types.ts';
import { parseManifest } from '../oci/parse.ts';
import { serializeIndex } from '../oci/serialize-index.ts';
import { broken } from './failure.ts';
import { listPages, readObject } from './listing.ts';
import { getDocument, putDocument, type RemoteDocument } from './manifests.ts';
import type { Registry } from './registry.ts';
import { repositoryScope } from './scope.ts';

/** `sha256-…`: the tag that lists what refers to a digest. */
export function referrersTag(digest: Digest): string {
  const at = digest.indexOf(':');
  const tag = `${digest.slice(0, at).slice(0, 32)}-${digest.slice(at + 1).slice(0, 64)}`;
  return tag.replace(/[^\w.-]/g, '-');
}

/** What refers to the digest, of one `artifactType` where told. */
export async function listReferrers(
  registry: Registry,
  name: string,
  digest: Digest,
  options: { artifactType?: string; signal?: AbortSignal } = {},
): Promise<Descriptor[]> {
  const { artifactType, signal } = options;
  parseDigest(digest);
  const found =
    (await fromApi(registry, name, digest, artifactType, signal)) ?? (await fromTag(registry, name, digest, signal));
  // Filters are the registry's to apply or not, and a tag has none.
  return found.filter((descriptor) => artifactType === undefined || descriptor.artifactType === artifactType);
}

/** Descriptors of a document as lists of referrers hold it; and what it refers to. `undefined` where it refers to nothing. */
export function describeReferrer({
  descriptor,
  bytes,
}: RemoteDocument): { subject: Descriptor; referrer: Descriptor } | undefined {
  const { mediaType, digest, size } = descriptor;
  const document = isIndex(mediaType) ? imageIndex.parse(bytes, { mediaType }) : parseManifest(bytes, { mediaType });
  const { subject, annotations } = document;
  if (subject === undefined) return undefined;
  const config = 'config' in document ? (document.config as Descriptor).mediaType : undefined;
  const artifactType = document.artifactType || config;
  const referrer: Descriptor = { mediaType, size, digest };
  if (artifactType !== undefined) referrer.artifactType = artifactType;
  if (annotations !== undefined) referrer.annotations = annotations;
  return { subject, referrer };
}

/**
 * Adds to the list under the subject's tag, or takes from it. In turn within this process; two processes may overwrite one another, as the
 * specification says.
 */
export function changeReferrers(
  registry: Registry,
  name: string,
  subject: Digest,
  change: { add: Descriptor } | { remove: Digest },
  signal?: AbortSignal,
): Promise<void> {
  const key = `${registry.origin.host}/${name}@${subject}`;
  const before = underWay.get(key) ?? Promise.resolve();
  const task = before.then(() => changeTag(registry, name, subject, change, signal));
  const settled = task.catch(() => {});
  underWay.set(key, settled);
  void settled.then(() => {
    if (underWay.get(key) === settled) underWay.delete(key);
  });
  return task;
}

const underWay = new Map<string, Promise<void>>();

async function changeTag(
  registry: Registry,
  name: string,
  subject: Digest,
  change: { add: Descriptor } | { remove: Digest },
  signal: AbortSignal | undefined,
): Promise<void> {
  signal?.throwIfAborted();
  const tag = referrersTag(subject);
  const held = await getDocument(registry, name, tag, signal);
  if (held && !isIndex(held.descriptor.mediaType))
    throw new StowageError(
      'INDEX_INVALID',
      `The tag ${tag} of ${name} holds ${held.descriptor.mediaType}, where the index of what refers to ${subject} belongs. Nothing was changed; remove that tag.`,
      { reference: tag, digest: subject },
    );
  const index: ImageIndex = held
    ? imageIndex.parse(held.bytes, { what: `index ${tag}`, limits: registry.limits })
    : { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [] };
  const digest = 'add' in change ? change.add.digest : change.remove;
  const isListed = index.manifests.some((descriptor) => descriptor.digest === digest);
  if (isListed === 'add' in change) return;
  const manifests =
    'add' in change
      ? [...index.manifests, change.add]
      : index.manifests.filter((descriptor) => descriptor.digest !== digest);
  const bytes = serializeIndex({ ...index, manifests });
  const descriptor = { mediaType: mediaTypes.index, digest: digestOf(bytes), size: bytes.length };
  await putDocument(registry, name, { descriptor, bytes }, tag, signal);
}

/** True where the registry answers for itself, so that no tag need be kept. */
export async function hasReferrersApi(
  registry: Registry,
  name: string,
  digest: Digest,
  signal?: AbortSignal,
): Promise<boolean> {
  return (await fromApi(registry, name, digest, undefined, signal)) !== undefined;
}

async function fromApi(
  registry: Registry,
  name: string,
  digest: Digest,
  artifactType: string | undefined,
  signal: AbortSignal | undefined,
): Promise<Descriptor[] | undefined> {
  const url = new URL(`/v2/${name}/referrers/${digest}`, registry.origin);
  if (artifactType !== undefined) url.searchParams.set('artifactType', artifactType);
  const scopes = [repositoryScope(name, 'pull')];
  const headers = { Accept: mediaTypes.index };
  const found: Descriptor[] = [];
  for await (const { answer } of listPages(registry, { url, scopes, headers, missing: true, signal })) {
    if (answer.status === 404) return undefined;
    readObject(registry, answer);
    const index = imageIndex.parse(answer.bytes, { what: 'the list of referrers', limits: registry.limits });
    found.push(...index.manifests);
    if (found.length > registry.limits.graphNodes)
      throw broken(url, `lists more than ${registry.limits.graphNodes} referrers`);
  }
  return found;
}

async function fromTag(
  registry: Registry,
  name: string,
  digest: Digest,
  signal: AbortSignal | undefined,
): Promise<Descriptor[]> {
  const held = await getDocument(registry, name, referrersTag(digest), signal);
  if (held === undefined || !isIndex(held.descriptor.mediaType)) return [];
  return imageIndex.parse(held.bytes, { limits: registry.limits }).manifests;
}

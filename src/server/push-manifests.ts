/** The push category's manifests: checked, stored byte for byte, made known to their subjects; and their deletion. */

import { digestBy } from '../bytes/hash.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { isDigest, parseDigest } from '../oci/digest.ts';
import { type ImageIndex, imageIndex } from '../oci/image-index.ts';
import { parseJson } from '../oci/json.ts';
import type { Manifest } from '../oci/manifest.ts';
import { bareMediaType, isIndex, isManifest, isNonDistributable } from '../oci/media-types.ts';
import { parseManifest } from '../oci/parse.ts';
import type { PushContext } from './context.ts';
import { ProtocolError, type ProtocolFault, refuse } from './protocol-error.ts';
import { type Repository, storageRepository } from './repository.ts';
import { receiveBytes } from './request-body.ts';
import { isTag } from './route.ts';

/** end-7. */
export async function putManifest(context: PushContext, reference: string): Promise<Response> {
  const { request, storage, name, limits } = context;
  const tags = tagsToSet(context, reference);
  const bytes = await receiveBytes(request, {
    maximum: limits.jsonBytes,
    tooLarge: `This registry takes manifests of up to ${limits.jsonBytes} bytes.`,
  });
  const algorithm = isDigest(reference) ? parseDigest(reference).algorithm : 'sha256';
  const digest = await digestBy(algorithm, bytes);
  if (isDigest(reference) && digest !== reference) {
    const message = `The manifest has the digest ${digest}, not ${reference}. Nothing was stored.`;
    throw refuse(400, 'DIGEST_INVALID', message, { expected: reference, actual: digest });
  }
  const { mediaType, document } = parse(context, bytes);
  const descriptor: Descriptor = { mediaType, digest, size: bytes.length };
  const subject = document.subject?.digest;
  const referrer = subject === undefined ? undefined : { subject, descriptor: describeReferrer(descriptor, document) };
  const repository = storageRepository(storage, name);
  await repository.alone(async () => {
    const faults = await findMissing(repository, document);
    if (faults.length > 0) throw new ProtocolError(404, faults);
    await repository.putManifest({ descriptor, bytes, tags, referrer });
  });
  const headers = new Headers({ Location: `/v2/${name}/manifests/${reference}`, 'Docker-Content-Digest': digest });
  if (subject !== undefined) headers.set('OCI-Subject', subject);
  if (isDigest(reference) && tags.length > 0) headers.set('OCI-Tag', tags.join(', '));
  return new Response(null, { status: 201, headers });
}

/** end-9: a tag alone, or a manifest with its tags. */
export async function deleteManifest(context: PushContext, reference: string): Promise<Response> {
  const repository = storageRepository(context.storage, context.name);
  if (await repository.alone(() => repository.deleteManifest(reference))) return new Response(null, { status: 202 });
  throw refuse(404, 'MANIFEST_UNKNOWN', `This repository has no manifest ${reference}.`, { reference });
}

/** The tag in the path, or those that a push by digest asks for in its query. */
function tagsToSet({ url }: PushContext, reference: string): string[] {
  if (!isDigest(reference)) return [reference];
  const tags = [...new Set(url.searchParams.getAll('tag'))];
  if (tags.length > maximumTags) throw refuse(414, 'UNSUPPORTED', `A push sets at most ${maximumTags} tags.`);
  for (const tag of tags) {
    if (!isTag(tag))
      throw refuse(400, 'MANIFEST_INVALID', 'A tag is letters, digits, _ . and -, at most 128.', { tag });
  }
  return tags;
}

const maximumTags = 100;

function parse(
  { request, limits }: PushContext,
  bytes: Uint8Array,
): { mediaType: string; document: Manifest | ImageIndex } {
  const announced = bareMediaType(request.headers.get('content-type'));
  const own = (Object(parseJson(bytes, { what: 'the manifest', limits })) as { mediaType?: unknown }).mediaType;
  const mediaType = announced === '' ? bareMediaType(own) : announced;
  const options = { what: 'the manifest', mediaType, limits };
  if (isIndex(mediaType)) return { mediaType, document: imageIndex.parse(bytes, options) };
  if (isManifest(mediaType)) return { mediaType, document: parseManifest(bytes, options) };
  throw refuse(
    400,
    'MANIFEST_INVALID',
    `Content-Type is ${JSON.stringify(mediaType.slice(0, 100))}. This registry takes image manifests and image indexes, OCI's and Docker's schema 2.`,
  );
}

/** One fault for each descriptor whose content the repository does not hold, or holds in another size. */
async function findMissing(repository: Repository, document: Manifest | ImageIndex): Promise<ProtocolFault[]> {
  const named = isImageIndex(document) ? document.manifests : [document.config, ...document.layers];
  const faults: ProtocolFault[] = [];
  const seen = new Map<string, number>();
  for (const { digest, size, mediaType } of named) {
    if (isNonDistributable(mediaType)) continue;
    if (seen.get(digest) === size) continue;
    seen.set(digest, size);
    const held = isDigest(digest) ? await find(repository, digest, isImageIndex(document)) : undefined;
    const detail = { digest, mediaType, size };
    if (!held) {
      faults.push({
        code: 'MANIFEST_BLOB_UNKNOWN',
        message: `This repository does not hold ${digest}. Push it first.`,
        detail,
      });
    } else if (held.size !== size) {
      const message = `${digest} has ${held.size} bytes, but the manifest says ${size}.`;
      throw refuse(400, 'MANIFEST_INVALID', message, detail);
    }
    if (faults.length >= maximumFaults) break;
  }
  return faults;
}

const maximumFaults = 100;

async function find(repository: Repository, digest: string, inIndex: boolean): Promise<{ size: number } | undefined> {
  // An index may name content of any type, which is pushed as a blob.
  if (inIndex) return (await repository.statManifest(digest)) ?? repository.statBlob(digest);
  return repository.statBlob(digest);
}

/** distribution-spec, Listing Referrers: what the list says of a manifest. */
function describeReferrer(descriptor: Descriptor, document: Manifest | ImageIndex): Descriptor {
  const artifactType = document.artifactType || (isImageIndex(document) ? undefined : document.config.mediaType);
  return {
    ...descriptor,
    ...(artifactType !== undefined && { artifactType }),
    ...(document.annotations !== undefined && { annotations: document.annotations }),
  };
}

function isImageIndex(document: Manifest | ImageIndex): document is ImageIndex {
  return Array.isArray((document as ImageIndex).manifests);
}

/** Manifests and indexes in a repository: read with their digest checked, written with what they refer to announced. */
import { digestBy, digestOf } from '../bytes/hash.ts';
import { StowageError } from '../errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, isDigest, parseDigest } from '../oci/digest.ts';
import { bareMediaType, isIndex, isManifest, mediaTypes } from '../oci/media-types.ts';
import { type Answer, broken } from './failure.ts';
import { readObject } from './listing.ts';
import type { Registry } from './registry.ts';
import { retrying, Transient } from './retry.ts';
import { repositoryScope } from './scope.ts';

/** A manifest or an index as a registry holds it. */
export interface RemoteDocument {
  descriptor: Descriptor;
  bytes: Uint8Array;
}

/** Where a manifest is. `reference` is a tag or a digest. */
export function manifestUrl(registry: Registry, name: string, reference: string): URL {
  return new URL(`/v2/${name}/manifests/${reference}`, registry.origin);
}

/** For a request of which any of the known types is good. */
export const acceptDocuments: Readonly<Record<string, string>> = {
  Accept: [mediaTypes.manifest, mediaTypes.index, mediaTypes.docker.manifest, mediaTypes.docker.manifestList].join(
    ', ',
  ),
};

/**
 * A document by tag or digest, whose content has the digest that it was asked by, and that which the registry says; `undefined` where the registry
 * has none.
 *
 * @throws `DIGEST_MISMATCH`, `REGISTRY_INVALID` for what is no manifest, `MEDIA_TYPE_UNSUPPORTED` for Docker's schema 1.
 */
export async function getDocument(
  registry: Registry,
  name: string,
  reference: string,
  signal?: AbortSignal,
): Promise<RemoteDocument | undefined> {
  const answer = await registry.call({
    method: 'GET',
    url: manifestUrl(registry, name, reference),
    headers: acceptDocuments,
    scopes: [repositoryScope(name, 'pull')],
    accept: [200, 404],
    signal,
  });
  if (answer.status === 404) return undefined;
  const said = answer.headers.get('docker-content-digest') ?? undefined;
  const mediaType = documentType(registry, answer);
  const digest = isDigest(reference) ? reference : isDigest(said) ? said : digestOf(answer.bytes);
  for (const expected of new Set([digest, said])) {
    if (!isDigest(expected)) continue;
    const actual = await digestBy(parseDigest(expected).algorithm, answer.bytes);
    if (actual !== expected) throw wrongDigest(name, reference, expected, actual);
  }
  return { descriptor: { mediaType, digest, size: answer.bytes.length }, bytes: answer.bytes };
}

/** Puts a document under a tag or its own digest, and gives what the registry says it did about its subject: the header `OCI-Subject`. */
export async function putDocument(
  registry: Registry,
  name: string,
  document: RemoteDocument,
  reference: string,
  signal?: AbortSignal,
): Promise<{ subject: string | null }> {
  const { mediaType, digest } = document.descriptor;
  const url = manifestUrl(registry, name, reference);
  return retrying(registry.retrying, signal, async () => {
    try {
      const { headers } = await registry.call({
        method: 'PUT',
        url,
        headers: { 'Content-Type': bareMediaType(mediaType) },
        body: document.bytes,
        scopes: [repositoryScope(name, 'push')],
        // The specification has 201; some say 200 or 202.
        accept: [201, 200, 202],
        signal,
      });
      checkStored(url, headers, digest);
      return { subject: headers.get('oci-subject') };
    } catch (error) {
      // Altered on the way: what is in memory is right, and put again it mends a tag that was set to something else.
      if (error instanceof StowageError && isAboutContent(error)) throw new Transient(error);
      throw error;
    }
  });
}

function isAboutContent({ code, details }: StowageError): boolean {
  if (code === 'REGISTRY_INVALID') return details.actual !== undefined;
  return details.status === 400 && (details.registryCodes as string[]).some((said) => said === 'DIGEST_INVALID');
}

/** Refuses a registry's word that it stored something else. */
export function checkStored(url: URL, headers: Headers, digest: Digest): void {
  const said = headers.get('docker-content-digest');
  if (!isDigest(said) || parseDigest(said).algorithm !== parseDigest(digest).algorithm || said === digest) return;
  throw broken(url, `says that it stored ${said} where ${digest} was sent`, { expected: digest, actual: said });
}

function documentType(registry: Registry, answer: Answer): string {
  const announced = bareMediaType(answer.headers.get('content-type'));
  if (announced.startsWith('application/vnd.docker.distribution.manifest.v1'))
    throw new StowageError(
      'MEDIA_TYPE_UNSUPPORTED',
      `${answer.url.pathname} is a manifest of Docker's schema 1, which is not read here. Push the image anew with a current tool.`,
      { mediaType: announced },
    );
  const { mediaType: own } = readObject(registry, answer);
  const isDocument = (type: string): boolean => isManifest(type) || isIndex(type);
  if (typeof own === 'string' && isDocument(announced) && bareMediaType(own) !== announced)
    throw broken(answer.url, `is announced as ${announced}, but says that it is ${own.slice(0, 100)}`);
  if (typeof own === 'string' && isDocument(own)) return bareMediaType(own);
  if (isDocument(announced)) return announced;
  throw broken(answer.url, `answers with ${announced || 'content of no type'}, which is no manifest`);
}

function wrongDigest(name: string, reference: string, expected: string, actual: string): StowageError {
  return new StowageError(
    'DIGEST_MISMATCH',
    `${name} ${reference}: the manifest's digest is ${actual} instead of ${expected}. The registry, or what stands before it, altered it; fetch it again.`,
    { reference, expected, actual },
  );
}

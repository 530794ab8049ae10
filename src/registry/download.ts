/** A blob on its way from a registry: verified, and continued where a connection broke. */
import { toStream } from '../bytes/byte-source.ts';
import { verifyChunks } from '../bytes/hash.ts';
import type { ReadBlobOptions } from '../content/content.ts';
import { StowageError } from '../errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, isDigest, parseDigest } from '../oci/digest.ts';
import { followLocation } from './address.ts';
import { broken, disconnected } from './failure.ts';
import type { Registry } from './registry.ts';
import { pauseBefore, Transient } from './retry.ts';
import { repositoryScope } from './scope.ts';
import { type Exchange, redirectStatuses } from './transport.ts';

/** Where a blob is. Throws `DIGEST_INVALID`. */
export function blobUrl(registry: Registry, name: string, digest: Digest): URL {
  parseDigest(digest);
  return new URL(`/v2/${name}/blobs/${digest}`, registry.origin);
}

/** The blob's bytes, verified unless told; `undefined` where the repository does not hold it. Throws `SIZE_MISMATCH`, `DIGEST_MISMATCH` as the stream does. */
export async function openBlob(
  registry: Registry,
  name: string,
  descriptor: Descriptor,
  { signal, verify = true }: ReadBlobOptions,
): Promise<ReadableStream<Uint8Array> | undefined> {
  const first = await request(registry, name, descriptor, 0, signal);
  const { status } = first.response;
  try {
    if (status === 404) {
      await first.discard();
      return undefined;
    }
    checkAnnounced(first, descriptor);
  } catch (error) {
    await first.discard();
    throw error;
  }
  const chunks = resumed(registry, name, descriptor, first, signal);
  return toStream(verify ? verifyChunks(chunks, descriptor, `blob ${descriptor.digest}`) : chunks, () =>
    first.discard(),
  );
}

/** A request for a blob that is passed on to whoever asked for it. */
export interface BlobRequest {
  method: 'GET' | 'HEAD';
  /** The header `Range` as it came. */
  range?: string;
  /** Whether a redirect is an answer; else it is followed. Default false. */
  redirect?: boolean;
  signal?: AbortSignal;
}

/** What the registry answers, unread: 200, 206, 416, or where allowed a redirect with an absolute `Location`; `undefined` for 404. */
export async function fetchBlob(
  registry: Registry,
  name: string,
  digest: Digest,
  { method, range, redirect = false, signal }: BlobRequest,
): Promise<Response | undefined> {
  const exchange = await registry.open({
    method,
    url: blobUrl(registry, name, digest),
    headers: { 'Accept-Encoding': 'identity', ...(range !== undefined && { Range: range }) },
    scopes: [repositoryScope(name, 'pull')],
    accept: [200, 206, 404, 416, ...(redirect ? redirectStatuses : [])],
    redirects: redirect ? 'give' : 'follow',
    signal,
  });
  const { response, url } = exchange;
  const location = response.headers.get('location');
  if (response.status !== 404 && !redirectStatuses.includes(response.status)) return response;
  await exchange.discard();
  if (response.status === 404) return undefined;
  const target = followLocation(url, location, 'A redirect');
  return new Response(null, { status: response.status, headers: { Location: target.href } });
}

/** Bytes of a body that the answer's head announces; `undefined` where it does not, or only of an encoded form. */
export function announcedSize(headers: Headers): number | undefined {
  const length = headers.get('content-length');
  const encoding = headers.get('content-encoding') ?? 'identity';
  return length === null || encoding !== 'identity' || !/^\d{1,15}$/.test(length) ? undefined : Number(length);
}

async function* resumed(
  registry: Registry,
  name: string,
  descriptor: Descriptor,
  first: Exchange,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  let exchange = first;
  let offset = 0;
  // Of a registry that gives the whole blob again.
  let surplus = 0;
  let failures = 0;
  let progressed = 0;
  for (;;) {
    try {
      for await (const chunk of exchange.body()) {
        const skipped = Math.min(surplus, chunk.length);
        surplus -= skipped;
        offset += chunk.length - skipped;
        if (skipped < chunk.length) yield skipped === 0 ? chunk : chunk.subarray(skipped);
      }
      if (offset >= descriptor.size) return;
      throw new Transient(
        disconnected('GET', exchange.url, new Error(`it ended after ${offset} of ${descriptor.size} bytes`)),
      );
    } catch (error) {
      // A connection that brings something each time may break often, on the way to a large blob.
      if (offset - progressed >= 1024 * 1024) failures = 0;
      progressed = offset;
      await pauseBefore(error, failures++, registry.retrying, signal);
    }
    exchange = await request(registry, name, descriptor, offset, signal);
    surplus = exchange.response.status === 200 ? offset : 0;
  }
}

async function request(
  registry: Registry,
  name: string,
  descriptor: Descriptor,
  offset: number,
  signal: AbortSignal | undefined,
): Promise<Exchange> {
  const exchange = await registry.open({
    method: 'GET',
    url: blobUrl(registry, name, descriptor.digest),
    // Sizes and offsets are those of the blob, not of an encoding made for the way.
    headers: { 'Accept-Encoding': 'identity', ...(offset > 0 && { Range: `bytes=${offset}-` }) },
    scopes: [repositoryScope(name, 'pull')],
    accept: offset > 0 ? [200, 206] : [200, 404],
    signal,
  });
  if (exchange.response.status !== 206) return exchange;
  const range = exchange.response.headers.get('content-range');
  if (range?.startsWith(`bytes ${offset}-`)) return exchange;
  await exchange.discard();
  throw broken(exchange.url, `gives the range ${JSON.stringify(range)} where bytes from ${offset} on were asked for`);
}

/** Refuses what will not be the blob before any of it is read. */
function checkAnnounced({ response, url }: Exchange, { digest, size }: Descriptor): void {
  const said = response.headers.get('docker-content-digest');
  if (isDigest(said) && parseDigest(said).algorithm === parseDigest(digest).algorithm && said !== digest)
    throw new StowageError(
      'DIGEST_MISMATCH',
      `blob ${digest}: the registry says that it answers with ${said}. Nothing of it was read.`,
      { expected: digest, actual: said, url: url.origin + url.pathname },
    );
  const announced = announcedSize(response.headers);
  if (announced === undefined || announced === size) return;
  throw new StowageError(
    'SIZE_MISMATCH',
    `blob ${digest}: the registry announces ${announced} bytes where its descriptor says ${size}. The registry's copy is damaged, or the descriptor wrong.`,
    { digest, expected: size, actual: announced },
  );
}

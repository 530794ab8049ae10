/** A place of content as a repository to be read: a layout, an archive, a registry elsewhere, images rewritten on the way. */
import { readChunks, toStream } from '../bytes/byte-source.ts';
import { isDocument, readChildren, readDocument } from '../content/graph.ts';
import { StowageError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Span } from './byte-ranges.ts';
import type { ServedBlob, ServedRepository, ServedSource } from './served.ts';

/** Descriptors by repository and digest, from the manifests that were served: all that says how large a blob is. */
export type KnownBlobs = Map<string, Descriptor>;

export function contentRepository(
  source: ServedSource,
  name: string,
  options: { limits: Limits; known: KnownBlobs },
): ServedRepository {
  const { limits, known } = options;
  const remember = (document: Descriptor, bytes: Uint8Array): void => {
    if (source.stat !== undefined || !isDocument(document)) return;
    for (const child of readChildren(document, bytes, { limits })) {
      known.delete(`${name}@${child.digest}`);
      known.set(`${name}@${child.digest}`, child);
    }
    // A map keeps its order: the first is the one that was not named for the longest time.
    for (const key of known.keys()) {
      if (known.size <= maximumKnown) break;
      known.delete(key);
    }
  };
  const open = (descriptor: Descriptor, signal?: AbortSignal): ServedBlob => ({
    size: descriptor.size,
    read: async (span) => {
      const stream = await source.read(descriptor, { signal });
      return span.start === 0 && span.end === descriptor.size ? stream : sliced(stream, span);
    },
  });

  return {
    async manifest(reference, signal) {
      const descriptor = await source.resolve(reference, { signal });
      const read = async (): Promise<Uint8Array> => {
        const bytes = await readDocument(source, descriptor, { limits, signal });
        remember(descriptor, bytes);
        return bytes;
      };
      return {
        descriptor: { mediaType: descriptor.mediaType, digest: descriptor.digest, size: descriptor.size },
        read,
      };
    },

    async blob(digest, request) {
      const { signal } = request;
      const mediaType = 'application/octet-stream';
      const found = await source.stat?.(digest, { signal });
      if (found) return open({ mediaType, digest, size: found.size }, signal);
      if (source.fetchBlob) return source.fetchBlob(digest, request);
      const descriptor = known.get(`${name}@${digest}`);
      return descriptor && (await source.has(descriptor, { signal })) ? open(descriptor, signal) : undefined;
    },

    async tags(signal) {
      const listed = source.tags?.({ signal });
      if (listed === undefined) {
        const message = 'This place of content cannot list its tags.';
        throw new StowageError('NOT_FOUND', message, {});
      }
      const names: string[] = [];
      if (listed instanceof Promise) names.push(...(await listed).map((tag) => tag.name));
      else for await (const tag of listed) names.push(tag);
      return names;
    },

    referrers: async (digest: Digest, signal) => source.referrers?.(digest, { signal }),
  };
}

const maximumKnown = 10_000;

/** A part of a stream that can only be read from its start. What comes before is dropped, what comes after is not read. */
function sliced(stream: ReadableStream<Uint8Array>, span: Span): ReadableStream<Uint8Array> {
  async function* part(): AsyncGenerator<Uint8Array> {
    let offset = 0;
    for await (const chunk of readChunks(stream)) {
      const from = Math.max(0, span.start - offset);
      const to = Math.min(chunk.length, span.end - offset);
      if (from < to) yield chunk.subarray(from, to);
      offset += chunk.length;
      if (offset >= span.end) return;
    }
  }
  return toStream(part(), () => stream.cancel());
}

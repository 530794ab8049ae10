/** The content discovery category: tags, repositories and referrers, page by page. */
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { mediaTypes } from '../oci/media-types.ts';
import type { Context, PullContext } from './context.ts';
import { jsonResponse } from './json-response.ts';
import { refuse } from './protocol-error.ts';

/** end-8a, end-8b. */
export async function listTags(context: PullContext, name: string): Promise<Response> {
  const tags = await context.repository.tags(context.request.signal);
  if (!tags) throw refuse(404, 'NAME_UNKNOWN', 'There is no such repository.', { name });
  const { items, headers } = page(context, tags);
  return jsonResponse({ name, tags: items }, headers);
}

/** `_catalog`, which Docker's protocol has and the specification leaves open. */
export function listRepositories(context: Context, names: readonly string[]): Response {
  const { items, headers } = page(context, names);
  return jsonResponse({ repositories: items }, headers);
}

/** end-12a, end-12b. */
export async function listReferrers(context: PullContext, digest: Digest): Promise<Response> {
  const { url, repository, request, limits } = context;
  const found = await repository.referrers(digest, request.signal);
  if (!found)
    throw refuse(404, 'UNSUPPORTED', 'Referrers are not listed here. Look for them by the referrers tag schema.');
  const headers = new Headers({ 'Content-Type': mediaTypes.index, 'Cache-Control': 'no-cache' });
  const artifactType = url.searchParams.get('artifactType');
  let matching = found;
  if (artifactType) {
    matching = found.filter((descriptor) => descriptor.artifactType === artifactType);
    headers.set('OCI-Filters-Applied', 'artifactType');
  }
  const last = url.searchParams.get('last');
  const rest = last === null ? matching : matching.filter((descriptor) => descriptor.digest > last);
  const manifests = fitting(rest, limits.jsonBytes);
  if (manifests.length < rest.length) headers.set('Link', nextLink(url, manifests.at(-1)!.digest));
  return new Response(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }), { headers });
}

/** As many of the first as an index can hold that clients will read, but one at least. */
function fitting(descriptors: readonly Descriptor[], maximum: number): Descriptor[] {
  const envelope = 256;
  let bytes = envelope;
  const taken: Descriptor[] = [];
  for (const descriptor of descriptors) {
    bytes += new TextEncoder().encode(JSON.stringify(descriptor)).length + 1;
    if (taken.length > 0 && bytes > maximum) break;
    taken.push(descriptor);
  }
  return taken;
}

/** The part of a list that `n` and `last` ask for, in lexical order, with the link to the next. */
function page({ url }: Context, entries: readonly string[]): { items: string[]; headers: Headers } {
  const last = url.searchParams.get('last');
  const asked = url.searchParams.get('n');
  if (asked !== null && !/^\d{1,9}$/.test(asked))
    throw refuse(400, 'UNSUPPORTED', 'n is the number of entries wanted.', { n: asked });
  const sorted = [...entries].sort(lexically);
  const rest = last === null ? sorted : sorted.filter((entry) => lexically(entry, last) > 0);
  const count = asked === null ? rest.length : Number(asked);
  const items = rest.slice(0, count);
  const headers = new Headers({ 'Cache-Control': 'no-cache' });
  if (items.length > 0 && items.length < rest.length) headers.set('Link', nextLink(url, items.at(-1)!));
  return { items, headers };
}

/** distribution-spec, Listing Tags: without regard to case. Names that differ by nothing else come in ASCII order, so that each has a place. */
function lexically(one: string, other: string): number {
  const [left, right] = [one.toLowerCase(), other.toLowerCase()];
  if (left !== right) return left < right ? -1 : 1;
  return one < other ? -1 : Number(one > other);
}

/** RFC 8288 (which took the place of 5988): a reference relative to the request. */
function nextLink(url: URL, last: string): string {
  const parameters = new URLSearchParams(url.search);
  parameters.set('last', last);
  return `<${url.pathname}?${parameters}>; rel="next"`;
}

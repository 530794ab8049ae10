/** Lists that come in pages: tags, repositories, referrers. */

import { isObject } from '../oci/check.ts';
import { parseJson } from '../oci/json.ts';
import { type Answer, broken } from './failure.ts';
import { nextPage } from './link.ts';
import type { Registry } from './registry.ts';

interface Listing {
  url: URL;
  scopes: readonly string[];
  signal?: AbortSignal;
}

/** The names in `field` of each page. `missing` makes the error for a 404. */
export async function* listNames(
  registry: Registry,
  listing: Listing & { field: 'tags' | 'repositories'; missing?: (answer: Answer) => Error },
): AsyncGenerator<string, void, void> {
  const { field, missing } = listing;
  const url = new URL(listing.url);
  url.searchParams.set('n', String(pageSize));
  let previous: string | undefined;
  for await (const { answer, more } of listPages(registry, { ...listing, url, missing: missing !== undefined })) {
    if (answer.status === 404 && missing) throw missing(answer);
    const names = readNames(answer, field);
    // A registry that passes over `last` begins anew.
    if (previous !== undefined && names.includes(previous)) return;
    yield* names;
    const last = names.at(-1);
    // `Link` is newer than pages: without it, a full page may not be the last (distribution-spec, Listing Tags).
    if (names.length >= pageSize && last !== undefined && more.next === undefined) {
      previous = last;
      more.next = new URL(url);
      more.next.searchParams.set('last', last);
    }
  }
}

/** A page, and what comes after it, which the reader may set where the registry does not say. */
interface Page {
  answer: Answer;
  more: { next: URL | undefined };
}

/**
 * The pages of a list. A 404 is given out, where `missing` says that the caller knows it, as the only page.
 *
 * @throws `REGISTRY_INVALID` where a page comes again, or is on another origin.
 */
export async function* listPages(
  registry: Registry,
  listing: Listing & { missing?: boolean; headers?: Record<string, string> },
): AsyncGenerator<Page, void, void> {
  const { scopes, signal, missing = false, headers } = listing;
  const seen = new Set<string>();
  for (let url: URL | undefined = listing.url; url !== undefined; ) {
    if (seen.has(url.href) || seen.size >= registry.limits.graphNodes)
      throw broken(url, `is a page of a list that has no end: it was asked for before, after ${seen.size} pages`);
    seen.add(url.href);
    const accept = missing && seen.size === 1 ? [200, 404] : [200];
    const answer: Answer = await registry.call({ method: 'GET', url, scopes, accept, headers, signal });
    const more: Page['more'] = { next: answer.status === 200 ? nextPage(answer.headers.get('link'), url) : undefined };
    yield { answer, more };
    url = more.next;
  }
}

/** The object that an answer holds. @throws `REGISTRY_INVALID` for a page of HTML and the like. */
export function readObject(registry: Registry, { bytes, url, headers }: Answer): Record<string, unknown> {
  try {
    const value = parseJson(bytes, { what: 'the answer', limits: registry.limits });
    if (isObject(value)) return value;
  } catch {
    // Said below, with the address.
  }
  throw broken(url, `answers with ${headers.get('content-type') ?? 'what'}, which is no JSON object`);
}

/** What distribution gives at once at most; it refuses more. */
const pageSize = 1000;

function readNames(answer: Answer, field: string): string[] {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(answer.bytes));
  } catch {
    value = undefined;
  }
  const names = isObject(value) ? (value[field] ?? []) : undefined;
  if (Array.isArray(names) && names.every((name) => typeof name === 'string')) return names;
  throw broken(answer.url, `answers without a list of ${field}`);
}

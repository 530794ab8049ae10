/** The next page of a list: the `Link` header (RFC 8288, section 3) with `rel="next"`. */
import { StowageError } from '../errors.ts';
import { plainUrl } from './address.ts';

/** The target of the first link whose relation is `next`; `undefined` where there is none. */
export function parseNextLink(header: string | null): string | undefined {
  const scanner = /[\s,]*<([^>]*)>((?:\s*;\s*[\w!#$%&'*+.^`|~-]+\s*(?:=\s*(?:"(?:[^"\\]|\\.)*"|[^\s",;]*))?)*)/y;
  const text = (header ?? '').slice(0, 16384);
  for (let found = scanner.exec(text); found !== null; found = scanner.exec(text)) {
    const relation = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s",;]*))/i.exec(found[2] ?? '');
    if ((relation?.[1] ?? relation?.[2] ?? '').toLowerCase().split(/\s+/).includes('next')) return found[1];
  }
  return undefined;
}

/**
 * The URL of the next page. Only the registry itself may continue its list: whoever follows a link elsewhere sends
 * requests where the registry wants them.
 *
 * @throws `REGISTRY_INVALID` for a link to another origin.
 */
export function nextPage(header: string | null, from: URL): URL | undefined {
  const target = parseNextLink(header);
  if (target === undefined) return undefined;
  const next = URL.canParse(target, from) ? new URL(target, from) : undefined;
  if (next?.origin === from.origin) return next;
  throw new StowageError(
    'REGISTRY_INVALID',
    `${plainUrl(from)} continues its list at ${next ? next.origin : 'what is no URL'}, not on the registry itself. The list ends here; report it to the registry.`,
    { url: plainUrl(from) },
  );
}

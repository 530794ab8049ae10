/** What a registry asks for when it answers 401: the challenges of `WWW-Authenticate` (RFC 9110, section 11.6.1). */

/** One challenge. Scheme and parameter names are in lower case. */
export interface Challenge {
  scheme: string;
  parameters: Readonly<Record<string, string>>;
}

/**
 * The challenges of a header in their order. What breaks the grammar ends the list: no part of a header that is not
 * understood is acted upon.
 *
 * @example
 * parseChallenges('Bearer realm="https://auth.example/token",service="example"')[0]?.parameters.realm;
 */
export function parseChallenges(header: string | null): Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
  const text = (header ?? '').slice(0, maximumLength);
  const scanner =
    /[\s,]*(?:([\w!#$%&'*+.^`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,="]+))(?=[\s,]|$)|([\w!#$%&'*+.^`|~-]+)(?=\s|,|$))/y;
  while (scanner.lastIndex < text.length) {
    const [found, name, quoted, token, scheme] = scanner.exec(text) ?? [];
    if (found === undefined) break;
    if (scheme !== undefined) challenges.push({ scheme: scheme.toLowerCase(), parameters: Object.create(null) });
    else {
      const current = challenges.at(-1);
      if (current === undefined) break;
      // The first of two wins, so that nothing can be put over what was seen.
      current.parameters[name!.toLowerCase()] ??= quoted?.replace(/\\(.)/g, '$1') ?? token!;
    }
  }
  return challenges;
}

/** Far past honest headers; runtimes bound them as well. */
const maximumLength = 16384;

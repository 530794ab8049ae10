/** Who may do what: the user's own verification, asked in the forms in which registry clients present credentials. */
import { refuse } from './protocol-error.ts';

/** What a request came with; a header of another scheme, or one that breaks its grammar, counts as none. */
export type Credentials = { scheme: 'Basic'; username: string; password: string } | { scheme: 'Bearer'; token: string };

/** What a request wants. `ping` is `/v2/` itself, by which clients learn how to authenticate. */
export interface Access {
  action: 'ping' | 'catalog' | 'pull' | 'push' | 'delete';
  /** Absent for `ping` and `catalog`. */
  repository?: string;
}

/** `true` lets the request through, `false` asks for (other) credentials with 401, `denied` refuses with 403. */
export type Verdict = boolean | 'denied';

export interface Authentication {
  /** What clients are asked for. */
  scheme: 'Basic' | 'Bearer';
  /** For `Bearer` the URL of the token server (https, or http on loopback); for `Basic` any text. Default `registry`. */
  realm?: string;
  /** What a token server calls this registry. `Bearer` only. */
  service?: string;
  /**
   * Decides. `undefined` stands for a request without credentials: answer `true` to it where anonymous clients may. Compare secrets in
   * constant time. What it throws is answered with 500.
   */
  verify(credentials: Credentials | undefined, access: Access, request: Request): Verdict | Promise<Verdict>;
}

/** Throws the 401 with its challenge, or the 403. */
export async function authorize(
  authentication: Authentication | undefined,
  access: Access,
  request: Request,
): Promise<void> {
  if (authentication === undefined) return;
  const credentials = parseCredentials(request.headers.get('authorization'));
  const verdict = await authentication.verify(credentials, access, request);
  if (verdict === true) return;
  if (verdict === 'denied') throw refuse(403, 'DENIED', 'These credentials do not allow it.');
  throw refuse(401, 'UNAUTHORIZED', 'Authentication is required.', undefined, {
    'WWW-Authenticate': challenge(authentication, access, credentials),
  });
}

function parseCredentials(header: string | null): Credentials | undefined {
  const match = /^(basic|bearer) +(\S+)$/i.exec(header?.trim() ?? '');
  if (!match) return undefined;
  const value = match[2]!;
  if (match[1]!.toLowerCase() === 'bearer') return { scheme: 'Bearer', token: value };
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(
      Uint8Array.from(atob(value), (character) => character.charCodeAt(0)),
    );
    const colon = text.indexOf(':');
    return colon < 0 ? undefined : { scheme: 'Basic', username: text.slice(0, colon), password: text.slice(colon + 1) };
  } catch {
    return undefined;
  }
}

function challenge(authentication: Authentication, access: Access, credentials: Credentials | undefined): string {
  const { scheme, realm = 'registry', service } = authentication;
  const parameters: [string, string][] = [['realm', realm]];
  if (scheme === 'Basic') parameters.push(['charset', 'UTF-8']);
  else {
    if (service !== undefined) parameters.push(['service', service]);
    const scope = scopeOf(access);
    if (scope !== undefined) parameters.push(['scope', scope]);
    if (credentials?.scheme === 'Bearer') parameters.push(['error', 'insufficient_scope']);
  }
  const quoted = parameters.map(([name, value]) => `${name}="${value.replace(/["\\]/g, '\\$&')}"`);
  return `${scheme} ${quoted.join(',')}`;
}

/** In the form of Docker's token specification. */
function scopeOf({ action, repository }: Access): string | undefined {
  if (action === 'catalog') return 'registry:catalog:*';
  if (repository === undefined) return undefined;
  return `repository:${repository}:${action === 'push' ? 'pull,push' : action}`;
}

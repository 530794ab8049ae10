/**
 * Who is asking: answers to a registry's challenges. Basic (RFC 7617), and Bearer tokens from the registry's token server by the two flows
 * of distribution's token specification, a GET with a password or without, and OAuth2's POST with a refresh token.
 */
import { readBytes } from '../bytes/byte-source.ts';
import { StowageError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import { isObject } from '../oci/check.ts';
import { isConfidential, isLoopback, plainUrl } from './address.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import { broken, refused } from './failure.ts';
import { mayPass, parseRetryAfter, type RetryOptions, retrying, Transient } from './retry.ts';
import { widenScopes } from './scope.ts';
import { type Sending, send, type Transport } from './transport.ts';

/** What a registry knows the user by. `token` is sent as it is; `refreshToken` is an OAuth2 (identity) token that gets others. */
export type Credentials = { username: string; password: string } | { token: string } | { refreshToken: string };

/** Asked once for each registry (`docker.io`, `localhost:5000`), and again after it refused what was given. */
export type CredentialsCallback = (registry: string) => Credentials | undefined | Promise<Credentials | undefined>;

export interface AuthorizerOptions extends RetryOptions, Transport {
  registry: string;
  origin: URL;
  credentials: CredentialsCallback | undefined;
  limits: Limits;
}

/** The credentials and tokens for one registry. */
export class Authorizer {
  readonly #options: AuthorizerOptions;
  readonly #tokens = new Map<string, Promise<Token>>();
  /** By what was asked for: what had to be asked for instead. */
  readonly #widened = new Map<string, readonly string[]>();
  #challenge: Challenge | undefined;
  #credentials: Promise<Credentials | undefined> | undefined;
  #refreshToken: string | undefined;

  constructor(options: AuthorizerOptions) {
    this.#options = options;
  }

  /** The `Authorization` for a request that needs these scopes; `undefined` while the registry has not asked for one. */
  async authorize(scopes: readonly string[], signal?: AbortSignal): Promise<string | undefined> {
    const challenge = this.#challenge;
    if (challenge === undefined) return undefined;
    const credentials = await within(this.#ask(), signal);
    if (challenge.scheme === 'basic') {
      if (credentials && 'username' in credentials) return basic(credentials);
      throw unauthorized(
        this.#options.registry,
        'asks for a user name and password, and the credentials callback gave none',
      );
    }
    if (credentials && 'token' in credentials) return bearer(credentials.token, this.#options.registry);
    const token = await within(this.#token(challenge, scopes, credentials), signal);
    return bearer(token.value, this.#options.registry);
  }

  /**
   * Learns from an answer of 401 to a request that carried `sent`. True where it is worth asking once more.
   *
   * @throws `UNAUTHORIZED` where credentials may not be sent to this registry or its token server.
   */
  learn(header: string | null, scopes: readonly string[], sent: string | undefined): boolean {
    const challenges = parseChallenges(header);
    const challenge =
      challenges.find(({ scheme, parameters }) => scheme === 'bearer' && parameters.realm !== undefined) ??
      challenges.find(({ scheme }) => scheme === 'basic');
    if (challenge === undefined) return false;
    if (!isConfidential(this.#options.origin))
      throw unauthorized(
        this.#options.registry,
        'asks for credentials over plain http, where they are never sent: use https',
      );
    this.#challenge = challenge;
    if (sent === undefined) return true;
    const key = scopes.join(' ');
    const widened = widenScopes(this.#widened.get(key) ?? scopes, challenge.parameters.scope);
    this.#tokens.clear();
    if (challenge.scheme === 'basic') {
      // What was refused once is asked for again next time: it may have been renewed.
      this.#credentials = undefined;
      return !sent.startsWith('Basic');
    }
    this.#widened.set(key, widened);
    return true;
  }

  #ask(): Promise<Credentials | undefined> {
    const { credentials, registry } = this.#options;
    this.#credentials ??= Promise.resolve(credentials?.(registry)).catch((error: unknown) => {
      this.#credentials = undefined;
      throw error;
    });
    return this.#credentials;
  }

  #token(challenge: Challenge, scopes: readonly string[], credentials: Credentials | undefined): Promise<Token> {
    const asked = this.#widened.get(scopes.join(' ')) ?? scopes;
    const { realm, service } = challenge.parameters;
    const key = JSON.stringify([realm, service, asked]);
    const fetched = (): Promise<Token> => {
      const token = this.#fetchToken(challenge, asked, credentials);
      this.#tokens.set(key, token);
      token.catch(() => {
        if (this.#tokens.get(key) === token) this.#tokens.delete(key);
        this.#credentials = undefined;
      });
      return token;
    };
    const held = this.#tokens.get(key);
    if (held === undefined) return fetched();
    return held.then((token) => {
      if (token.expires > Date.now()) return token;
      // Of those who wait for it, the first to see that it has expired fetches the next.
      const renewed = this.#tokens.get(key);
      return renewed === undefined || renewed === held ? fetched() : renewed;
    });
  }

  /** Without a signal of a caller: others may wait for the same token. */
  async #fetchToken(
    challenge: Challenge,
    scopes: readonly string[],
    credentials: Credentials | undefined,
  ): Promise<Token> {
    const realm = this.#realm(challenge.parameters.realm);
    const fields = new URLSearchParams();
    if (challenge.parameters.service !== undefined) fields.set('service', challenge.parameters.service);
    const refreshToken =
      this.#refreshToken ?? (credentials && 'refreshToken' in credentials ? credentials.refreshToken : undefined);
    let sending: Sending;
    if (refreshToken !== undefined) {
      fields.set('grant_type', 'refresh_token');
      fields.set('client_id', 'stowage');
      fields.set('refresh_token', refreshToken);
      fields.set('scope', scopes.join(' '));
      const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
      sending = { method: 'POST', url: realm, headers, body: fields.toString() };
    } else {
      for (const scope of scopes) fields.append('scope', scope);
      const url = new URL(`${realm.href}${realm.search === '' ? '?' : '&'}${fields}`);
      const authorization = credentials && 'username' in credentials ? basic(credentials) : undefined;
      sending = { method: 'GET', url, authorization };
    }
    const body = await this.#callRealm(sending, [
      refreshToken ?? '',
      sending.authorization ?? '',
      ...secretsOf(credentials),
    ]);
    const value = body.token || body.access_token;
    if (typeof value !== 'string' || value === '') throw broken(realm, 'answers without a token');
    if (typeof body.refresh_token === 'string' && refreshToken !== undefined) this.#refreshToken = body.refresh_token;
    const seconds = typeof body.expires_in === 'number' && body.expires_in > 0 ? body.expires_in : 60;
    // Given up a little early, for the time that a request is under way.
    return { value, expires: Date.now() + seconds * 1000 - Math.min(10_000, seconds * 200) };
  }

  async #callRealm(sending: Sending, secrets: readonly string[]): Promise<Record<string, unknown>> {
    const { limits } = this.#options;
    return retrying(this.#options, undefined, async () => {
      const exchange = await send(this.#options, sending);
      const { status, headers } = exchange.response;
      const what = `the answer of ${plainUrl(sending.url)}`;
      const bytes = await readBytes(exchange.body(), { maximum: limits.jsonBytes, limit: 'jsonBytes', what });
      if (status !== 200) {
        const options = { secrets, code: status < 500 && status !== 429 ? ('UNAUTHORIZED' as const) : undefined };
        const failure = refused(sending.method, { status, headers, bytes, url: sending.url }, options);
        throw mayPass(status) ? new Transient(failure, parseRetryAfter(headers.get('retry-after'))) : failure;
      }
      const body = parseObject(bytes);
      if (body === undefined) throw broken(sending.url, 'answers with what is no JSON object');
      return body;
    });
  }

  /** The token server. https, but a registry on loopback may have one on loopback too. */
  #realm(text: string | undefined): URL {
    const { registry, origin } = this.#options;
    const realm = text !== undefined && URL.canParse(text) ? new URL(text) : undefined;
    if (realm === undefined || realm.username !== '' || realm.password !== '')
      throw unauthorized(registry, 'names a token server whose address is no plain URL');
    if (realm.protocol === 'https:' || (isConfidential(realm) && isLoopback(origin.host))) return realm;
    throw unauthorized(
      registry,
      `names the token server ${plainUrl(realm)}, which is not https, and so is given no credentials`,
    );
  }
}

/** What must not be shown, should an answer repeat it. */
export function secretsOf(credentials: Credentials | undefined): string[] {
  return Object.entries(credentials ?? {}).flatMap(([name, value]) => (name === 'username' ? [] : [String(value)]));
}

interface Token {
  value: string;
  /** Milliseconds since the epoch. */
  expires: number;
}

function basic({ username, password }: { username: string; password: string }): string {
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  return `Basic ${btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))}`;
}

function bearer(token: string, registry: string): string {
  // A runtime's complaint about a header would show it whole.
  if (!/^[\x21-\x7e]+$/.test(token))
    throw unauthorized(registry, 'cannot be given its token, which no header can carry');
  return `Bearer ${token}`;
}

function unauthorized(registry: string, problem: string): StowageError {
  return new StowageError('UNAUTHORIZED', `The registry ${registry} ${problem}.`, { registry });
}

/** The shared promise, given up by this caller alone when its signal is aborted. */
async function within<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  promise.catch(() => {});
  signal.throwIfAborted();
  let onAbort = (): void => {};
  try {
    return await Promise.race([
      promise,
      new Promise<never>((_, reject) => {
        onAbort = () => reject(signal.reason);
        signal.addEventListener('abort', onAbort, { once: true });
      }),
    ]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function parseObject(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

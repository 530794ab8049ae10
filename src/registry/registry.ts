/** A registry as a place to send requests to: one set of credentials, tokens and retries for all its repositories. */
import { readBytes } from '../bytes/byte-source.ts';
import { requestStreaming } from '../bytes/request-streaming.ts';
import { StowageError } from '../errors.ts';
import { type Limits, resolveLimits } from '../limits.ts';
import { parseReference } from '../oci/reference.ts';
import { registryOrigin } from './address.ts';
import { Authorizer, type CredentialsCallback, secretsOf } from './auth.ts';
import { type Answer, refused } from './failure.ts';
import { listNames } from './listing.ts';
import { parseRateLimit, parseWarnings, type RateLimit } from './notices.ts';
import { mayPass, parseRetryAfter, type RetryOptions, retrying, Transient } from './retry.ts';
import { catalogScope } from './scope.ts';
import { type Exchange, type Fetch, type Sending, send, type Transport } from './transport.ts';

export interface RegistryOptions {
  /** Who the user is; default: nobody, which is enough to pull what is public. */
  credentials?: CredentialsCallback;
  /** In place of the runtime's own. It must heed `redirect: 'manual'`, and take streams as bodies unless `streamUploads` is false. */
  fetch?: Fetch;
  /** http in place of https. Default: for loopback hosts only. No credentials go over http to any other host. */
  plainHttp?: boolean;
  /** Tries after the first, where repeating is safe. Default 4. */
  retries?: number;
  /** Milliseconds of the first wait between tries, at most; it doubles up to ten seconds. Default 250. */
  retryDelay?: number;
  /** Milliseconds without a byte after which a connection counts as broken. Default 60,000. */
  timeout?: number;
  /**
   * Whether a blob that is known by digest and size, and can be read again, goes up in one request while it is read, with next to nothing of it in
   * memory. Where the registry refuses that, it goes in chunks. Default: where the runtime can (Node, Deno, Bun, workerd; browsers cannot).
   */
  streamUploads?: boolean;
  /**
   * Bytes of one request of an upload in chunks. What is smaller goes in one; of what is larger, two such chunks are in memory at a time. Raised to
   * what the registry asks for. Default 8 MiB.
   */
  chunkSize?: number;
  /** Told what the registry says of its limits, with each answer that does. */
  onRateLimit?: (rateLimit: RateLimit) => void;
  /** Told each warning of the registry once. */
  onWarning?: (text: string) => void;
  limits?: Partial<Limits>;
}

/** A request to a registry, and which answers are good. */
export interface RegistryRequest extends Omit<Sending, 'authorization'> {
  scopes: readonly string[];
  /** Statuses that are good. Others throw; 404 is listed where the caller knows what to make of it. */
  accept: readonly number[];
  /** False where repeating is not safe: then a failure that may pass is thrown as `Transient`. Default true. */
  repeat?: boolean;
}

/**
 * A registry. Repositories that share one share its tokens.
 *
 * @example
 * const registry = new Registry('localhost:5000', { credentials: () => ({ username: 'me', password: 'secret' }) });
 * const repository = new RemoteRepository('localhost:5000/team/app', registry);
 * @throws `REFERENCE_INVALID` for what is no host, or host and port.
 */
export class Registry {
  /** As references name it: `docker.io`, `localhost:5000`. */
  readonly host: string;
  readonly origin: URL;
  readonly limits: Limits;
  readonly chunkSize: number;
  /** Whether uploads are streamed: no more once the registry has refused one. @internal */
  streamUploads: boolean;
  readonly #transport: Transport & RetryOptions;
  readonly #authorizer: Authorizer;
  readonly #options: RegistryOptions;
  readonly #warned = new Set<string>();
  #rateLimit: RateLimit | undefined;

  constructor(host: string, options: RegistryOptions = {}) {
    // A name of the Docker Hub alone would pass for a repository: the registry must be what comes out.
    const { registry } = parseReference(`${host}/repository`);
    if (registry !== host && host !== 'index.docker.io')
      throw new StowageError(
        'REFERENCE_INVALID',
        `${JSON.stringify(host)} is no registry. Give a host such as ghcr.io or localhost:5000.`,
        { host },
      );
    this.host = registry;
    this.origin = registryOrigin(registry, options.plainHttp);
    this.limits = resolveLimits(options.limits);
    this.chunkSize = options.chunkSize ?? 8 * 1024 * 1024;
    if (!Number.isSafeInteger(this.chunkSize) || this.chunkSize < 1)
      throw new StowageError('ARGUMENT_INVALID', 'chunkSize must be a whole number of bytes, at least 1.');
    this.streamUploads = options.streamUploads ?? requestStreaming() !== undefined;
    this.#options = options;
    const { retries = 4, retryDelay = 250, timeout = 60_000 } = options;
    this.#transport = { fetch: options.fetch ?? ((url, init) => fetch(url, init)), timeout, retries, retryDelay };
    const { origin, limits } = this;
    this.#authorizer = new Authorizer({
      ...this.#transport,
      registry,
      origin,
      credentials: options.credentials && this.#remembering(options.credentials),
      limits,
    });
  }

  /** What the registry last said of its limits; `undefined` where it has said nothing. */
  get rateLimit(): RateLimit | undefined {
    return this.#rateLimit;
  }

  /** How often and when to try again. */
  get retrying(): RetryOptions {
    return this.#transport;
  }

  /** Names of the repositories. Many registries do not tell (`REGISTRY_FAILED`, `UNAUTHORIZED`). */
  catalog(options: { signal?: AbortSignal } = {}): AsyncGenerator<string, void, void> {
    const url = new URL('/v2/_catalog', this.origin);
    return listNames(this, { url, field: 'repositories', scopes: [catalogScope], signal: options.signal });
  }

  /**
   * Sends a request and reads the answer whole, up to `limits.jsonBytes`.
   *
   * @internal
   */
  call(request: RegistryRequest): Promise<Answer> {
    return this.#repeating(request, async () => {
      const exchange = await this.#authorized(request);
      const answer = await this.#read(exchange, this.limits.jsonBytes);
      this.#check(request, answer);
      return answer;
    });
  }

  /**
   * Sends a request and leaves the body of a good answer to the caller, who must read or discard it.
   *
   * @internal
   */
  open(request: RegistryRequest): Promise<Exchange> {
    return this.#repeating(request, async () => {
      const exchange = await this.#authorized(request);
      if (!request.accept.includes(exchange.response.status))
        this.#check(request, await this.#read(exchange, this.limits.jsonBytes));
      return exchange;
    });
  }

  #repeating<T>(request: RegistryRequest, attempt: () => Promise<T>): Promise<T> {
    return request.repeat === false ? attempt() : retrying(this.#transport, request.signal, attempt);
  }

  async #authorized(request: RegistryRequest): Promise<Exchange> {
    const { origin } = this.origin;
    const isOwn = request.url.origin === origin;
    for (let asked = 0; ; asked++) {
      const authorization = isOwn ? await this.#authorizer.authorize(request.scopes, request.signal) : undefined;
      const exchange = await send(this.#transport, { ...request, authorization });
      const { status, headers } = exchange.response;
      this.#notice(headers);
      if (status !== 401 || !isOwn || exchange.url.origin !== origin || asked === 2) return exchange;
      try {
        if (!this.#authorizer.learn(headers.get('www-authenticate'), request.scopes, authorization)) return exchange;
      } catch (error) {
        await exchange.discard();
        throw error;
      }
      await exchange.discard();
    }
  }

  async #read(exchange: Exchange, maximum: number): Promise<Answer> {
    const { status, headers } = exchange.response;
    const bytes = await readBytes(exchange.body(), { maximum, limit: 'jsonBytes', what: `the answer of ${this.host}` });
    return { status, headers, bytes, url: exchange.url };
  }

  #check({ accept, method }: RegistryRequest, answer: Answer): void {
    if (accept.includes(answer.status)) return;
    const failure = refused(method, answer, { secrets: this.#secrets });
    if (mayPass(answer.status)) throw new Transient(failure, parseRetryAfter(answer.headers.get('retry-after')));
    throw failure;
  }

  #notice(headers: Headers): void {
    const rateLimit = parseRateLimit(headers);
    if (rateLimit) {
      this.#rateLimit = rateLimit;
      this.#options.onRateLimit?.(rateLimit);
    }
    if (!this.#options.onWarning) return;
    for (const text of parseWarnings(headers)) {
      if (this.#warned.has(text) || this.#warned.size > 1000) continue;
      this.#warned.add(text);
      this.#options.onWarning(text);
    }
  }

  #secrets: readonly string[] = [];

  /** What was given is remembered only to be cut out of what the registry may say of it. */
  #remembering(credentials: CredentialsCallback): CredentialsCallback {
    return async (registry) => {
      const given = await credentials(registry);
      this.#secrets = secretsOf(given);
      return given;
    };
  }
}

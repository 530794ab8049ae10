/** One request and its answer: redirects followed by our own rules, silence bounded, credentials kept to the registry. */
import { readChunks, toStream } from '../bytes/byte-source.ts';
import { requestStreaming } from '../bytes/request-streaming.ts';
import { followLocation, isConfidential } from './address.ts';
import { broken, disconnected } from './failure.ts';
import { Transient } from './retry.ts';

/** The part of `fetch` that is used. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface Transport {
  fetch: Fetch;
  /** Milliseconds without a byte after which a connection counts as broken. */
  timeout: number;
}

export interface Sending {
  method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  url: URL;
  headers?: Readonly<Record<string, string>>;
  /** Value of `Authorization`; goes to the origin of `url` and nowhere else. */
  authorization?: string;
  /** Of what is sent while it is made, the function opens the bytes, anew for each try. */
  body?: Uint8Array | string | (() => AsyncIterable<Uint8Array>);
  /** What to do about a redirect: default `follow`; `give` makes it the answer. */
  redirects?: 'follow' | 'give';
  /** How much longer than `timeout` the answer may take, as a factor. */
  patience?: number;
  signal?: AbortSignal;
}

/** An answer whose body has not been read yet: it must be, or discarded. */
export interface Exchange {
  response: Response;
  /** Where the answer came from, after redirects. */
  url: URL;
  /** The body, once. Fails with `Transient` where the connection breaks or stalls, with the signal's reason where that is aborted. */
  body(): AsyncGenerator<Uint8Array, void, void>;
  /** Lets go of a body that is not wanted. */
  discard(): Promise<void>;
}

/**
 * Sends a request and follows up to ten redirects. `Authorization` never goes to another origin than the request's, and never over http but to
 * loopback. Browsers do not show redirects to a page: there the platform follows, and by the fetch standard drops `Authorization` where the
 * origin changes.
 *
 * @throws Transient where the connection fails; `REGISTRY_INVALID` for endless redirects and those that lead where none may.
 */
export async function send(transport: Transport, sending: Sending): Promise<Exchange> {
  let { url } = sending;
  for (let redirects = 0; redirects <= maximumRedirects; redirects++) {
    const authorization = url.origin === sending.url.origin && isConfidential(url) ? sending.authorization : undefined;
    const exchange = await exchangeOnce(transport, { ...sending, url, authorization }, 'manual');
    const { status, type, headers } = exchange.response;
    if (type === 'opaqueredirect') {
      if (!isReading(sending.method)) throw broken(url, 'redirects an upload, which pages in a browser cannot follow');
      return exchangeOnce(transport, { ...sending, url, authorization }, 'follow');
    }
    if (!redirectStatuses.includes(status) || sending.redirects === 'give') return exchange;
    await exchange.discard();
    // With these three, clients differ in whether the method and the body survive.
    if (status < 307 && !isReading(sending.method)) throw broken(url, `redirects ${sending.method} with ${status}`);
    url = followLocation(url, headers.get('location'), 'A redirect');
  }
  throw broken(sending.url, `redirects more than ${maximumRedirects} times`);
}

/** Answers that lead elsewhere. */
export const redirectStatuses: readonly number[] = [301, 302, 303, 307, 308];

const maximumRedirects = 10;

function isReading(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}

async function exchangeOnce(transport: Transport, sending: Sending, redirect: 'manual' | 'follow'): Promise<Exchange> {
  const { method, url, authorization, body, signal } = sending;
  signal?.throwIfAborted();
  const watch = new Watch(signal);
  const isStreamed = typeof body === 'function';
  let isAnswered = false;
  /** Fetch asks for the next chunk when it has got rid of the last: until then it is to give a sign of life, after that the source. */
  async function* watched(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
    for await (const chunk of chunks) {
      if (!isAnswered) watch.start(transport.timeout);
      yield chunk;
      if (!isAnswered) watch.stop();
    }
    if (!isAnswered) watch.start(transport.timeout * (sending.patience ?? 1));
  }
  try {
    // Fetch says nothing of how far a body has come, so that a slow one gets time by its size: 16 kB a second will do.
    watch.start(transport.timeout * (sending.patience ?? 1) + (isStreamed ? 0 : (body?.length ?? 0) / 16));
    const response = await Promise.race([
      transport.fetch(url.href, {
        method,
        headers: { ...sending.headers, ...(authorization !== undefined && { Authorization: authorization }) },
        body: isStreamed ? toStream(watched(body())) : (body as BodyInit | undefined),
        redirect,
        ...(isStreamed && { duplex: 'half', ...requestStreaming() }),
        signal: watch.signal,
      }),
      watch.ended,
    ]);
    isAnswered = true;
    watch.stop();
    return opened(response, transport, sending, watch);
  } catch (error) {
    isAnswered = true;
    watch.release();
    signal?.throwIfAborted();
    throw new Transient(disconnected(method, url, watch.reason ?? error));
  }
}

function opened(response: Response, transport: Transport, sending: Sending, watch: Watch): Exchange {
  const { method, url, signal } = sending;
  const final = response.url && URL.canParse(response.url) ? new URL(response.url) : url;
  async function* body(): AsyncGenerator<Uint8Array, void, void> {
    try {
      if (response.body === null) return;
      const chunks = readChunks(response.body, { signal: watch.signal })[Symbol.asyncIterator]();
      try {
        for (;;) {
          // Only while waiting: how long the reader takes over a chunk is its own affair.
          watch.start(transport.timeout);
          const { done, value } = await chunks.next();
          watch.stop();
          if (done) return;
          yield value;
        }
      } finally {
        await chunks.return?.();
      }
    } catch (error) {
      signal?.throwIfAborted();
      throw new Transient(disconnected(method, final, watch.reason ?? error));
    } finally {
      watch.release();
    }
  }
  return {
    response,
    url: final,
    body,
    async discard() {
      try {
        // A short body is read to its end, since that keeps the connection for the next request.
        const short = Number(response.headers.get('content-length') ?? Number.NaN) <= 4096;
        if (short && !response.bodyUsed) for await (const _ of body());
        else await response.body?.cancel();
      } catch {
        // It is of no interest how a body ends that nobody wants.
      } finally {
        watch.release();
      }
    },
  };
}

/** Ends a request that is aborted or gives no sign of life. */
class Watch {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #onAbort = (): void => this.#controller.abort(this.#outer?.reason);
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer ends, by the monotonic clock. */
  #due = Number.POSITIVE_INFINITY;
  /** The silence that is borne now, and when it will have lasted too long; `undefined` while nothing is waited for. */
  #silence: { milliseconds: number; deadline: number } | undefined;
  /** Why it was ended for silence. */
  reason: Error | undefined;
  /** Rejects once it is ended: not every `fetch` heeds its signal. */
  readonly ended: Promise<never>;

  constructor(signal: AbortSignal | undefined) {
    this.#outer = signal;
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    this.ended = new Promise((_, reject) => {
      this.#controller.signal.addEventListener('abort', () => reject(this.#controller.signal.reason), { once: true });
    });
    this.ended.catch(() => {});
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Bears silence for so long, from now until `stop`. Called for each chunk, so one timer does for many: it looks anew when it ends. */
  start(milliseconds: number): void {
    const deadline = performance.now() + milliseconds;
    this.#silence = { milliseconds, deadline };
    if (deadline < this.#due) this.#arm(milliseconds);
  }

  stop(): void {
    this.#silence = undefined;
  }

  #arm(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#due = performance.now() + milliseconds;
    this.#timer = setTimeout(() => {
      this.#due = Number.POSITIVE_INFINITY;
      if (this.#silence === undefined) return;
      const left = this.#silence.deadline - performance.now();
      if (left > 0) return this.#arm(left);
      this.reason = new Error(`nothing came for ${Math.round(this.#silence.milliseconds / 1000)} seconds`);
      this.#controller.abort(this.reason);
    }, milliseconds);
  }

  release(): void {
    this.stop();
    clearTimeout(this.#timer);
    this.#due = Number.POSITIVE_INFINITY;
    this.#outer?.removeEventListener('abort', this.#onAbort);
  }
}

/** Trying again: when, how often, how long to wait. Only what is safe to repeat is handed in here. */
import type { StowageError } from '../errors.ts';

export interface RetryOptions {
  /** Tries after the first. */
  retries: number;
  /** Milliseconds of the first wait, at most; it doubles with each. */
  retryDelay: number;
}

/** A failure that may pass. Never leaves the room: `failure` is what is thrown once the tries are used up. */
export class Transient extends Error {
  readonly failure: StowageError;
  /** Milliseconds that the registry asks to wait for. */
  readonly retryAfter: number | undefined;

  constructor(failure: StowageError, retryAfter?: number) {
    super(failure.message);
    this.failure = failure;
    this.retryAfter = retryAfter;
  }
}

/** Calls `attempt` until it does not fail with `Transient`. */
export async function retrying<T>(
  options: RetryOptions,
  signal: AbortSignal | undefined,
  attempt: () => Promise<T>,
): Promise<T> {
  for (let tried = 0; ; tried++) {
    try {
      return await attempt();
    } catch (error) {
      await pauseBefore(error, tried, options, signal);
    }
  }
}

/**
 * Waits before the next try, after `tried` earlier failures. Throws what failed where there is no next: for what does not pass, after the last try,
 * and where the registry asks for more than a minute.
 */
export async function pauseBefore(
  error: unknown,
  tried: number,
  options: RetryOptions,
  signal: AbortSignal | undefined,
): Promise<void> {
  signal?.throwIfAborted();
  if (!(error instanceof Transient)) throw error;
  if (tried >= options.retries || (error.retryAfter ?? 0) > longestWait) throw error.failure;
  await wait(error.retryAfter ?? backoff(tried, options.retryDelay), signal);
}

/** Full jitter: clients that failed together do not come back together. */
export function backoff(tried: number, first: number, random: () => number = Math.random): number {
  return random() * Math.min(first * 2 ** tried, longestBackoff);
}

/** Milliseconds that `Retry-After` asks for (RFC 9110, section 10.2.3): seconds, or a date; `undefined` for what is neither. */
export function parseRetryAfter(header: string | null, now: number = Date.now()): number | undefined {
  const text = header?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  if (!/^[A-Z][a-z]{2,8}, ?\d/.test(text)) return undefined;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** Statuses that say that the same request may succeed later. */
export function mayPass(status: number): boolean {
  return [408, 429, 500, 502, 503, 504].includes(status);
}

/** Ends at once, with its reason, where `signal` is aborted. */
export async function wait(milliseconds: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  let stop = (): void => {};
  try {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(resolve, milliseconds);
      const onAbort = (): void => reject(signal?.reason);
      signal?.addEventListener('abort', onAbort, { once: true });
      stop = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      };
    });
  } finally {
    stop();
  }
}

const longestBackoff = 10_000;
const longestWait = 60_000;

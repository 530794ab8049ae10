/** Whether, and how, the runtime's `fetch` sends a body while that is being made. */
import { isDeno, processLike } from './runtime.ts';

/**
 * What `fetch` must be told so that it sends a body while that is being made; `undefined` where it cannot: a browser can over HTTP/2 alone. Node
 * keeps aside all that it sends, for a redirect that may come, unless redirects are errors; and only a request without a window takes that into account.
 */
export function requestStreaming(): Record<string, unknown> | undefined {
  const { bun, undici } = processLike()?.versions ?? {};
  if (isDeno() || bun !== undefined || userAgent() === 'Cloudflare-Workers') return { duplex: 'half' };
  return undici === undefined ? undefined : { duplex: 'half', redirect: 'error', window: null };
}

function userAgent(): string | undefined {
  return (globalThis as { navigator?: { userAgent?: string } }).navigator?.userAgent;
}

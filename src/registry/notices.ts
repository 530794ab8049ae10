/** What registries say beside the matter: rate limits and warnings. */

/** How much more a registry will answer, as it says itself; what it does not say is left out. */
export interface RateLimit {
  /** Requests in one window. */
  limit?: number;
  remaining?: number;
  /** Seconds of the window. */
  window?: number;
  /** What is counted: an address or a user, in the registry's words. */
  source?: string;
}

/** From `RateLimit-Limit: 100;w=21600` and its kin, with `X-` before them or without; `undefined` where nothing is said. */
export function parseRateLimit(headers: Headers): RateLimit | undefined {
  const field = (name: string): string | null => headers.get(`ratelimit-${name}`) ?? headers.get(`x-ratelimit-${name}`);
  const number = (text: string | null | undefined): number | undefined => {
    const digits = /^\s*(\d{1,15})/.exec(text ?? '')?.[1];
    return digits === undefined ? undefined : Number(digits);
  };
  const limit = number(field('limit'));
  const remaining = number(field('remaining'));
  if (limit === undefined && remaining === undefined) return undefined;
  const window = number(/;\s*w=(\d+)/.exec(field('limit') ?? field('remaining') ?? '')?.[1]);
  const source = headers.get('docker-ratelimit-source') ?? undefined;
  return {
    ...(limit !== undefined && { limit }),
    ...(remaining !== undefined && { remaining }),
    ...(window !== undefined && { window }),
    ...(source !== undefined && { source }),
  };
}

/** The texts of `Warning: 299 - "…"` (distribution-spec, Warnings). */
export function parseWarnings(headers: Headers): string[] {
  const text = (headers.get('warning') ?? '').slice(0, 8192);
  return [...text.matchAll(/299 - "((?:[^"\\]|\\.)*)"/g)].map(([, quoted]) => quoted!.replace(/\\(.)/g, '$1'));
}

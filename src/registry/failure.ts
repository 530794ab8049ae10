/** What a registry says when it refuses, as errors: its own codes, the status, and the URL without secrets. */
import { type ErrorCode, StowageError } from '../errors.ts';
import { isObject } from '../oci/check.ts';
import { plainUrl } from './address.ts';
import { parseRetryAfter } from './retry.ts';

/** An answer, read whole. */
export interface Answer {
  status: number;
  headers: Headers;
  bytes: Uint8Array;
  /** Where it came from, after redirects. */
  url: URL;
}

/**
 * The error for an answer that is no success. `details` holds `status`, `url`, `registryCodes` (distribution-spec, Error Codes) and,
 * where it is said, `retryAfter` in seconds.
 * `secrets` are cut out of what the registry says, should it repeat them.
 */
export function refused(
  method: string,
  answer: Answer,
  options: { code?: ErrorCode; secrets?: readonly string[]; advice?: string } = {},
): StowageError {
  const { status, url, headers } = answer;
  const wait = parseRetryAfter(headers.get('retry-after'));
  const errors = parseErrors(answer);
  const registryCodes = errors.map(({ code }) => code);
  const said = errors.map(({ code, message }) => [code, message].filter((part) => part !== '').join(': ')).join('; ');
  const code = options.code ?? (status === 401 || status === 403 ? 'UNAUTHORIZED' : 'REGISTRY_FAILED');
  const words = hide(said, options.secrets ?? []);
  return new StowageError(
    code,
    `${method} ${plainUrl(url)}: the registry answered ${status}${words === '' ? '' : ` (${words})`}. ${options.advice ?? advise(status)}`,
    {
      status,
      method,
      url: plainUrl(url),
      registryCodes,
      ...(wait !== undefined && { retryAfter: Math.ceil(wait / 1000) }),
    },
  );
}

/** The error for an answer that breaks the protocol: `problem` goes on after the URL, as in `is no JSON`. */
export function broken(url: URL, problem: string, details: Record<string, unknown> = {}): StowageError {
  return new StowageError(
    'REGISTRY_INVALID',
    `${plainUrl(url)} ${problem}. This is not what a registry answers: check its address, and what stands before it.`,
    { url: plainUrl(url), ...details },
  );
}

/** The error for a connection that broke or went silent. */
export function disconnected(method: string, url: URL, cause: unknown): StowageError {
  return new StowageError(
    'REGISTRY_FAILED',
    `${method} ${plainUrl(url)}: ${describeCause(cause)}. Check the address and the network, and try again.`,
    { method, url: plainUrl(url) },
    { cause },
  );
}

function parseErrors({ bytes }: Answer): { code: string; message: string }[] {
  try {
    const body: unknown = JSON.parse(new TextDecoder().decode(bytes));
    const list = isObject(body) && Array.isArray(body.errors) ? body.errors : [body];
    return list
      .filter(isObject)
      .slice(0, 10)
      .map(({ code, message }) => ({
        code: typeof code === 'string' && /^\w{1,64}$/.test(code) ? code : '',
        message: typeof message === 'string' ? printable(message).slice(0, 200) : '',
      }))
      .filter(({ code }) => code !== '');
  } catch {
    // Bodies of errors may have any form.
    return [];
  }
}

function advise(status: number): string {
  if (status === 401) return 'Give credentials for this registry, or renew those you gave.';
  if (status === 403) return 'These credentials do not allow it.';
  if (status === 429) return 'Try again later, or as a user with a higher limit.';
  if (status >= 500) return 'Try again later.';
  if (status === 404) return 'Check the name of the repository.';
  return 'Check the request, or what this registry supports.';
}

function describeCause(cause: unknown): string {
  const { message, cause: inner } = Object(cause) as { message?: unknown; cause?: unknown };
  const { message: innerMessage, code } = Object(inner) as { message?: unknown; code?: unknown };
  const parts = [message, innerMessage || code].filter((part) => typeof part === 'string' && part !== '');
  return `the connection failed${parts.length > 0 ? ` (${printable(parts.join(': ')).slice(0, 200)})` : ''}`;
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e\u00a0-\ud7ff]+/g, ' ').trim();
}

function hide(text: string, secrets: readonly string[]): string {
  return secrets.reduce((shown, secret) => (secret.length < 4 ? shown : shown.replaceAll(secret, '…')), text);
}

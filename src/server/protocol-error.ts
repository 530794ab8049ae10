/** Refusals in the protocol's own form: status, code and sentence as distribution-spec's section Error Codes has them. */
import { type ErrorCode, StowageError } from '../errors.ts';

/** All that a refusal may say (status 4xx). */
const refusals = [
  'BLOB_UNKNOWN',
  'BLOB_UPLOAD_INVALID',
  'BLOB_UPLOAD_UNKNOWN',
  'DIGEST_INVALID',
  'MANIFEST_BLOB_UNKNOWN',
  'MANIFEST_INVALID',
  'MANIFEST_UNKNOWN',
  'NAME_INVALID',
  'NAME_UNKNOWN',
  'SIZE_INVALID',
  'UNAUTHORIZED',
  'DENIED',
  'UNSUPPORTED',
  'TOOMANYREQUESTS',
] as const;

/** The codes of the specification, and `UNKNOWN` for a fault of the server (5xx), as registries have it. */
export type ProtocolCode = (typeof refusals)[number] | 'UNKNOWN';

/** One entry of the answer's `errors`. */
export interface ProtocolFault {
  code: ProtocolCode;
  message: string;
  detail?: unknown;
}

/** Thrown inside the server to answer a request with an error; it never leaves the handler. */
export class ProtocolError extends Error {
  readonly status: number;
  readonly faults: readonly ProtocolFault[];
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    faults: ProtocolFault | readonly ProtocolFault[],
    headers: Readonly<Record<string, string>> = {},
  ) {
    const list = Array.isArray(faults) ? (faults as readonly ProtocolFault[]) : [faults as ProtocolFault];
    super(list.map(({ message }) => message).join(' '));
    this.status = status;
    this.faults = list;
    this.headers = headers;
  }
}

/** A refusal with one code. */
export function refuse(
  status: number,
  code: ProtocolCode,
  message: string,
  detail?: unknown,
  headers?: Readonly<Record<string, string>>,
): ProtocolError {
  return new ProtocolError(status, detail === undefined ? { code, message } : { code, message, detail }, headers);
}

/** The answer that says so. */
export function errorResponse(error: ProtocolError, method: string): Response {
  const body = JSON.stringify({ errors: error.faults });
  return new Response(method === 'HEAD' ? null : body, {
    status: error.status,
    headers: { 'Content-Type': 'application/json; charset=utf-8', 'Cache-Control': 'no-store', ...error.headers },
  });
}

/**
 * What a failure beneath the protocol is called in it; `undefined` for a fault of the server, of which clients learn nothing.
 * An error that came from a registry upstream keeps its status and codes, but a refusal of our credentials there is no
 * question to the client here.
 */
export function protocolErrorFor(error: unknown, method: string): ProtocolError | undefined {
  if (error instanceof ProtocolError) return error;
  if (!(error instanceof StowageError)) return undefined;
  const { status, registryCodes } = error.details;
  if (typeof status === 'number') return upstreamError(error.message, status, registryCodes, error.details.retryAfter);
  const known = statuses[error.code];
  if (!known) return undefined;
  const isReading = method === 'GET' || method === 'HEAD';
  // Of what a client only reads it is not the client who got it wrong.
  return refuse(isReading && known[0] !== 404 && known[0] !== 403 ? 502 : known[0], known[1], error.message);
}

const statuses: { [code in ErrorCode]?: readonly [status: number, code: ProtocolCode] } = {
  NOT_FOUND: [404, 'MANIFEST_UNKNOWN'],
  BLOB_NOT_FOUND: [404, 'BLOB_UNKNOWN'],
  REFERENCE_INVALID: [404, 'NAME_UNKNOWN'],
  UNAUTHORIZED: [403, 'DENIED'],
  REGISTRY_FAILED: [502, 'UNKNOWN'],
  REGISTRY_INVALID: [502, 'UNKNOWN'],
  DIGEST_INVALID: [400, 'DIGEST_INVALID'],
  DIGEST_MISMATCH: [400, 'DIGEST_INVALID'],
  SIZE_MISMATCH: [400, 'SIZE_INVALID'],
  LIMIT_EXCEEDED: [413, 'SIZE_INVALID'],
  DESCRIPTOR_INVALID: [400, 'MANIFEST_INVALID'],
  MANIFEST_INVALID: [400, 'MANIFEST_INVALID'],
  INDEX_INVALID: [400, 'MANIFEST_INVALID'],
  CONFIG_INVALID: [400, 'MANIFEST_INVALID'],
  JSON_INVALID: [400, 'MANIFEST_INVALID'],
  PLATFORM_INVALID: [400, 'MANIFEST_INVALID'],
  MEDIA_TYPE_UNSUPPORTED: [400, 'MANIFEST_INVALID'],
};

function upstreamError(message: string, status: number, codes: unknown, retryAfter: unknown): ProtocolError {
  const said = refusals.find((code) => Array.isArray(codes) && codes[0] === code);
  if (status === 404) return refuse(404, said ?? 'MANIFEST_UNKNOWN', message);
  if (status === 429) {
    const headers = typeof retryAfter === 'number' ? { 'Retry-After': String(Math.ceil(retryAfter)) } : undefined;
    return refuse(429, 'TOOMANYREQUESTS', message, undefined, headers);
  }
  if (status === 401 || status === 403) return refuse(403, 'DENIED', message);
  if (status >= 400 && status < 500) return refuse(status, said ?? 'UNSUPPORTED', message);
  return refuse(502, said ?? 'UNKNOWN', message);
}

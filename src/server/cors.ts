/** Cross-origin requests, so that a page may talk to the registry: the fetch standard's section CORS protocol. */

export interface Cors {
  /** Origins that may, as `https://example.com`; or `*` for any. */
  origins: '*' | readonly string[];
  /** Whether pages may send the browser's own credentials. Not possible with `*`. Default false. */
  credentials?: boolean;
  /** Seconds for which a browser may keep the answer to a preflight. Default 600. */
  maxAge?: number;
}

/** The answer to a preflight, or `undefined` for any other request. */
export function preflightResponse(cors: Cors | undefined, request: Request): Response | undefined {
  if (cors === undefined || request.method !== 'OPTIONS') return undefined;
  const response = new Response(null, {
    status: 204,
    headers: {
      'Access-Control-Allow-Methods': 'GET, HEAD, POST, PATCH, PUT, DELETE',
      'Access-Control-Allow-Headers':
        'Accept, Authorization, Content-Range, Content-Type, If-None-Match, Range, User-Agent',
      'Access-Control-Max-Age': String(cors.maxAge ?? 600),
    },
  });
  addCorsHeaders(cors, request, response.headers);
  return response;
}

export function addCorsHeaders(cors: Cors | undefined, request: Request, headers: Headers): void {
  if (cors === undefined) return;
  const origin = request.headers.get('origin');
  if (cors.origins === '*') headers.set('Access-Control-Allow-Origin', '*');
  else {
    headers.append('Vary', 'Origin');
    if (origin === null || !cors.origins.includes(origin)) return;
    headers.set('Access-Control-Allow-Origin', origin);
    if (cors.credentials) headers.set('Access-Control-Allow-Credentials', 'true');
  }
  headers.set('Access-Control-Expose-Headers', exposed);
}

const exposed = [
  'Accept-Ranges',
  'Content-Length',
  'Content-Range',
  'Docker-Content-Digest',
  'Docker-Distribution-API-Version',
  'ETag',
  'Link',
  'Location',
  'OCI-Chunk-Min-Length',
  'OCI-Filters-Applied',
  'OCI-Subject',
  'OCI-Tag',
  'Range',
  'Retry-After',
  'WWW-Authenticate',
].join(', ');

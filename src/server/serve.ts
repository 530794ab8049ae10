/** A registry as one function from request to response: distribution-spec 1.1 over a storage, or over any content. */
import { type Limits, resolveLimits } from '../limits.ts';
import type { Storage } from '../storage/storage.ts';
import { type Access, type Authentication, authorize } from './access.ts';
import { contentRepository, type KnownBlobs } from './content-repository.ts';
import type { Context, PushContext } from './context.ts';
import { addCorsHeaders, type Cors, preflightResponse } from './cors.ts';
import { listReferrers, listRepositories, listTags } from './discovery.ts';
import { jsonResponse } from './json-response.ts';
import { errorResponse, protocolErrorFor, refuse } from './protocol-error.ts';
import { getBlob, getManifest } from './pull.ts';
import { deleteBlob, deleteUpload, getUpload, patchUpload, postUpload, putUpload } from './push-blobs.ts';
import { deleteManifest, putManifest } from './push-manifests.ts';
import { repositoryNames, storageRepository } from './repository.ts';
import { parseRoute, type Route } from './route.ts';
import type { ServedRepository, ServedSource } from './served.ts';
import { expireUploads, isSweepDue } from './upload-session.ts';

/** What `Deno.serve`, `Bun.serve`, a Worker's `fetch` and `serveNode` take. Never rejects. */
export type Handler = (request: Request) => Promise<Response>;

/** Gives the content that a repository name stands for; `undefined` where it stands for none. Asked at each request. */
export type RepositoryLookup = (
  repository: string,
  request: Request,
) => ServedSource | undefined | Promise<ServedSource | undefined>;

export interface ServeOptions {
  /** Whether pushes and deletes are refused (405). Default false; what is served from a lookup is always read-only. */
  readOnly?: boolean;
  /** Who may do what. Default: everybody may do everything. */
  authenticate?: Authentication;
  /** Which pages of other origins may talk to the registry. Default: none. */
  cors?: Cors;
  /** `jsonBytes` bounds manifests, `blobBytes` blobs, `uploadParts` the chunks of an upload. */
  limits?: Partial<Limits>;
  /** Milliseconds after which an upload that nobody goes on with is forgotten, and its parts removed. Default one day. */
  uploadLifetime?: number;
  /** Told what went wrong in the server; clients see only that something did (500). */
  onError?: (error: unknown, request: Request) => void;
}

/**
 * A registry. From a `Storage` it serves pull, push, content discovery and content management; any number of handlers, in any
 * number of processes, may share one storage. From a function that gives content by repository name it serves pull, and what
 * the content can tell of its tags and referrers.
 *
 * Blobs that are deleted, and those of pushes that were never finished, stay in the storage until `collectGarbage`.
 *
 * A Worker makes storage and handler for each request. Cloudflare ends the work for a client that goes away, and what that had locked stays
 * so until the lock expires, unless the answer is handed to `waitUntil`.
 *
 * @example
 * const handler = serve(new MemoryStorage());
 * Deno.serve(handler); // or: Bun.serve({ fetch: handler }), export default { fetch: handler }
 * createServer(serveNode(handler)).listen(5000);
 *
 * @example
 * export default {
 *   fetch(request, env, context) {
 *     const answer = serve(new R2Storage(env.BUCKET))(request);
 *     context.waitUntil(answer);
 *     return answer;
 *   },
 * };
 *
 * @example
 * const handler = serve((repository) => (repository === 'demo' ? layout : undefined));
 */
export function serve(place: Storage | RepositoryLookup, options: ServeOptions = {}): Handler {
  const { cors, onError } = options;
  const server: Server = {
    place,
    options,
    limits: resolveLimits(options.limits),
    known: new Map(),
    uploadLifetime: options.uploadLifetime ?? 24 * 60 * 60 * 1000,
    swept: Number.NEGATIVE_INFINITY,
  };
  return async (request) => {
    const preflight = preflightResponse(cors, request);
    if (preflight) return preflight;
    let response: Response;
    try {
      response = await answer(server, request);
    } catch (error) {
      const known = protocolErrorFor(error, request.method);
      if (!known && !request.signal.aborted) onError?.(error, request);
      response = errorResponse(known ?? refuse(500, 'UNKNOWN', 'The registry failed.'), request.method);
    }
    const { headers } = response;
    headers.set('Docker-Distribution-API-Version', 'registry/2.0');
    headers.set('X-Content-Type-Options', 'nosniff');
    addCorsHeaders(cors, request, headers);
    return response;
  };
}

interface Server {
  place: Storage | RepositoryLookup;
  options: ServeOptions;
  limits: Limits;
  known: KnownBlobs;
  uploadLifetime: number;
  /** When this handler last saw to expired uploads, in milliseconds since the epoch. */
  swept: number;
}

async function answer(server: Server, request: Request): Promise<Response> {
  const { options, limits } = server;
  const url = new URL(request.url);
  const route = parseRoute(url.pathname);
  checkMethod(route, request.method);
  const may = (access: Access): Promise<void> => authorize(options.authenticate, access, request);
  await may(accessTo(route, request.method));
  const context: Context = { request, url, limits, isPrivate: options.authenticate !== undefined };
  if (route.endpoint === 'base') return jsonResponse({}, new Headers({ 'Cache-Control': 'no-store' }));
  if (route.endpoint === 'catalog') return listRepositories(context, await allNames(server));
  if (isReading(request.method) && route.endpoint !== 'uploads' && route.endpoint !== 'upload') {
    const repository = await repositoryOf(server, route.repository, request);
    return pull({ ...context, repository }, route);
  }
  if (options.readOnly || typeof server.place === 'function')
    throw refuse(405, 'UNSUPPORTED', 'This registry is read-only.', undefined, { Allow: 'GET, HEAD' });
  const { place: storage, uploadLifetime } = server;
  return push({ ...context, storage, name: route.repository, uploadLifetime, authorize: may }, route, server);
}

function pull(context: Context & { repository: ServedRepository }, route: Route): Promise<Response> {
  if (route.endpoint === 'manifest') return getManifest(context, route.reference);
  if (route.endpoint === 'blob') return getBlob(context, route.digest);
  if (route.endpoint === 'referrers') return listReferrers(context, route.digest);
  return listTags(context, (route as { repository: string }).repository);
}

async function push(context: PushContext, route: Route, server: Server): Promise<Response> {
  const { method } = context.request;
  if (route.endpoint === 'manifest')
    return method === 'PUT' ? putManifest(context, route.reference) : deleteManifest(context, route.reference);
  if (route.endpoint === 'blob') return deleteBlob(context, route.digest);
  if (route.endpoint === 'uploads') {
    await sweep(context, server);
    return postUpload(context);
  }
  const { id } = route as { id: string };
  if (method === 'PATCH') return patchUpload(context, id);
  if (method === 'PUT') return putUpload(context, id);
  return method === 'DELETE' ? deleteUpload(context, id) : getUpload(context, id);
}

/** Before a new upload begins, since then something is about to be stored; once an hour at most, since all sessions are read. */
async function sweep({ storage, uploadLifetime }: PushContext, server: Server): Promise<void> {
  const now = Date.now();
  const interval = Math.min(uploadLifetime, 60 * 60 * 1000);
  if (server.swept + interval > now) return;
  server.swept = now;
  // Other handlers have their own `swept`: in a Worker each request has.
  if (await isSweepDue(storage, interval)) await expireUploads(storage, uploadLifetime);
}

async function repositoryOf(server: Server, name: string, request: Request): Promise<ServedRepository> {
  const { place, limits, known } = server;
  if (typeof place !== 'function') return storageRepository(place, name);
  const source = await place(name, request);
  if (!source) throw refuse(404, 'NAME_UNKNOWN', 'There is no such repository.', { name });
  return contentRepository(source, name, { limits, known });
}

async function allNames({ place }: Server): Promise<string[]> {
  if (typeof place !== 'function') return repositoryNames(place);
  throw refuse(404, 'UNSUPPORTED', 'This registry does not list its repositories.');
}

function isReading(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}

function accessTo(route: Route, method: string): Access {
  if (route.endpoint === 'base') return { action: 'ping' };
  if (route.endpoint === 'catalog') return { action: 'catalog' };
  const { endpoint, repository } = route;
  if (endpoint === 'uploads' || endpoint === 'upload') return { action: 'push', repository };
  if (isReading(method)) return { action: 'pull', repository };
  return { action: method === 'DELETE' ? 'delete' : 'push', repository };
}

const methods: Readonly<Record<Route['endpoint'], readonly string[]>> = {
  base: ['GET', 'HEAD'],
  catalog: ['GET', 'HEAD'],
  tags: ['GET', 'HEAD'],
  referrers: ['GET', 'HEAD'],
  manifest: ['GET', 'HEAD', 'PUT', 'DELETE'],
  blob: ['GET', 'HEAD', 'DELETE'],
  uploads: ['POST'],
  upload: ['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE'],
};

function checkMethod({ endpoint }: Route, method: string): void {
  const allowed = methods[endpoint];
  if (allowed.includes(method)) return;
  const message = `${method} is nothing that can be done here.`;
  throw refuse(405, 'UNSUPPORTED', message, undefined, { Allow: allowed.join(', ') });
}

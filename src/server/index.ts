/** The entry point `stowage/server`: a registry (distribution-spec 1.1) as a `fetch` handler, over any storage or content. */
export { type ErrorCode, StowageError } from '../errors.ts';
export type { Access, Authentication, Credentials, Verdict } from './access.ts';
export type { Cors } from './cors.ts';
export { collectGarbage } from './repository.ts';
export { type RewriteOptions, rewrite, type Transform } from './rewrite.ts';
export { type Handler, type RepositoryLookup, type ServeOptions, serve } from './serve.ts';
export type { BlobRequest, ServedSource } from './served.ts';

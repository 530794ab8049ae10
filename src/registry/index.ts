/** The entry point `stowage/registry`: registries over the distribution protocol (distribution-spec 1.1), as places of content. */
export { type ErrorCode, StowageError } from '../errors.ts';
export type { Credentials, CredentialsCallback } from './auth.ts';
export type { RateLimit } from './notices.ts';
export { Registry, type RegistryOptions } from './registry.ts';
export { RemoteRepository } from './repository.ts';
export type { Fetch } from './transport.ts';

/** What the endpoints share: the request, and what the server was told. */
import type { Limits } from '../limits.ts';
import type { Storage } from '../storage/storage.ts';
import type { Access } from './access.ts';
import type { ServedRepository } from './served.ts';

export interface Context {
  request: Request;
  url: URL;
  limits: Limits;
  /** Whether answers depend on who asks, so that shared caches must not keep them. */
  isPrivate: boolean;
}

/** A request about one repository. */
export interface PullContext extends Context {
  repository: ServedRepository;
}

/** A request that may change a repository in a storage. */
export interface PushContext extends Context {
  storage: Storage;
  name: string;
  /** Milliseconds after which an upload that nobody goes on with is forgotten. */
  uploadLifetime: number;
  /** Throws where the client may not do that. */
  authorize(access: Access): Promise<void>;
}

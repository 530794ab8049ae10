/** The server in a Worker. Its storage is memory, which lasts as long as this one instance: enough for a test. */
import { MemoryStorage } from '../../../src/index.ts';
import { type Handler, serve } from '../../../src/server/index.ts';

const handler = serve(new MemoryStorage(), { onError: console.error });

export default { fetch: (request: Request): ReturnType<Handler> => handler(request) };

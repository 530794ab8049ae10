/** The server as a user of Bun starts it; the first argument is its directory. */
import { serve } from '../../../src/server/index.ts';
import { NodeStorage } from '../../../src/storage/node.ts';

interface BunLike {
  argv: string[];
  serve(options: {
    port: number;
    hostname: string;
    idleTimeout: number;
    maxRequestBodySize: number;
    fetch: (request: Request) => Promise<Response>;
  }): { port: number };
}

const { Bun } = globalThis as unknown as { Bun: BunLike };
const handler = serve(new NodeStorage(Bun.argv[2] ?? '', { durable: false }), { onError: console.error });
const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  // Bun's own bounds are 10 seconds and 128 MiB, which layers pass.
  idleTimeout: 0,
  maxRequestBodySize: Number.MAX_SAFE_INTEGER,
  fetch: handler,
});
console.log(`listening on ${server.port}`);

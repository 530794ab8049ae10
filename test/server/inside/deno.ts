/** The server as a user of Deno starts it; the first argument is its directory. */
import { serve } from '../../../src/server/index.ts';
import { NodeStorage } from '../../../src/storage/node.ts';

interface DenoLike {
  args: string[];
  serve(
    options: { port: number; hostname: string; onListen: (address: { port: number }) => void },
    handler: (request: Request) => Promise<Response>,
  ): unknown;
}

const { Deno } = globalThis as unknown as { Deno: DenoLike };
const handler = serve(new NodeStorage(Deno.args[0] ?? '', { durable: false }), { onError: console.error });
const onListen = ({ port }: { port: number }): void => console.log(`listening on ${port}`);
Deno.serve({ port: 0, hostname: '127.0.0.1', onListen }, handler);

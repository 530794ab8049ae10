/** The server as a user of Node starts it; the first argument is its directory. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serveNode } from '../../../src/node/index.ts';
import { serve } from '../../../src/server/index.ts';
import { NodeStorage } from '../../../src/storage/node.ts';

const handler = serve(new NodeStorage(process.argv[2] ?? '', { durable: false }), { onError: console.error });
const server = createServer(serveNode(handler, { onError: console.error }));
server.requestTimeout = 0;
server.listen(0, '127.0.0.1', () => console.log(`listening on ${(server.address() as AddressInfo).port}`));

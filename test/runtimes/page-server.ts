/** Where browsers get the suite from: a loopback server, whose page runs under the strictest policy that the library works with. */
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join, normalize } from 'node:path';
import type { SuiteEvent } from './harness.ts';

const policy = "default-src 'none'; script-src 'self'; connect-src 'self'; worker-src 'self'";

const page =
  '<!doctype html><meta charset="utf-8"><title>stowage</title><script type="module" src="/suite.mjs"></script>';

/** Serves the page with the bundle and the scripts beside it, and tells of the events that come back. */
export async function servePage(
  bundle: string,
  tell: (event: SuiteEvent) => void,
): Promise<{ url: string; close: () => void }> {
  const server = createServer(async (request, response) => {
    if (request.method === 'POST') {
      const body: Buffer[] = [];
      for await (const chunk of request) body.push(chunk);
      response.writeHead(204).end();
      for (const event of JSON.parse(Buffer.concat(body).toString()) as SuiteEvent[]) tell(event);
    } else if (request.url === '/') {
      response.writeHead(200, { 'Content-Type': 'text/html', 'Content-Security-Policy': policy }).end(page);
    } else {
      const script = join(dirname(bundle), normalize(request.url as string));
      const type = /\.m?js$/.test(script) && existsSync(script) ? 'text/javascript' : undefined;
      if (type === undefined) response.writeHead(404).end();
      else
        response.writeHead(200, { 'Content-Type': type, 'Content-Security-Policy': policy }).end(readFileSync(script));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = (): void => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${port}/`, close };
}

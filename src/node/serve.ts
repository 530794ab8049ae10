/** A `fetch` handler as a listener of `node:http`: streams both ways, and an end to the work where the client goes away. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { toStream } from '../bytes/byte-source.ts';

/** Settings of the bridge. */
export interface ServeNodeOptions {
  /** Told what a handler threw, and what broke while its answer was sent, but for clients that left. Default: nobody. */
  onError?: (error: unknown) => void;
}

/**
 * A listener for `createServer` of `node:http`, `node:https` and, by its compatibility interface, `node:http2`.
 *
 * Node ends requests that take longer than `server.requestTimeout`, five minutes unless told: set it to 0 for large uploads.
 *
 * @example
 * import { createServer } from 'node:http';
 * import { serveNode } from 'stowage/node';
 * import { serve } from 'stowage/server';
 * import { NodeStorage } from 'stowage/storage/node';
 *
 * const server = createServer(serveNode(serve(new NodeStorage('./registry'))));
 * server.requestTimeout = 0;
 * server.listen(5000);
 */
export function serveNode(
  handler: (request: Request) => Response | Promise<Response>,
  options: ServeNodeOptions = {},
): RequestListener {
  return (incoming, outgoing) => {
    void bridge(handler, incoming, outgoing).catch((error: unknown) => {
      if (!outgoing.destroyed) options.onError?.(error);
      if (outgoing.headersSent) outgoing.destroy();
      else outgoing.writeHead(500).end();
    });
  };
}

async function bridge(
  handler: (request: Request) => Response | Promise<Response>,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const left = new AbortController();
  outgoing.once('close', () => {
    if (!outgoing.writableFinished) left.abort(new DOMException('The client left.', 'AbortError'));
  });
  const request = toRequest(incoming, left.signal);
  if (request === undefined) {
    outgoing.writeHead(400).end();
    return;
  }
  const response = await handler(request);
  try {
    await send(response, outgoing, left.signal);
  } finally {
    // What the handler did not read of the request: drained, so that the connection can be used again.
    incoming.resume();
  }
}

/** `undefined` for a target or header that no `Request` can say. */
function toRequest(incoming: IncomingMessage, signal: AbortSignal): Request | undefined {
  const { method = 'GET', url = '/', rawHeaders } = incoming;
  const isSecure = 'encrypted' in incoming.socket;
  const origin = `${isSecure ? 'https' : 'http'}://${incoming.headers.host ?? 'localhost'}`;
  const headers = new Headers();
  try {
    for (let at = 0; at < rawHeaders.length; at += 2) {
      // HTTP/2 has pseudo-headers, which are no headers of a `Request`.
      if (!rawHeaders[at]!.startsWith(':')) headers.append(rawHeaders[at]!, rawHeaders[at + 1]!);
    }
    const isWithBody = method !== 'GET' && method !== 'HEAD';
    // Left open when reading stops early: destroying it would close the connection before the answer is out.
    const body = isWithBody ? toStream(incoming.iterator({ destroyOnReturn: false })) : undefined;
    const target = url.startsWith('/') ? origin + url : url;
    return new Request(target, { method, headers, body, signal, duplex: 'half' } as RequestInit);
  } catch {
    return undefined;
  }
}

async function send(response: Response, outgoing: ServerResponse, signal: AbortSignal): Promise<void> {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of response.headers) if (name !== 'set-cookie') headers[name] = value;
  const cookies = response.headers.getSetCookie();
  if (cookies.length > 0) headers['set-cookie'] = cookies;
  const { body, status } = response;
  // Node would say that the body is chunked where there is none: clients take the length of an empty body from its absence.
  if (body === null && headers['content-length'] === undefined && status !== 204 && status !== 304)
    headers['content-length'] = '0';
  outgoing.writeHead(status, headers);
  if (body === null) {
    outgoing.end();
    return;
  }
  const reader = body.getReader();
  const onAbort = (): void => void reader.cancel(signal.reason).catch(() => {});
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (!outgoing.write(value)) await drained(outgoing);
    }
    outgoing.end();
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function drained(outgoing: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      outgoing.off('drain', settle);
      outgoing.off('close', settle);
      resolve();
    };
    outgoing.on('drain', settle);
    outgoing.on('close', settle);
    if (outgoing.destroyed) settle();
  });
}

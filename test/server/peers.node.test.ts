/** The server on `node:http`, as skopeo and Node's own clients meet it; `runtimes.node.test.ts` has all tools in all runtimes. */
import { once } from 'node:events';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/bytes/hash.ts';
import { Image, Layout, MemoryStorage } from '../../src/index.ts';
import { serveNode } from '../../src/node/index.ts';
import { RemoteRepository } from '../../src/registry/index.ts';
import { type Handler, type ServeOptions, serve } from '../../src/server/index.ts';
import { NodeStorage } from '../../src/storage/node.ts';
import { busyboxPath, peerTest, run, runWithRunc, temporaryDirectory } from '../peers/peers.ts';
import { filesIn } from './client.ts';

let server: Server | undefined;
let faults: unknown[];

async function listen(handler: Handler): Promise<string> {
  server = createServer(serveNode(handler, { onError: (error) => faults.push(error) }));
  server.requestTimeout = 0;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A registry in a directory, as a user would run it. */
async function startServer(options: ServeOptions = {}): Promise<{ host: string; storage: NodeStorage }> {
  const storage = new NodeStorage(temporaryDirectory(), { durable: false });
  const host = await listen(serve(storage, { onError: (error) => faults.push(error), ...options }));
  return { host, storage };
}

beforeEach(() => {
  faults = [];
});

afterEach(async () => {
  server?.closeAllConnections();
  server?.close();
  server = undefined;
  expect(faults).toEqual([]);
});

const greeting = 'hello from a registry of ours\n';
let source: Promise<string> | undefined;

/** A layout directory with a program that runs, `app`, and an index of two platforms, `multi`. */
function sourceLayout(): Promise<string> {
  source ??= (async () => {
    const directory = temporaryDirectory();
    const layout = await Layout.create(new NodeStorage(directory));
    const { copyGraph } = await import('../../src/content/copy.ts');
    const { imageContent } = await import('../../src/image/image-content.ts');
    const build = async (platform: string): Promise<Image> =>
      (
        await Image.scratch({ platform }).copy(
          [{ path: 'busybox', body: readFileSync(busyboxPath()), mode: 0o755 }],
          '/bin',
          { gzip: { engine: 'native' } },
        )
      ).cmd(['/bin/busybox', 'echo', greeting.trim()]);
    const images = [await build('linux/amd64'), await build('linux/arm64/v8')];
    for (const [tag, some] of [
      ['app', images[0] as Image],
      ['multi', images],
    ] as const) {
      const content = imageContent(some);
      await copyGraph(content, layout, [content.root]);
      await layout.tag(content.root, tag);
    }
    return directory;
  })();
  // Each test file's directories go when it ends; a copy keeps tests from one another.
  return source.then((directory) => {
    const copy = temporaryDirectory();
    cpSync(directory, copy, { recursive: true });
    return copy;
  });
}

function blobsOf(layout: string): string[] {
  return readdirSync(join(layout, 'blobs/sha256')).sort();
}

const skopeo = (...args: string[]): Promise<unknown> =>
  run('skopeo', ['copy', '--quiet', '--preserve-digests', ...args]);
const untrusted = ['--src-tls-verify=false', '--dest-tls-verify=false'];

describe('a server on node:http', () => {
  peerTest(
    ['skopeo', 'umoci', 'runc', 'busybox', 'root'],
    'takes from skopeo and gives back the same, which runs',
    async () => {
      const { host, storage } = await startServer();
      const from = await sourceLayout();
      await skopeo(...untrusted, `oci:${from}:app`, `docker://${host}/team/app:1.0`);
      const back = join(temporaryDirectory(), 'back');
      await skopeo(...untrusted, `docker://${host}/team/app:1.0`, `oci:${back}:app`);
      const raw = (await run('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${host}/team/app:1.0`]))
        .stdout;
      const layout = await Layout.open(new NodeStorage(from));
      expect(digestOf(raw)).toBe((await layout.resolve('app')).digest);
      expect(await runWithRunc(back, 'app')).toBe(greeting);
      expect(await filesIn(storage, 'uploads/')).toEqual([]);
    },
  );

  peerTest(
    ['skopeo', 'busybox'],
    'takes every platform of an index, mounts what it has, and lists and deletes',
    async () => {
      const { host } = await startServer();
      const from = await sourceLayout();
      await skopeo('--all', ...untrusted, `oci:${from}:multi`, `docker://${host}/team/multi:1.0`);
      await skopeo('--all', ...untrusted, `docker://${host}/team/multi:1.0`, `docker://${host}/other/multi:2.0`);
      const back = join(temporaryDirectory(), 'back');
      await skopeo('--all', ...untrusted, `docker://${host}/other/multi:2.0`, `oci:${back}:multi`);
      expect(blobsOf(back)).toEqual(expect.arrayContaining(blobsOf(back)));
      expect(blobsOf(from)).toEqual(expect.arrayContaining(blobsOf(back)));
      const { stdout } = await run('skopeo', ['list-tags', '--tls-verify=false', `docker://${host}/other/multi`]);
      expect(JSON.parse(stdout).Tags).toEqual(['2.0']);
      await run('skopeo', ['delete', '--tls-verify=false', `docker://${host}/other/multi:2.0`]);
      const gone = run('skopeo', ['inspect', '--tls-verify=false', `docker://${host}/other/multi:2.0`]);
      await expect(gone).rejects.toThrow(/manifest unknown/);
    },
  );

  peerTest(['skopeo', 'busybox'], 'asks skopeo for its password', async () => {
    const { host } = await startServer({
      authenticate: {
        scheme: 'Basic',
        verify: (credentials) =>
          credentials?.scheme === 'Basic' && credentials.username === 'me' && credentials.password === 'secret',
      },
    });
    const from = await sourceLayout();
    const to = `docker://${host}/team/app:1`;
    await expect(skopeo(...untrusted, `oci:${from}:app`, to)).rejects.toThrow(/authentication required/);
    await skopeo(...untrusted, '--dest-creds', 'me:secret', `oci:${from}:app`, to);
    await run('skopeo', ['inspect', '--tls-verify=false', '--creds', 'me:secret', to]);
  });
});

describe('the bridge to node:http', () => {
  test('takes and gives what the client of this library sends, with bounded memory', async () => {
    const { host, storage } = await startServer();
    const repository = new RemoteRepository(`${host}/large/blob`);
    const size = 200 * 1024 * 1024;
    const chunk = new Uint8Array(1024 * 1024).fill(7);
    async function* body(): AsyncGenerator<Uint8Array> {
      for (let sent = 0; sent < size; sent += chunk.length) yield chunk;
    }
    const before = process.memoryUsage().rss;
    let highest = before;
    const watch = setInterval(() => {
      highest = Math.max(highest, process.memoryUsage().rss);
    }, 20);
    const descriptor = await repository.write(body());
    let read = 0;
    for await (const part of await repository.read(descriptor)) read += part.length;
    clearInterval(watch);
    expect([descriptor.size, read]).toEqual([size, size]);
    expect(await filesIn(storage, 'uploads/')).toEqual([]);
    expect((highest - before) / 1024 / 1024).toBeLessThan(160);
  });

  test('stores nothing of a client that declares 5 GiB, sends one byte and leaves', async () => {
    const { host, storage } = await startServer();
    const [address = '', port = ''] = host.split(':');
    const post = await fetch(`http://${host}/v2/a/blobs/uploads/`, { method: 'POST' });
    const location = post.headers.get('location');
    const whole = `POST /v2/a/blobs/uploads/?digest=${digestOf('x')}`;
    const put = `PUT ${location}?digest=${digestOf('x')}`;
    for (const line of [whole, `PATCH ${location}`, put, 'PUT /v2/a/manifests/v1']) {
      const socket = connect(Number(port), address);
      await once(socket, 'connect');
      socket.write(`${line} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 5368709120\r\n\r\nx`);
      await new Promise((resolve) => setTimeout(resolve, 50));
      socket.destroy();
      await once(socket, 'close');
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
    const status = await fetch(`http://${host}${location}`);
    expect([status.status, status.headers.get('range')]).toEqual([204, '0-0']);
    expect((await filesIn(storage)).map((path) => path.replace(/[\da-f-]{36}/, 'ID'))).toEqual(['uploads/ID.session']);
  });

  test('refuses what is declared too large at once, and the client hears why', async () => {
    const { host } = await startServer({ limits: { blobBytes: 1000 } });
    const body = new Uint8Array(4 * 1024 * 1024);
    const response = await fetch(`http://${host}/v2/a/blobs/uploads/?digest=${digestOf(body)}`, {
      method: 'POST',
      body,
    });
    expect(response.status).toBe(413);
    await response.text();
    expect((await fetch(`http://${host}/v2/`)).status).toBe(200);
  });

  test('ends the work for a client that goes away, and releases what is read', async () => {
    let cancelled: (reason: unknown) => void = () => {};
    const gone = new Promise((resolve) => {
      cancelled = resolve;
    });
    let aborted = false;
    const host = await listen(async (request) => {
      request.signal.addEventListener('abort', () => {
        aborted = true;
      });
      const body = new ReadableStream<Uint8Array>({
        pull: (controller) => controller.enqueue(new Uint8Array(64 * 1024)),
        cancel: (reason) => cancelled(reason),
      });
      return new Response(body);
    });
    const leaving = new AbortController();
    const response = await fetch(`http://${host}/`, { signal: leaving.signal });
    await response.body?.getReader().read();
    leaving.abort();
    await gone;
    expect(aborted).toBe(true);
  });

  test('passes the method, the target, headers and body on as they came', async () => {
    const host = await listen(async (request) => {
      const { method, headers } = request;
      const url = new URL(request.url);
      const text = request.body ? await request.text() : null;
      return Response.json(
        { method, path: url.pathname + url.search, accept: headers.get('accept'), text },
        {
          headers: [
            ['Set-Cookie', 'a=1'],
            ['Set-Cookie', 'b=2'],
          ],
        },
      );
    });
    const response = await fetch(`http://${host}/v2/x?n=1`, {
      method: 'PUT',
      body: 'hi',
      headers: { Accept: 'text/a, text/b' },
    });
    expect(await response.json()).toEqual({ method: 'PUT', path: '/v2/x?n=1', accept: 'text/a, text/b', text: 'hi' });
    expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2']);
    const head = await fetch(`http://${host}//evil/..//x`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
  });

  test('answers 500 where a handler throws, and breaks off where a body does', async () => {
    const failure = new Error('broken');
    const host = await listen(async (request) => {
      if (request.url.endsWith('throw')) throw failure;
      let sent = 0;
      return new Response(
        new ReadableStream({
          pull(controller) {
            if (sent++ > 3) controller.error(failure);
            else controller.enqueue(new Uint8Array(1000));
          },
        }),
      );
    });
    expect((await fetch(`http://${host}/throw`)).status).toBe(500);
    const reading = fetch(`http://${host}/body`).then((response) => response.arrayBuffer());
    await expect(reading).rejects.toThrow();
    expect(faults).toEqual([failure, failure]);
    faults = [];
  });

  test('serves what is in memory as well', async () => {
    const host = await listen(serve(new MemoryStorage()));
    const repository = new RemoteRepository(`${host}/a`);
    const descriptor = await repository.write('content');
    expect(await new Response(await repository.read(descriptor)).text()).toBe('content');
  });
});

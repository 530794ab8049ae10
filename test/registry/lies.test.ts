/** The registry client against registries that lie, refuse, redirect and fail, each a function in place of `fetch`. */
import { describe, expect, test } from 'vitest';
import { digestBy, digestOf } from '../../src/bytes/hash.ts';
import { copy } from '../../src/content/copy.ts';
import { Layout } from '../../src/layout/layout.ts';
import { emptyDescriptor } from '../../src/oci/descriptor.ts';
import { serializeManifest } from '../../src/oci/manifest.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import { Registry, type RegistryOptions, RemoteRepository } from '../../src/registry/index.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { all, describeBytes, failure, failureOf, pattern, same } from '../content/contract.ts';

/** A request as the registry sees it. */
interface Seen {
  method: string;
  url: URL;
  headers: Headers;
  body: Uint8Array;
  signal: AbortSignal;
}

type Answering = (seen: Seen, count: number) => Response | Promise<Response>;

/** A repository of `a.example` that is answered by a function, and what it was asked. */
function answered(
  answer: Answering,
  options: RegistryOptions = {},
  host = 'a.example',
): { repository: RemoteRepository; seen: Seen[] } {
  const seen: Seen[] = [];
  const registry = new Registry(host, {
    retryDelay: 1,
    streamUploads: false,
    ...options,
    fetch: async (url, init) => {
      const body = new Uint8Array(await new Response(init.body).arrayBuffer());
      const request = {
        method: init.method ?? 'GET',
        url: new URL(url),
        headers: new Headers(init.headers),
        body,
        signal: init.signal as AbortSignal,
      };
      // Of a stream Node keeps no copy for a redirect only where redirects are errors.
      if (!(init.body instanceof ReadableStream)) expect(init.redirect).toBe('manual');
      seen.push(request);
      return answer(request, seen.length);
    },
  });
  return { repository: new RemoteRepository(`${host}/app`, registry), seen };
}

const manifestBytes = serializeManifest({
  schemaVersion: 2,
  mediaType: mediaTypes.manifest,
  artifactType: 'application/vnd.example',
  config: { ...emptyDescriptor, data: undefined },
  layers: [],
});
const manifest = describeBytes(manifestBytes, mediaTypes.manifest);

function page(body: BodyInit | Uint8Array | null, headers: Record<string, string> = {}, status = 200): Response {
  return new Response(body as BodyInit | null, { status, headers });
}

function streamed(content: Uint8Array): ReadableStream<Uint8Array> {
  return page(content).body as ReadableStream<Uint8Array>;
}

function manifestPage(headers: Record<string, string> = {}): Response {
  return page(manifestBytes, { 'content-type': mediaTypes.manifest, ...headers });
}

function redirect(location: string, status = 307): Response {
  return page(null, { location }, status);
}

async function list<T>(items: AsyncIterable<T>, most = 1e5): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) if (found.push(item) >= most) break;
  return found;
}

describe('a registry that lies', () => {
  test('about the digest of a manifest', async () => {
    const other = digestOf('other');
    expect(
      await failure(answered(() => manifestPage({ 'docker-content-digest': other })).repository.resolve('1')),
    ).toBe('DIGEST_MISMATCH');
    expect(await failure(answered(() => manifestPage()).repository.resolve(other))).toBe('DIGEST_MISMATCH');
    expect(await failure(answered(() => manifestPage()).repository.read({ ...manifest, digest: other }))).toBe(
      'DIGEST_MISMATCH',
    );
    expect((await answered(() => manifestPage()).repository.resolve('1')).digest).toBe(manifest.digest);
  });

  test('about what a manifest is', async () => {
    const resolve = (response: () => Response): Promise<unknown> => answered(response).repository.resolve('1');
    expect(await failure(resolve(() => page('<html>hello</html>', { 'content-type': 'text/html' })))).toBe(
      'REGISTRY_INVALID',
    );
    expect(await failure(resolve(() => page('{}', { 'content-type': 'application/json' })))).toBe('REGISTRY_INVALID');
    expect(await failure(resolve(() => manifestPage({ 'content-type': mediaTypes.index })))).toBe('REGISTRY_INVALID');
    expect(await failure(resolve(() => page('', { 'content-type': mediaTypes.manifest })))).toBe('REGISTRY_INVALID');
    expect(
      await failure(
        resolve(() => page('{}', { 'content-type': 'application/vnd.docker.distribution.manifest.v1+prettyjws' })),
      ),
    ).toBe('MEDIA_TYPE_UNSUPPORTED');
    expect(await failure(resolve(() => page(new Uint8Array(5e6), { 'content-type': mediaTypes.manifest })))).toBe(
      'LIMIT_EXCEEDED',
    );
    // Parameters and missing types are none of these.
    expect(
      await resolve(() => manifestPage({ 'content-type': `${mediaTypes.manifest}; charset=utf-8` })),
    ).toMatchObject(manifest);
    expect(await resolve(() => manifestPage({ 'content-type': 'application/octet-stream' }))).toMatchObject(manifest);
  });

  test('about the content and the length of a blob: nothing of it is kept', async () => {
    const content = pattern(200_000);
    const blob = describeBytes(content);
    const wrong = content.slice();
    wrong[7]! ^= 1;
    const long = new Uint8Array(200_001);
    long.set(content);
    const cases: [Answering, string][] = [
      [() => page(wrong), 'DIGEST_MISMATCH'],
      [() => page(content, { 'docker-content-digest': digestOf('x') }), 'DIGEST_MISMATCH'],
      [() => page(long), 'SIZE_MISMATCH'],
      [() => page(content, { 'content-length': '5' }), 'SIZE_MISMATCH'],
      [() => page('<html>', { 'content-type': 'text/html', 'content-length': '6' }), 'SIZE_MISMATCH'],
      // It ends early, time and again.
      [
        ({ headers }) =>
          headers.has('range') ? page(null, { 'content-range': 'bytes 1000-' }, 206) : page(content.slice(0, 1000)),
        'REGISTRY_FAILED',
      ],
      [
        ({ headers }) =>
          headers.has('range') ? page(content, { 'content-range': 'bytes 0-' }, 206) : page(content.slice(0, 1000)),
        'REGISTRY_INVALID',
      ],
    ];
    for (const [answer, code] of cases) {
      const { repository } = answered(answer);
      const store = await Layout.create(new MemoryStorage());
      expect(await failure(repository.read(blob).then((stream) => store.write(stream, blob)))).toBe(code);
      expect(await store.has(blob)).toBe(false);
    }
  });

  test('by redirects without end, or to where none may lead', async () => {
    const endless = answered(({ url }) => redirect(`${url.href}x`));
    expect(await failure(endless.repository.resolve('1'))).toBe('REGISTRY_INVALID');
    expect(endless.seen).toHaveLength(11);
    for (const location of ['http://b.example/', 'file:///etc/passwd', '']) {
      const { repository, seen } = answered(() => redirect(location));
      expect(await failure(repository.resolve('1'))).toBe('REGISTRY_INVALID');
      expect(seen).toHaveLength(1);
    }
  });

  test('in lists: the same page again, one elsewhere, one that is none', async () => {
    const loop = answered(() => page('{"tags":["a"]}', { link: '</v2/app/tags/list?last=a>; rel="next"' }));
    expect(await failure(list(loop.repository.tags()))).toBe('REGISTRY_INVALID');
    expect(loop.seen).toHaveLength(2);
    const elsewhere = answered(() => page('{"tags":["a"]}', { link: '<https://b.example/>; rel="next"' }));
    expect(await failure(list(elsewhere.repository.tags()))).toBe('REGISTRY_INVALID');
    for (const body of ['<html>', '[]', '{"tags":"a"}', '{"tags":[1]}', ''])
      expect(await failure(list(answered(() => page(body)).repository.tags()))).toBe('REGISTRY_INVALID');
    expect(await list(answered(() => page('{"tags":null}')).repository.tags())).toEqual([]);
  });

  test('about what it stored', async () => {
    const uploads =
      (put: Answering): Answering =>
      (seen, count) =>
        seen.method === 'HEAD'
          ? page(null, {}, 404)
          : seen.method === 'POST'
            ? page(null, { location: '/upload/1' }, 202)
            : seen.method === 'DELETE'
              ? page(null, {}, 204)
              : put(seen, count);
    const said = answered(uploads(() => page(null, { 'docker-content-digest': digestOf('other') }, 201)));
    expect(await failure(said.repository.write('hello'))).toBe('REGISTRY_INVALID');
    // A chunk is acknowledged, but not stored.
    const forgets = answered(
      uploads(({ method }) =>
        method === 'PUT'
          ? page(null, {}, 201)
          : page(null, { location: '/upload/1', range: '0-0' }, method === 'PATCH' ? 202 : 204),
      ),
      { chunkSize: 1000 },
    );
    expect(await failure(forgets.repository.write(pattern(5000)))).toBe('REGISTRY_INVALID');
    expect(forgets.seen.some(({ method }) => method === 'PUT')).toBe(false);
    expect(forgets.seen.at(-1)?.method).toBe('DELETE');
    // It names no place to upload to, or one that is not safe.
    for (const location of [undefined, 'http://b.example/upload']) {
      const nowhere = answered(({ method }) =>
        method === 'POST' ? page(null, location ? { location } : {}, 202) : page(null, {}, 404),
      );
      expect(await failure(nowhere.repository.write('hello'))).toBe('REGISTRY_INVALID');
    }
    const put = answered(() => page(null, { 'docker-content-digest': digestOf('other') }, 201));
    expect(await failure(put.repository.write(manifestBytes, manifest))).toBe('REGISTRY_INVALID');
  });

  test('by asking for chunks that no memory holds', async () => {
    const { repository } = answered(
      ({ method }) =>
        method === 'POST'
          ? page(null, { location: '/u', 'oci-chunk-min-length': '99999999999' }, 202)
          : page(null, {}, 204),
      { chunkSize: 1000 },
    );
    expect(await failure(repository.write(pattern(5000)))).toBe('LIMIT_EXCEEDED');
  });
});

/** A registry of blobs in memory, chunks and all, which a test may disturb. */
function memoryRegistry(
  disturb: Answering = () => page(null, {}, 599),
  minimum = 0,
): { answer: Answering; blobs: Map<string, Uint8Array>; chunks: number[] } {
  const blobs = new Map<string, Uint8Array>();
  const uploads = new Map<string, Uint8Array>();
  const chunks: number[] = [];
  const append = (url: URL, body: Uint8Array): Uint8Array => {
    const held = uploads.get(url.pathname) ?? new Uint8Array(0);
    const joined = new Uint8Array(held.length + body.length);
    joined.set(held);
    joined.set(body, held.length);
    uploads.set(url.pathname, joined);
    return joined;
  };
  const state = (url: URL, status: number): Response =>
    page(null, { location: url.pathname, range: `0-${(uploads.get(url.pathname)?.length ?? 0) - 1}` }, status);
  const answer: Answering = async (seen, count) => {
    const disturbed = await disturb(seen, count);
    if (disturbed.status === 598) append(seen.url, seen.body.subarray(0, Math.floor(seen.body.length / 2)));
    if (disturbed.status === 598) throw new TypeError('the connection broke');
    if (disturbed.status !== 599) return disturbed;
    const { method, url, body, headers } = seen;
    if (method === 'HEAD') {
      const blob = blobs.get(url.pathname.split('/').at(-1)!);
      return blob ? page(null, { 'content-length': String(blob.length) }) : page(null, {}, 404);
    }
    if (method === 'POST') {
      uploads.set(`/upload/${count}`, new Uint8Array(0));
      return page(
        null,
        { location: `/upload/${count}`, ...(minimum > 0 && { 'oci-chunk-min-length': String(minimum) }) },
        202,
      );
    }
    if (!uploads.has(url.pathname)) return page('{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}', {}, 404);
    if (method === 'PATCH') {
      const start = Number(headers.get('content-range')?.split('-')[0]);
      if (start !== uploads.get(url.pathname)!.length) return state(url, 416);
      chunks.push(body.length);
      append(url, body);
      return state(url, 202);
    }
    if (method === 'GET') return state(url, 204);
    if (method === 'DELETE') return uploads.delete(url.pathname) ? page(null, {}, 204) : page(null, {}, 404);
    const whole = append(url, body);
    const digest = url.searchParams.get('digest')!;
    if ((await digestBy(digest.split(':')[0] as 'sha256', whole)) !== digest)
      return page('{"errors":[{"code":"DIGEST_INVALID"}]}', {}, 400);
    blobs.set(digest, whole);
    return page(null, { location: `/blobs/${digest}` }, 201);
  };
  return { answer, blobs, chunks };
}

describe('an upload', () => {
  const content = pattern(10_500);
  const digest = digestOf(content);

  test('of a small blob is one request, of a large one as many as its chunks', async () => {
    const server = memoryRegistry();
    const { repository, seen } = answered(server.answer, { chunkSize: 4000 });
    await repository.write('small');
    expect(seen.map(({ method }) => method)).toEqual(['POST', 'PUT']);
    await repository.write(content, { digest, size: content.length });
    expect(seen.slice(2).map(({ method }) => method)).toEqual(['HEAD', 'POST', 'PATCH', 'PATCH', 'PATCH', 'PUT']);
    expect(seen.slice(4, 7).map(({ headers }) => headers.get('content-range'))).toEqual([
      '0-3999',
      '4000-7999',
      '8000-10499',
    ]);
    expect(same(server.blobs.get(digest)!, content)).toBe(true);
  });

  test('respects the smallest chunk that the registry takes', async () => {
    const server = memoryRegistry(undefined, 5000);
    const { repository } = answered(server.answer, { chunkSize: 1000 });
    await repository.write(content);
    expect(server.chunks).toEqual([5000, 5000, 500]);
  });

  test('goes on where it was when a chunk was lost, half stored, or stored but not acknowledged', async () => {
    for (const lose of ['before', 'half', 'after'] as const) {
      let patches = 0;
      const server = memoryRegistry((seen) => {
        if (seen.method !== 'PATCH' || ++patches !== 2) return page(null, {}, 599);
        if (lose === 'half') return page(null, {}, 598);
        if (lose === 'before') return page(null, {}, 503);
        return Promise.resolve(server.answer({ ...seen }, 0)).then(() => page(null, {}, 502));
      });
      const { repository, seen } = answered(server.answer, { chunkSize: 4000 });
      // A stream cannot be read again.
      const written = await repository.write(streamed(content));
      expect(written.digest).toBe(digest);
      expect(same(server.blobs.get(digest)!, content)).toBe(true);
      expect(seen.filter(({ method }) => method === 'POST')).toHaveLength(1);
    }
  });

  test('that is lost begins anew where its body can be read again, else fails and leaves nothing', async () => {
    const losing = () => {
      let lost = false;
      const server = memoryRegistry(({ method }) => {
        if (method !== 'PATCH' || lost || server.chunks.length < 2) return page(null, {}, 599);
        lost = true;
        return page('{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}', {}, 404);
      });
      return server;
    };
    const first = losing();
    await answered(first.answer, { chunkSize: 4000 }).repository.write(content);
    expect(same(first.blobs.get(digest)!, content)).toBe(true);
    const again = losing();
    const kept = answered(again.answer, { chunkSize: 4000 });
    const error = await failureOf(kept.repository.write(streamed(content)));
    expect(error.code).toBe('REGISTRY_FAILED');
    expect(error.details.registryCodes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
    expect(again.blobs.size).toBe(0);
  });

  test('that is altered on the way is sent again where it is in memory, else fails', async () => {
    let altered = 0;
    const server = memoryRegistry((seen) => {
      if (seen.body.length > 0 && altered++ === 0) seen.body[3]! ^= 1;
      return page(null, {}, 599);
    });
    await answered(server.answer).repository.write(content);
    expect(same(server.blobs.get(digest)!, content)).toBe(true);
    server.blobs.clear();
    altered = 0;
    const { repository } = answered(server.answer, { chunkSize: 4000 });
    const error = await failureOf(repository.write(streamed(content)));
    expect(error.details.registryCodes).toEqual(['DIGEST_INVALID']);
    expect(server.blobs.size).toBe(0);
  });

  test('whose last answer was lost is not made twice', async () => {
    for (const chunkSize of [4000, 100_000]) {
      let puts = 0;
      const server = memoryRegistry((seen) => {
        if (seen.method !== 'PUT' || ++puts !== 1) return page(null, {}, 599);
        return Promise.resolve(server.answer({ ...seen }, 0)).then(() => page(null, {}, 504));
      });
      const { repository, seen } = answered(server.answer, { chunkSize });
      await repository.write(content);
      expect(seen.filter(({ method }) => method === 'PUT')).toHaveLength(1);
      expect(same(server.blobs.get(digest)!, content)).toBe(true);
    }
  });

  test('of another algorithm than sha256 says so', async () => {
    const server = memoryRegistry();
    const { repository, seen } = answered(server.answer);
    const sha512 = await digestBy('sha512', content);
    await repository.write(content, { digest: sha512 });
    expect(seen.find(({ method }) => method === 'POST')?.url.search).toBe('?digest-algorithm=sha512');
    expect(server.blobs.has(sha512)).toBe(true);
  });

  test('that is aborted tells the registry, and rejects with the reason', async () => {
    const reason = new Error('enough');
    const controller = new AbortController();
    const server = memoryRegistry(({ method }) => {
      if (method === 'PATCH' && server.chunks.length === 1) controller.abort(reason);
      return page(null, {}, 599);
    });
    const { repository, seen } = answered(server.answer, { chunkSize: 1000 });
    await expect(repository.write(content, {}, { signal: controller.signal })).rejects.toBe(reason);
    for (let tries = 0; tries < 100 && seen.at(-1)?.method !== 'DELETE'; tries++)
      await new Promise((resolve) => setTimeout(resolve, 5));
    expect(seen.at(-1)?.method).toBe('DELETE');
    expect(server.blobs.size).toBe(0);
  });
});

describe('an upload that is streamed', () => {
  const content = pattern(10_500);
  const digest = digestOf(content);
  const whole = { digest, size: content.length };
  const options = { chunkSize: 4000, streamUploads: true };
  /** A body that can be read again, in chunks of a thousand bytes. */
  const chunked = (bytes: Uint8Array = content): AsyncIterable<Uint8Array> => ({
    async *[Symbol.asyncIterator]() {
      for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000);
    },
  });
  const sent = (seen: Seen[]): string[] =>
    seen
      .filter(({ method }) => method === 'PATCH')
      .map(({ headers, body }) => `${headers.get('content-range')} of ${body.length}`);

  test('is one request, whatever its size; what is small, unknown or read once is not streamed', async () => {
    const server = memoryRegistry();
    const { repository, seen } = answered(server.answer, options);
    await repository.write(chunked(), whole);
    expect(seen.map(({ method }) => method)).toEqual(['HEAD', 'POST', 'PATCH', 'PUT']);
    expect(sent(seen)).toEqual(['0-10499 of 10500']);
    expect(same(server.blobs.get(digest)!, content)).toBe(true);
    for (const body of [streamed(content), chunked()[Symbol.asyncIterator]() as AsyncGenerator<Uint8Array>]) {
      seen.length = 0;
      server.blobs.clear();
      await repository.write(body, whole);
      expect(sent(seen)).toHaveLength(3);
    }
    seen.length = 0;
    await repository.write(chunked(), { digest });
    await repository.write(content);
    await repository.write('small', { digest: digestOf('small'), size: 5 });
    expect(sent(seen)).toHaveLength(3);
  });

  test('goes on where it was when the connection broke, and anew when the session is gone', async () => {
    for (const breaks of ['once', 'often', 'for good', 'answer'] as const) {
      let patches = 0;
      const server = memoryRegistry((seen) => {
        if (seen.method !== 'PATCH') return page(null, {}, 599);
        patches++;
        if (breaks === 'for good' && patches === 1) return page('{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}', {}, 404);
        if (breaks === 'answer' && patches === 1)
          return Promise.resolve(server.answer({ ...seen }, 0)).then(() => page(null, {}, 502));
        if (breaks === 'often' && patches <= 3) return page(null, {}, 598);
        return page(null, {}, breaks === 'once' && patches === 1 ? 598 : 599);
      });
      const { repository, seen } = answered(server.answer, options);
      expect(await repository.write(chunked(), whole)).toMatchObject(whole);
      expect(same(server.blobs.get(digest)!, content)).toBe(true);
      expect(seen.filter(({ method }) => method === 'POST')).toHaveLength(breaks === 'for good' ? 2 : 1);
      if (breaks === 'once') expect(sent(seen)).toEqual(['0-10499 of 10500', '5250-10499 of 5250']);
      if (breaks === 'often') expect(sent(seen).at(-1)).toBe('9187-10499 of 1313');
      if (breaks === 'answer') expect(sent(seen)).toHaveLength(1);
    }
  });

  test('goes in chunks where the registry, or what stands before it, takes none or breaks it', async () => {
    for (const [status, again] of [
      [411, false],
      [413, false],
      [501, false],
      [502, true],
    ] as const) {
      const server = memoryRegistry(({ method, body }) =>
        page(null, {}, method === 'PATCH' && body.length > 4000 ? status : 599),
      );
      const { repository, seen } = answered(server.answer, options);
      for (const isStreamed of [true, again]) {
        seen.length = 0;
        server.blobs.clear();
        await repository.write(chunked(), whole);
        expect(same(server.blobs.get(digest)!, content)).toBe(true);
        expect(sent(seen)).toHaveLength(isStreamed ? 4 : 3);
        expect(seen.filter(({ method }) => method === 'DELETE')).toHaveLength(isStreamed ? 1 : 0);
      }
    }
  });

  test('is sent anew where it is redirected, and where the token has expired', async () => {
    let asked = 0;
    const server = memoryRegistry(({ method, url }) => {
      if (method !== 'PATCH' || url.search !== '' || asked++ > 1) return page(null, {}, 599);
      return asked === 1
        ? page(null, { 'www-authenticate': 'Basic realm="x"' }, 401)
        : redirect(`${url.pathname}?elsewhere=1`);
    });
    const credentials = () => ({ username: 'user', password: 'password' });
    const { repository, seen } = answered(server.answer, { ...options, credentials });
    await repository.write(chunked(), whole);
    expect(sent(seen)).toEqual(Array(3).fill('0-10499 of 10500'));
    expect(same(server.blobs.get(digest)!, content)).toBe(true);
  });

  test('of what is not what was expected, or cannot be read, never ends', async () => {
    const wrong = content.slice();
    wrong[10_499]! ^= 1;
    const failing: AsyncIterable<Uint8Array> = {
      async *[Symbol.asyncIterator]() {
        yield content.subarray(0, 5000);
        throw new TypeError('the disk is gone');
      },
    };
    for (const [body, expected] of [
      [chunked(wrong), 'DIGEST_MISMATCH'],
      [chunked(content.subarray(1)), 'SIZE_MISMATCH'],
      [chunked(pattern(10_501)), 'SIZE_MISMATCH'],
      [failing, 'the disk is gone'],
    ] as const) {
      const server = memoryRegistry();
      const { repository, seen } = answered(server.answer, options);
      const error = await repository.write(body, whole).then(
        () => undefined,
        (reason: { code?: string; message: string }) => reason,
      );
      expect(error?.code ?? error?.message).toBe(expected);
      expect(seen.map(({ method }) => method)).toEqual(['HEAD', 'POST', 'DELETE']);
      expect(server.blobs.size).toBe(0);
    }
  });

  test('that is aborted rejects with the reason, however its source hangs', async () => {
    const reason = new Error('enough');
    for (const hangs of [true, false]) {
      const controller = new AbortController();
      const hanging: AsyncIterable<Uint8Array> = {
        async *[Symbol.asyncIterator]() {
          yield content.subarray(0, 5000);
          setTimeout(() => controller.abort(reason), 5);
          if (hangs) await new Promise(() => {});
          yield content.subarray(5000);
        },
      };
      const server = memoryRegistry(({ method }) =>
        method === 'PATCH' ? new Promise<Response>(() => {}) : page(null, {}, 599),
      );
      const { repository } = answered(server.answer, options);
      await expect(repository.write(hanging, whole, { signal: controller.signal })).rejects.toBe(reason);
      expect(server.blobs.size).toBe(0);
    }
  });
});

describe('a download', () => {
  const content = pattern(300_000);
  const blob = describeBytes(content);
  const broken = (from: number, to: number): ReadableStream<Uint8Array> =>
    new ReadableStream({
      start(controller) {
        controller.enqueue(content.slice(from, to));
      },
      pull(controller) {
        controller.error(new TypeError('terminated'));
      },
    });

  test('goes on by Range where the connection broke', async () => {
    const { repository, seen } = answered(({ headers }) => {
      const from = Number(/bytes=(\d+)-/.exec(headers.get('range') ?? '')?.[1] ?? 0);
      const body = from < 200_000 ? broken(from, from + 100_000) : content.slice(from);
      return page(
        body as BodyInit,
        from > 0 ? { 'content-range': `bytes ${from}-299999/300000` } : {},
        from > 0 ? 206 : 200,
      );
    });
    expect(same(await all(await repository.read(blob)), content)).toBe(true);
    expect(seen.map(({ headers }) => headers.get('range'))).toEqual([null, 'bytes=100000-', 'bytes=200000-']);
  });

  test('passes over what it has where the registry knows no ranges', async () => {
    const { repository } = answered((_, count) => page(count < 3 ? broken(0, 100_000) : content));
    expect(same(await all(await repository.read(blob)), content)).toBe(true);
  });

  test('that stalls is taken up again, and one that stalls for ever fails', async () => {
    const silent = (): Response => page(new ReadableStream({ pull: () => new Promise(() => {}) }) as BodyInit);
    const once = answered((_, count) => (count === 1 ? silent() : page(content)), { timeout: 20 });
    expect(same(await all(await once.repository.read(blob)), content)).toBe(true);
    const always = answered(silent, { timeout: 20, retries: 1 });
    expect(await failure(always.repository.read(blob).then(all))).toBe('REGISTRY_FAILED');
    const mute = answered(() => new Promise<Response>(() => {}), { timeout: 20, retries: 1 });
    expect(await failure(mute.repository.read(blob))).toBe('REGISTRY_FAILED');
    expect(mute.seen).toHaveLength(2);
  });
});

describe('trying again', () => {
  test('what may pass is asked for again, what may not is not', async () => {
    for (const status of [408, 429, 500, 502, 503, 504]) {
      const { repository, seen } = answered((_, count) =>
        count < 3 ? page('no', { 'retry-after': '0' }, status) : manifestPage(),
      );
      expect((await repository.resolve('1')).digest).toBe(manifest.digest);
      expect(seen).toHaveLength(3);
    }
    for (const status of [400, 403, 405, 501]) {
      const { repository, seen } = answered(() =>
        page('{"errors":[{"code":"DENIED","message":"no\\nway"}]}', {}, status),
      );
      const error = await failureOf(repository.resolve('1'));
      expect(error.code).toBe(status === 403 ? 'UNAUTHORIZED' : 'REGISTRY_FAILED');
      expect(error.details).toEqual({
        status,
        method: 'GET',
        url: 'https://a.example/v2/app/manifests/1',
        registryCodes: ['DENIED'],
      });
      expect(seen).toHaveLength(1);
    }
  });

  test('it ends after the retries, and at once where the registry wants too long a wait', async () => {
    const busy = answered(() => page('', {}, 503), { retries: 2 });
    expect(await failure(busy.repository.resolve('1'))).toBe('REGISTRY_FAILED');
    expect(busy.seen).toHaveLength(3);
    const later = answered(() => page('', { 'retry-after': '3600' }, 429));
    expect((await failureOf(later.repository.resolve('1'))).details.status).toBe(429);
    expect(later.seen).toHaveLength(1);
    const down = answered(() => Promise.reject(new TypeError('fetch failed')), { retries: 1 });
    expect(await failure(down.repository.resolve('1'))).toBe('REGISTRY_FAILED');
  });

  test('every wait ends on the signal', async () => {
    const reason = new Error('enough');
    for (const answer of [() => page('', { 'retry-after': '30' }, 503), () => new Promise<Response>(() => {})]) {
      const controller = new AbortController();
      const waiting = answered(answer).repository.resolve('1', { signal: controller.signal });
      setTimeout(() => controller.abort(reason), 10);
      await expect(waiting).rejects.toBe(reason);
    }
  });
});

describe('credentials', () => {
  const secret = 'top-secret-password';
  const credentials = () => ({ username: 'me', password: secret });
  const challenge = (realm: string): Response =>
    page('{}', { 'www-authenticate': `Bearer realm="${realm}",service="s"` }, 401);

  test('do not follow a redirect to another origin, and follow one within it', async () => {
    const { repository, seen } = answered(
      ({ url, headers }) => {
        if (url.host === 'cdn.example') return page('hello');
        if (headers.get('authorization') === null) return page(null, { 'www-authenticate': 'Basic realm="x"' }, 401);
        return redirect(url.pathname === '/moved' ? 'https://cdn.example/blob?signature=x' : '/moved');
      },
      { credentials },
    );
    await all(await repository.read(describeBytes('hello')));
    expect(seen.map(({ url, headers }) => [url.pathname, headers.has('authorization')])).toEqual([
      [`/v2/app/blobs/${digestOf('hello')}`, false],
      [`/v2/app/blobs/${digestOf('hello')}`, true],
      ['/moved', true],
      ['/blob', false],
    ]);
  });

  test('do not come back with a redirect that comes back, nor go to an upload elsewhere', async () => {
    const back = answered(
      ({ url, headers }) => {
        if (url.host === 'b.example') return redirect('https://a.example/back');
        if (url.pathname === '/back') return page('hello');
        if (headers.get('authorization') === null) return page(null, { 'www-authenticate': 'Basic realm="x"' }, 401);
        return redirect('https://b.example/');
      },
      { credentials },
    );
    await all(await back.repository.read(describeBytes('hello')));
    expect(back.seen.find(({ url }) => url.host === 'b.example')?.headers.has('authorization')).toBe(false);
    const away = answered(
      ({ url, method, headers }) => {
        if (url.host === 'store.example') return page(null, {}, 201);
        if (headers.get('authorization') === null) return page(null, { 'www-authenticate': 'Basic realm="x"' }, 401);
        return method === 'POST'
          ? page(null, { location: 'https://store.example/up?key=1' }, 202)
          : page(null, {}, 404);
      },
      { credentials },
    );
    await away.repository.write('hello');
    expect(away.seen.at(-1)?.url.href).toBe(
      `https://store.example/up?key=1&digest=${encodeURIComponent(digestOf('hello'))}`,
    );
    expect(away.seen.at(-1)?.headers.has('authorization')).toBe(false);
  });

  test('never go over plain http, but to loopback', async () => {
    const basic = () => page(null, { 'www-authenticate': 'Basic realm="x"' }, 401);
    const plain = answered(basic, { credentials, plainHttp: true });
    expect((await failureOf(plain.repository.resolve('1'))).code).toBe('UNAUTHORIZED');
    expect(plain.seen).toHaveLength(1);
    const local = answered(
      ({ headers }) => (headers.has('authorization') ? manifestPage() : basic()),
      { credentials },
      'localhost:5000',
    );
    expect((await local.repository.resolve('1')).digest).toBe(manifest.digest);
  });

  test('go to a token server over https alone; on loopback to one on loopback', async () => {
    const tokens = (realm: string, host?: string) =>
      answered(
        ({ url, headers }) => {
          if (url.pathname === '/token') return page('{"access_token":"abc","expires_in":300}');
          return headers.get('authorization') === 'Bearer abc' ? manifestPage() : challenge(realm);
        },
        { credentials },
        host,
      );
    const good = tokens('https://auth.example/token?x=1');
    await good.repository.resolve('1');
    await good.repository.resolve('2');
    expect(good.seen).toHaveLength(4);
    expect(good.seen[1]?.url.href).toBe('https://auth.example/token?x=1&service=s&scope=repository%3Aapp%3Apull');
    expect(good.seen[1]?.headers.get('authorization')).toBe(`Basic ${btoa(`me:${secret}`)}`);
    for (const realm of [
      'http://auth.example/token',
      'http://127.0.0.1/token',
      'file:///token',
      '/token',
      'https://me:x@auth.example/token',
    ]) {
      const { repository, seen } = tokens(realm);
      expect(await failure(repository.resolve('1'))).toBe('UNAUTHORIZED');
      expect(seen).toHaveLength(1);
    }
    await tokens('http://localhost:1/token', '127.0.0.1:5000').repository.resolve('1');
    expect(await failure(tokens('http://auth.example/token', '127.0.0.1:5000').repository.resolve('1'))).toBe(
      'UNAUTHORIZED',
    );
  });

  test('and tokens are in no error, whoever repeats them', async () => {
    const repeats = ({ headers }: Seen): Response =>
      headers.has('authorization')
        ? page(JSON.stringify({ errors: [{ code: 'DENIED', message: `no ${secret} for you` }] }), {}, 403)
        : page(null, { 'www-authenticate': 'Basic realm="x"' }, 401);
    const errors = [
      await failureOf(answered(repeats, { credentials }).repository.resolve('1')),
      await failureOf(
        answered(
          ({ url }) =>
            url.pathname === '/t'
              ? page(`{"code":"X","message":"${secret}"}`, {}, 401)
              : challenge('https://a.example/t'),
          { credentials },
        ).repository.resolve('1'),
      ),
      await failureOf(
        answered(() => challenge('https://a.example/t'), {
          credentials: () => ({ token: `${secret}\n` }),
        }).repository.resolve('1'),
      ),
      await failureOf(
        answered(({ url }) => redirect(`https://me:${secret}@b.example${url.pathname}?${secret}`)).repository.resolve(
          '1',
        ),
      ),
    ];
    for (const error of errors) {
      const shown = `${error.message} ${error.stack} ${JSON.stringify(error.details)} ${error.cause}`;
      expect(shown).not.toContain(secret);
      expect(shown).not.toContain(btoa(`me:${secret}`));
    }
  });

  test('a token that has expired, or does not reach, is fetched again once', async () => {
    let issued = 0;
    const { repository, seen } = answered(({ url, headers }) => {
      if (url.pathname === '/token') return page(JSON.stringify({ token: `t${++issued}` }));
      if (headers.get('authorization') === `Bearer t${url.pathname.endsWith('2') ? 2 : 1}`) return manifestPage();
      return page(
        null,
        {
          'www-authenticate':
            'Bearer realm="https://x.example/token",scope="repository:app:pull,special repository:other:push",error="insufficient_scope"',
        },
        401,
      );
    });
    await repository.resolve('1');
    await repository.resolve('2');
    const scopes = seen
      .filter(({ url }) => url.pathname === '/token')
      .map(({ url }) => url.searchParams.getAll('scope'));
    expect(scopes).toEqual([['repository:app:pull'], ['repository:app:pull,special']]);
    expect(await failure(repository.resolve('3'))).toBe('UNAUTHORIZED');
    expect(seen.length).toBeLessThan(14);
  });

  test('of a token that is short-lived a new one is fetched in time, and one that many want is fetched once', async () => {
    let issued = 0;
    const { repository } = answered(({ url, headers }) => {
      if (url.pathname === '/token') {
        issued++;
        return page('{"token":"t","expires_in":0.02}');
      }
      return headers.has('authorization') ? manifestPage() : challenge('https://x.example/token');
    });
    await repository.resolve('1');
    await new Promise((resolve) => setTimeout(resolve, 40));
    await repository.resolve('1');
    expect(issued).toBe(2);
    await new Promise((resolve) => setTimeout(resolve, 40));
    await Promise.all(['1', '2', '3', '4'].map((tag) => repository.resolve(tag)));
    expect(issued).toBe(3);
  });
});

describe('lists', () => {
  test('come page by page, and no further than they are read', async () => {
    const { repository, seen } = answered(({ url }) => {
      const last = Number(url.searchParams.get('last') ?? 0);
      const tags = [`t${last + 1}`, `t${last + 2}`];
      return page(
        JSON.stringify({ name: 'app', tags }),
        last < 10 ? { link: `</v2/app/tags/list?last=${last + 2}>; rel="next"` } : {},
      );
    });
    expect(await list(repository.tags(), 3)).toEqual(['t1', 't2', 't3']);
    expect(seen).toHaveLength(2);
    expect(await list(repository.tags())).toHaveLength(12);
  });

  test('a full page without a link is followed by what comes after its last name', async () => {
    const names = Array.from({ length: 2500 }, (_, index) => `t${String(index).padStart(5, '0')}`);
    const paged = answered(({ url }) => {
      const from = names.indexOf(url.searchParams.get('last') ?? '') + 1;
      return page(JSON.stringify({ tags: names.slice(from, from + Number(url.searchParams.get('n'))) }));
    });
    expect(await list(paged.repository.tags())).toEqual(names);
    const whole = answered(() => page(JSON.stringify({ tags: names })));
    expect(await list(whole.repository.tags())).toEqual(names);
  });

  test('the referrers API is read page by page, and filtered whether the registry does or not', async () => {
    const index = (...types: string[]): string =>
      JSON.stringify({
        schemaVersion: 2,
        mediaType: mediaTypes.index,
        manifests: types.map((artifactType) => ({ ...describeBytes(artifactType, mediaTypes.manifest), artifactType })),
      });
    const { repository, seen } = answered(({ url }) =>
      url.searchParams.has('last') ? page(index('a/c')) : page(index('a/a', 'a/b'), { link: '<?last=1>; rel=next' }),
    );
    expect(await repository.referrers(manifest)).toHaveLength(3);
    expect(
      (await repository.referrers(manifest, { artifactType: 'a/c' })).map(({ artifactType }) => artifactType),
    ).toEqual(['a/c']);
    expect(seen.at(-2)?.url.searchParams.get('artifactType')).toBe('a/c');
    expect(await failure(answered(() => page('<html>')).repository.referrers(manifest))).toBe('REGISTRY_INVALID');
  });

  test('a registry that takes note of the subject itself is left to it', async () => {
    const referring = serializeManifest({
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      artifactType: 'a/b',
      config: emptyDescriptor,
      layers: [],
      subject: manifest,
    });
    const { repository, seen } = answered(() => page(null, { 'oci-subject': manifest.digest }, 201));
    await repository.write(referring, { mediaType: mediaTypes.manifest });
    expect(seen.map(({ method }) => method)).toEqual(['PUT']);
  });
});

describe('a repository', () => {
  test('is named without tag or digest, and belongs to its registry', async () => {
    expect(new RemoteRepository('alpine').name).toBe('library/alpine');
    expect(new RemoteRepository('localhost:5000/a/b').registry.origin.href).toBe('http://localhost:5000/');
    for (const reference of [
      'a.example/b:1',
      `a.example/b@${digestOf('x')}`,
      'a.example/B',
      '../x',
      'https://a.example/b',
    ])
      expect(await failure((async () => new RemoteRepository(reference))())).toBe('REFERENCE_INVALID');
    expect(await failure((async () => new RemoteRepository('a.example/b', new Registry('c.example')))())).toBe(
      'REFERENCE_INVALID',
    );
    for (const host of ['', 'a', 'https://a.example', 'a.example/b', 'a.example?x'])
      expect(await failure((async () => new Registry(host))())).toBe('REFERENCE_INVALID');
  });

  test('surfaces rate limits and warnings', async () => {
    const limits: unknown[] = [];
    const warnings: string[] = [];
    const { repository } = answered(() => manifestPage({ 'ratelimit-remaining': '9;w=60', warning: '299 - "old"' }), {
      onRateLimit: (limit) => limits.push(limit),
      onWarning: (text) => warnings.push(text),
    });
    await repository.resolve('1');
    await repository.resolve('2');
    expect(repository.registry.rateLimit).toEqual({ remaining: 9, window: 60 });
    expect(limits).toHaveLength(2);
    expect(warnings).toEqual(['old']);
  });

  test('a tag of a layout that no registry takes can be copied under another', async () => {
    const layout = await Layout.create(new MemoryStorage());
    await layout.write('{}', emptyDescriptor);
    await layout.write(manifestBytes, manifest);
    await layout.tag(manifest, 'myapp:1.0');
    const { repository, seen } = answered(({ method }) =>
      method === 'HEAD'
        ? page(null, {}, 404)
        : method === 'POST'
          ? page(null, { location: '/u' }, 202)
          : page(null, {}, 201),
    );
    expect(await failure(copy(layout, repository, { references: ['myapp:1.0'] }))).toBe('REFERENCE_INVALID');
    await copy(layout, repository, { references: [['myapp:1.0', '1.0']] });
    expect(seen.at(-1)?.url.pathname).toBe('/v2/app/manifests/1.0');
    expect(seen.at(-1)?.body).toEqual(manifestBytes);
  });
});

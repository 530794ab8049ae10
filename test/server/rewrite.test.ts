/** Content served as it is, and images rewritten on their way to who pulls them. */
import { beforeEach, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/bytes/hash.ts';
import { copyGraph } from '../../src/content/copy.ts';
import { imageContent } from '../../src/image/image-content.ts';
import {
  type ContentSource,
  createLayer,
  type Descriptor,
  Image,
  Layout,
  MemoryStorage,
  mediaTypes,
  StowageError,
  serializeIndex,
} from '../../src/index.ts';
import { RemoteRepository } from '../../src/registry/index.ts';
import {
  type Handler,
  type RewriteOptions,
  rewrite,
  type ServedSource,
  serve,
  type Transform,
} from '../../src/server/index.ts';
import { type Client, clientOf, codesOf, filesIn } from './client.ts';

let layout: Layout;
let amd64: Image;
let arm64: Image;
/** Digests of blobs that were read from upstream. */
let reads: string[];
let upstream: ServedSource;

beforeEach(async () => {
  layout = await Layout.create(new MemoryStorage());
  [amd64, arm64] = (await Promise.all(
    ['linux/amd64', 'linux/arm64'].map(async (platform) =>
      (await Image.scratch({ platform }).addLayer([{ path: 'base', body: `base of ${platform}` }])).env({ A: 'b' }),
    ),
  )) as [Image, Image];
  await put('single', amd64);
  await put('multi', [amd64, arm64]);
  reads = [];
  addNote = (image, platform) => noteAdded(image, platform);
  upstream = {
    resolve: (reference) => layout.resolve(reference),
    has: (descriptor) => layout.has(descriptor),
    stat: (digest) => layout.stat(digest),
    tags: () => layout.tags(),
    read: (descriptor) => {
      reads.push(descriptor.digest);
      return layout.read(descriptor);
    },
  };
});

async function put(tag: string, images: Image | Image[]): Promise<Descriptor> {
  const content = imageContent(images);
  await copyGraph(content, layout, [content.root]);
  await layout.tag(content.root, tag);
  return content.root;
}

/** What each test starts from: a function of its own, since sources of the same function share their memory. */
let addNote: Transform;

const noteAdded: Transform = async (image, platform) =>
  (await image.addLayer([{ path: 'etc/note', body: `seen on ${platform.architecture}` }])).label('seen', 'yes');

function through(transform: Transform, options?: RewriteOptions): Client {
  const source = rewrite(upstream, transform, options);
  return clientOf(serve((repository) => (repository === 'app' ? source : undefined)));
}

/** Pulls an image and everything it names, each checked against its digest, as a client does. */
async function pull(client: Client, reference: string): Promise<{ digest: string; blobs: Map<string, string> }> {
  const blobs = new Map<string, string>();
  const fetchAll = async (kind: string, name: string): Promise<string> => {
    const response = await client('GET', `/v2/app/${kind}/${name}`);
    expect([name, response.status]).toEqual([name, 200]);
    const bytes = new Uint8Array(await response.arrayBuffer());
    const digest = digestOf(bytes);
    expect(response.headers.get('docker-content-digest')).toBe(digest);
    if (name.includes(':')) expect(digest).toBe(name);
    const head = await client('HEAD', `/v2/app/${kind}/${name}`);
    expect(head.headers.get('content-length')).toBe(String(bytes.length));
    const text = new TextDecoder('latin1').decode(bytes);
    blobs.set(digest, text);
    if (kind === 'manifests') {
      const document = JSON.parse(text) as { manifests?: Descriptor[]; config?: Descriptor; layers?: Descriptor[] };
      for (const child of document.manifests ?? []) await fetchAll('manifests', child.digest);
      for (const child of [document.config, ...(document.layers ?? [])])
        if (child) await fetchAll('blobs', child.digest);
    }
    return digest;
  };
  return { digest: await fetchAll('manifests', reference), blobs };
}

describe('serve, given content in place of a storage', () => {
  test('is a read-only registry of it, by tag and by digest', async () => {
    const client = clientOf(serve((repository) => (repository === 'app' ? layout : undefined)));
    const { digest, blobs } = await pull(client, 'multi');
    expect(digest).toBe((await layout.resolve('multi')).digest);
    expect(blobs.size).toBe(7);
    expect((await pull(client, amd64.descriptor.digest)).blobs.size).toBe(3);
    expect(await (await client('GET', '/v2/app/tags/list')).json()).toEqual({ name: 'app', tags: ['multi', 'single'] });
    for (const [path, code] of [
      ['/v2/app/manifests/none', 'MANIFEST_UNKNOWN'],
      [`/v2/app/blobs/${digestOf('none')}`, 'BLOB_UNKNOWN'],
      ['/v2/other/manifests/single', 'NAME_UNKNOWN'],
    ] as const) {
      const response = await client('GET', path);
      expect([response.status, await codesOf(response)]).toEqual([404, [code]]);
    }
    expect((await client('POST', '/v2/app/blobs/uploads/')).status).toBe(405);
    expect((await client('PUT', '/v2/app/manifests/single')).status).toBe(405);
  });

  test('serves what knows blobs by descriptor alone from the manifests that it served, in ranges too', async () => {
    const plain: ContentSource = {
      resolve: (reference) => layout.resolve(reference),
      has: (descriptor) => layout.has(descriptor),
      read: (descriptor) => layout.read(descriptor),
    };
    const client = clientOf(serve(() => plain));
    const [layer] = amd64.layers;
    const path = `/v2/app/blobs/${layer?.descriptor.digest}`;
    expect((await client('GET', path)).status).toBe(404);
    const { blobs } = await pull(client, 'single');
    const part = await client('GET', path, { headers: { Range: 'bytes=3-9' } });
    expect(part.status).toBe(206);
    const text = new TextDecoder('latin1').decode(await part.arrayBuffer());
    expect(text).toBe(blobs.get(layer?.descriptor.digest ?? '')?.slice(3, 10));
    expect((await client('GET', `/v2/app/referrers/${amd64.descriptor.digest}`)).status).toBe(404);
  });

  test("passes a source's own answers on: ranges, redirects, and 404", async () => {
    const asked: unknown[] = [];
    const source: ServedSource = {
      ...upstream,
      stat: undefined,
      async fetchBlob(digest, { method, range, redirect }) {
        asked.push({ method, range, redirect });
        if (digest === digestOf('none')) return undefined;
        if (redirect)
          return new Response(null, { status: 307, headers: { Location: 'https://cdn.test/x?signature=1' } });
        const headers = { 'Content-Range': 'bytes 0-1/9', 'Content-Length': '2', 'Set-Cookie': 'a=b', ETag: 'theirs' };
        return new Response('ab', { status: range ? 206 : 200, headers });
      },
    };
    const digest = digestOf('some');
    const direct = clientOf(serve(() => source));
    const part = await direct('GET', `/v2/app/blobs/${digest}`, { headers: { Range: 'bytes=0-1' } });
    expect([part.status, part.headers.get('content-range'), await part.text()]).toEqual([206, 'bytes 0-1/9', 'ab']);
    expect([part.headers.get('etag'), part.headers.get('set-cookie')]).toEqual([`"${digest}"`, null]);
    expect((await direct('GET', `/v2/app/blobs/${digestOf('none')}`)).status).toBe(404);
    const sentOn = clientOf(serve(() => rewrite(source, addNote, { redirect: true })));
    const away = await sentOn('GET', `/v2/app/blobs/${digest}`);
    expect([away.status, away.headers.get('location')]).toEqual([307, 'https://cdn.test/x?signature=1']);
    expect(away.headers.get('cache-control')).toBe('no-store');
    expect(asked.at(-1)).toEqual({ method: 'GET', range: undefined, redirect: true });
  });

  test("passes errors upstream on in the protocol's form, and no question for credentials", async () => {
    const failing = (details: Record<string, unknown>): Handler =>
      serve(() => ({
        ...upstream,
        resolve: async () => {
          throw new StowageError('REGISTRY_FAILED', 'The registry answered.', details);
        },
      }));
    const cases = [
      [{ status: 401, registryCodes: ['UNAUTHORIZED'] }, 403, 'DENIED'],
      [{ status: 403, registryCodes: ['DENIED'] }, 403, 'DENIED'],
      [{ status: 404, registryCodes: ['NAME_UNKNOWN'] }, 404, 'NAME_UNKNOWN'],
      [{ status: 429, registryCodes: ['TOOMANYREQUESTS'] }, 429, 'TOOMANYREQUESTS'],
      [{ status: 418, registryCodes: ['UNSUPPORTED'] }, 418, 'UNSUPPORTED'],
      [{ status: 503, registryCodes: [] }, 502, 'UNKNOWN'],
      [{}, 502, 'UNKNOWN'],
    ] as const;
    for (const [details, status, code] of cases) {
      const response = await clientOf(failing(details))('GET', '/v2/app/manifests/v1');
      expect([response.status, await codesOf(response)]).toEqual([status, [code]]);
      expect(response.headers.get('www-authenticate')).toBeNull();
    }
  });

  test('content that is not what its digest says breaks off, and is a fault of upstream', async () => {
    const source: ServedSource = {
      ...upstream,
      read: async () => new Response('{}').body as ReadableStream<Uint8Array>,
    };
    const response = await clientOf(serve(() => source))('GET', '/v2/app/manifests/single');
    expect(response.status === 200 ? digestOf(await response.text()) : response.status).not.toBe(200);
  });
});

describe('rewrite', () => {
  test('gives the transformed image, its new layer, and the blobs of the base as they are', async () => {
    const { blobs, digest } = await pull(through(addNote), 'single');
    const expected = await addNote(amd64, amd64.platform);
    expect(digest).toBe(expected.descriptor.digest);
    expect([...blobs.keys()].sort()).toEqual(
      [expected.descriptor, expected.manifest.config, ...expected.manifest.layers].map((one) => one.digest).sort(),
    );
    expect(blobs.get(expected.manifest.config.digest)).toContain('"seen":"yes"');
  });

  test('reads no layer of upstream to rewrite, and each document once', async () => {
    const client = through(addNote);
    await client('GET', '/v2/app/manifests/single');
    expect(reads.filter((digest) => digest === amd64.layers[0]?.descriptor.digest)).toEqual([]);
    const before = reads.length;
    await client('GET', '/v2/app/manifests/single');
    expect(reads.length).toBe(before);
  });

  test('transforms every image of an index, and says so to the platform', async () => {
    const { digest, blobs } = await pull(through(addNote), 'multi');
    const index = JSON.parse(blobs.get(digest) ?? '') as { manifests: Descriptor[] };
    const expected = await Promise.all([amd64, arm64].map((image) => addNote(image, image.platform)));
    expect(index.manifests.map((child) => child.digest)).toEqual(expected.map((image) => image.descriptor.digest));
    expect(index.manifests.map((child) => child.platform)).toEqual([amd64.platform, arm64.platform]);
    expect(blobs.size).toBe(9);
  });

  test('gives the same digest again, cached or not, wherever', async () => {
    const storage = new MemoryStorage();
    const cached = { cache: { storage, key: 'note-1' } };
    const first = await pull(through(addNote, cached), 'multi');
    let transformed = 0;
    const counting: Transform = (image, platform) => {
      transformed++;
      return addNote(image, platform);
    };
    expect(await pull(through(counting, cached), 'multi')).toEqual(first);
    expect(transformed).toBe(0);
    expect(await pull(through(counting), 'multi')).toEqual(first);
    expect(transformed).toBe(2);
    await pull(through(counting, { cache: { storage, key: 'note-2' } }), 'multi');
    expect(transformed).toBe(4);
  });

  test('lets another instance with the same cache serve what a manifest names', async () => {
    const cache = { storage: new MemoryStorage(), key: 'k' };
    const response = await through(addNote, { cache })('GET', '/v2/app/manifests/single');
    const { config, layers } = (await response.json()) as { config: Descriptor; layers: Descriptor[] };
    const other = through(addNote, { cache });
    for (const { digest } of [config, ...layers])
      expect((await other('GET', `/v2/app/blobs/${digest}`)).status).toBe(200);
    expect((await filesIn(cache.storage)).every((path) => path.startsWith('rewrites/'))).toBe(true);
  });

  test('keeps what twenty clients ask for at once right for each', async () => {
    const client = through(addNote);
    const pulled = await Promise.all(Array.from({ length: 20 }, () => pull(client, 'multi')));
    expect(new Set(pulled.map(({ digest }) => digest)).size).toBe(1);
  });

  test('takes layers that the transform made elsewhere', async () => {
    const layer = await createLayer([{ path: 'elsewhere', body: 'x' }]);
    const { blobs } = await pull(
      through((image) => image.append(layer)),
      'single',
    );
    expect(blobs.has(layer.descriptor.digest)).toBe(true);
  });

  test('leaves an image alone that the transform leaves alone, byte for byte', async () => {
    const { digest } = await pull(
      through((image) => image),
      'multi',
    );
    expect(digest).toBe((await layout.resolve('multi')).digest);
  });

  test('gives what is asked for by a digest of upstream as it is there', async () => {
    expect((await pull(through(addNote), amd64.descriptor.digest)).digest).toBe(amd64.descriptor.digest);
  });

  test('leaves artifacts as they are, and drops attestations of what it changed', async () => {
    const annotations = { 'vnd.docker.reference.digest': amd64.descriptor.digest };
    const attestation = { ...arm64.descriptor, platform: { os: 'unknown', architecture: 'unknown' }, annotations };
    const manifests = [amd64.descriptor, attestation];
    const index = serializeIndex({ schemaVersion: 2, mediaType: mediaTypes.index, manifests });
    await layout.tag(await layout.write(index, { mediaType: mediaTypes.index }), 'attested');
    const rewritten = await through(addNote)('GET', '/v2/app/manifests/attested');
    expect(((await rewritten.json()) as { manifests: unknown[] }).manifests).toHaveLength(1);
    const untouched = await through((image) => image)('GET', '/v2/app/manifests/attested');
    expect(((await untouched.json()) as { manifests: unknown[] }).manifests).toHaveLength(2);
  });

  test('answers a transform that fails with 500, and keeps nothing of it', async () => {
    const storage = new MemoryStorage();
    const told: unknown[] = [];
    const failure = new Error('no such plan');
    const source = rewrite(upstream, () => Promise.reject(failure), { cache: { storage, key: 'k' } });
    const client = clientOf(serve(() => source, { onError: (error) => told.push(error) }));
    expect((await client('GET', '/v2/app/manifests/single')).status).toBe(500);
    expect([told, await filesIn(storage)]).toEqual([[failure], []]);
  });

  test('stands before a registry: ranges pass through, redirects where they may, and refusals', async () => {
    const registry = serve(() => upstream);
    let away = false;
    const fetched: string[] = [];
    const remote = new RemoteRepository('127.0.0.1:1/app', {
      retries: 0,
      fetch: async (url, init) => {
        const request = new Request(url, { ...init, redirect: 'follow' });
        fetched.push(`${request.method} ${new URL(url).pathname} ${request.headers.get('range')}`);
        if (away && url.includes('/blobs/'))
          return new Response(null, { status: 307, headers: { Location: '/cdn/x' } });
        return registry(request);
      },
    });
    const digest = amd64.layers[0]?.descriptor.digest ?? '';
    const path = `/v2/app/blobs/${digest}`;
    const client = clientOf(serve(() => rewrite(remote, addNote)));
    expect((await pull(client, 'single')).digest).toBe((await addNote(amd64, amd64.platform)).descriptor.digest);
    const part = await client('GET', path, { headers: { Range: 'bytes=0-3' } });
    expect([part.status, (await part.arrayBuffer()).byteLength]).toEqual([206, 4]);
    expect(fetched.at(-1)).toBe(`GET ${path} bytes=0-3`);
    expect((await client('GET', path, { headers: { Range: 'bytes=999999-' } })).status).toBe(416);
    expect((await client('GET', `/v2/app/blobs/${digestOf('none')}`)).status).toBe(404);
    away = true;
    const redirecting = clientOf(serve(() => rewrite(remote, addNote, { redirect: true })));
    const sent = await redirecting('GET', path);
    expect([sent.status, sent.headers.get('location')]).toEqual([307, 'http://127.0.0.1:1/cdn/x']);
    expect((await client('GET', path)).status).toBe(404);
  });
});

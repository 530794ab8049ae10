/** What clients may not do, whatever they say: every refusal has the specification's code, and nothing is stored. */
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/bytes/hash.ts';
import { blobStore, emptyDescriptor, MemoryStorage, mediaTypes } from '../../src/index.ts';
import { collectGarbage, type Handler, serve } from '../../src/server/index.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { writeStorageFile } from '../../src/storage/write.ts';
import {
  bytesOf,
  type Client,
  clientOf,
  codesOf,
  describeBytes,
  filesIn,
  json,
  pushBlob,
  pushImage,
  startUpload,
} from './client.ts';

let storage: MemoryStorage;
let handler: Handler;
let client: Client;
let faults: unknown[];

beforeEach(() => {
  storage = new MemoryStorage();
  faults = [];
  handler = serve(storage, { onError: (error) => faults.push(error) });
  client = clientOf(handler);
});

async function expectRefusal(response: Response, status: number, code: string): Promise<void> {
  expect([response.status, await codesOf(response)]).toEqual([status, [code]]);
  expect(faults).toEqual([]);
}

describe('an upload', () => {
  test('of other content than its digest says is refused, and its parts are gone', async () => {
    const digest = digestOf('what was promised');
    const location = await startUpload(client, 'a');
    await client('PATCH', location, { body: 'something ' });
    await expectRefusal(await client('PUT', `${location}?digest=${digest}`, { body: 'else' }), 400, 'DIGEST_INVALID');
    expect(await filesIn(storage)).toEqual([]);
    await expectRefusal(await client('GET', location), 404, 'BLOB_UPLOAD_UNKNOWN');
  });

  test('does not become a blob that another repository holds, by naming its digest alone', async () => {
    const { digest } = await pushBlob(client, 'private', bytesOf('secret'));
    const location = await startUpload(client, 'a');
    await expectRefusal(await client('PUT', `${location}?digest=${digest}`), 400, 'DIGEST_INVALID');
    await expectRefusal(
      await client('POST', `/v2/a/blobs/uploads/?digest=${digest}`, { body: 'guess' }),
      400,
      'DIGEST_INVALID',
    );
    expect((await client('HEAD', `/v2/a/blobs/${digest}`)).status).toBe(404);
    await pushBlob(client, 'a', bytesOf('secret'));
    expect((await client('HEAD', `/v2/a/blobs/${digest}`)).status).toBe(200);
    expect(await filesIn(storage, 'blobs/')).toHaveLength(1);
  });

  test('with fewer or more bytes than its Content-Range says is refused, and stays where it was', async () => {
    const location = await startUpload(client, 'a');
    for (const range of ['0-5', '0-7', '0-5368709119'])
      await expectRefusal(
        await client('PATCH', location, { headers: { 'Content-Range': range }, body: 'content' }),
        400,
        'SIZE_INVALID',
      );
    for (const range of ['bytes 0-6/7', '0-', '-6', '6-0', 'x-y', '0-99999999999999999999'])
      await expectRefusal(
        await client('PATCH', location, { headers: { 'Content-Range': range }, body: 'content' }),
        400,
        'BLOB_UPLOAD_INVALID',
      );
    expect((await client('GET', location)).headers.get('range')).toBe('0-0');
    expect(await filesIn(storage)).toHaveLength(1);
  });

  test('past the limits is refused', async () => {
    client = clientOf(serve(storage, { limits: { blobBytes: 10, uploadParts: 2 } }));
    const large = await startUpload(client, 'a');
    await expectRefusal(await client('PATCH', large, { body: '01234567890' }), 413, 'SIZE_INVALID');
    expect((await client('PATCH', large, { body: '012345' })).status).toBe(202);
    await expectRefusal(
      await client('PUT', `${large}?digest=${digestOf('01234567890')}`, { body: '67890' }),
      413,
      'SIZE_INVALID',
    );
    expect((await client('PATCH', large, { body: '6' })).status).toBe(202);
    await expectRefusal(await client('PATCH', large, { body: '7' }), 413, 'SIZE_INVALID');
    expect((await client('PUT', `${large}?digest=${digestOf('01234567')}`, { body: '7' })).status).toBe(201);
  });

  test('belongs to its repository', async () => {
    const location = await startUpload(client, 'a');
    const elsewhere = location.replace('/v2/a/', '/v2/b/');
    for (const method of ['GET', 'PATCH', 'DELETE'])
      await expectRefusal(await client(method, elsewhere), 404, 'BLOB_UPLOAD_UNKNOWN');
    await expectRefusal(await client('PUT', `${elsewhere}?digest=${digestOf('')}`), 404, 'BLOB_UPLOAD_UNKNOWN');
    expect((await client('GET', location)).status).toBe(204);
  });

  test('by an id that leads elsewhere is unknown', async () => {
    await pushImage(client, 'a', 'v1', 'x');
    const before = await filesIn(storage);
    for (const id of [
      '..%2f..%2fblobs',
      '%2e%2e',
      '..%5c..',
      'session',
      '00000000-0000-0000-0000-000000000000',
      'x%00',
      '%',
    ])
      for (const method of ['GET', 'PATCH', 'DELETE']) {
        const { status } = await client(method, `/v2/a/blobs/uploads/${id}`);
        expect([id, method, status]).toEqual([id, method, id === '%2e%2e' ? status : 404]);
        expect(status).toBeGreaterThanOrEqual(400);
      }
    expect(await filesIn(storage)).toEqual(before);
    expect(faults).toEqual([]);
  });

  test('that two clients go on with at once takes one chunk, and tells the other where it stands', async () => {
    const location = await startUpload(client, 'a');
    const chunks = ['first', 'other'].map((body) => client('PATCH', location, { body }));
    const statuses = (await Promise.all(chunks)).map(({ status }) => status).sort();
    expect(statuses).toEqual([202, 416]);
    expect((await client('GET', location)).headers.get('range')).toBe('0-4');
  });

  test('that nobody goes on with expires, and leaves nothing', async () => {
    const brief = clientOf(serve(storage, { uploadLifetime: 1 }));
    const location = await startUpload(brief, 'a');
    await client('PATCH', location, { body: 'content' });
    // As a power cut may leave one.
    await writeStorageFile(storage, `uploads/${crypto.randomUUID()}.session`, [bytesOf('{"id"')]);
    // As of a request that was cut off after another had ended the upload.
    await writeStorageFile(storage, `uploads/${crypto.randomUUID()}.part-0-x`, [bytesOf('lost')]);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await expectRefusal(await brief('PATCH', location, { body: 'more' }), 404, 'BLOB_UPLOAD_UNKNOWN');
    await brief('POST', `/v2/a/blobs/uploads/?digest=${digestOf('x')}`, { body: 'x' });
    expect(await filesIn(storage, 'uploads/')).toEqual([]);
  });

  test('is looked at for its age by one of many handlers within the hour, and by the next where the clock was wrong', async () => {
    const listed: string[] = [];
    const list = storage.list.bind(storage);
    storage.list = (prefix) => {
      listed.push(prefix);
      return list(prefix);
    };
    const push = (): Promise<string> => startUpload(clientOf(serve(storage)), 'a');
    for (let count = 0; count < 5; count++) await push();
    expect(listed).toEqual(['uploads/']);
    for (const note of [String(Date.now() + 3600_000), 'nonsense', String(Date.now() - 3700_000)]) {
      listed.length = 0;
      await writeStorageFile(storage, 'uploads-swept', [bytesOf(note)]);
      await push();
      await push();
      expect([note, listed]).toEqual([note, ['uploads/']]);
    }
  });

  test('that is closed once more, as its client did not hear the answer, is answered the same, and nobody else learns of it', async () => {
    const { digest } = describeBytes(bytesOf('content'));
    const location = await startUpload(client, 'a');
    await client('PATCH', location, { body: 'content' });
    for (let times = 0; times < 3; times++) {
      const put = await client('PUT', `${location}?digest=${digest}`);
      expect([put.status, put.headers.get('location')]).toEqual([201, `/v2/a/blobs/${digest}`]);
    }
    for (const method of ['GET', 'PATCH', 'DELETE'])
      await expectRefusal(await client(method, location), 404, 'BLOB_UPLOAD_UNKNOWN');
    const other = `${location}?digest=${digestOf('other')}`;
    await expectRefusal(await client('PUT', other, { body: 'other' }), 404, 'BLOB_UPLOAD_UNKNOWN');
    const elsewhere = `${location.replace('/a/', '/b/')}?digest=${digest}`;
    await expectRefusal(await client('PUT', elsewhere), 404, 'BLOB_UPLOAD_UNKNOWN');
    expect((await client('HEAD', `/v2/b/blobs/${digest}`)).status).toBe(404);
  });

  test('whose closing failed at any step is closed by sending it again', async () => {
    const changes = ['create', 'move', 'delete'] as const;
    let failed = 0;
    for (const chunks of [['content'], ['con', 'tent']]) {
      for (let step = 1; ; step++) {
        let left = Number.POSITIVE_INFINITY;
        const inner = new MemoryStorage();
        const failing: Storage = new Proxy<Storage>(inner, {
          get: (object, name) => {
            const value: unknown = Reflect.get(object, name);
            if (typeof value !== 'function') return value;
            return (...args: unknown[]) => {
              if ((changes as readonly PropertyKey[]).includes(name) && --left === 0)
                throw new Error('the disk is gone');
              return value.apply(object, args);
            };
          },
        });
        const unlucky = clientOf(serve(failing));
        const location = await startUpload(unlucky, 'a');
        for (const body of chunks) await unlucky('PATCH', location, { body });
        left = step;
        const first = await unlucky('PUT', `${location}?digest=${digestOf('content')}`);
        left = Number.POSITIVE_INFINITY;
        if (first.status === 201) break;
        failed++;
        expect(first.status).toBe(500);
        const again = await unlucky('PUT', `${location}?digest=${digestOf('content')}`);
        expect([step, again.status]).toEqual([step, 201]);
        expect(await (await unlucky('GET', `/v2/a/blobs/${digestOf('content')}`)).text()).toBe('content');
        expect(await filesIn(inner, 'blobs/')).toHaveLength(1);
        expect(await filesIn(inner, 'uploads/')).toEqual([]);
      }
    }
    expect(failed).toBeGreaterThan(10);
  });

  test('goes on in another instance of the server', async () => {
    const location = await startUpload(client, 'a');
    const other = clientOf(serve(storage));
    expect((await other('PATCH', location, { body: 'con' })).status).toBe(202);
    expect((await client('PATCH', location, { body: 'te' })).status).toBe(202);
    expect((await other('PUT', `${location}?digest=${digestOf('content')}`, { body: 'nt' })).status).toBe(201);
    expect(await (await client('GET', `/v2/a/blobs/${digestOf('content')}`)).text()).toBe('content');
    expect(await filesIn(storage, 'uploads/')).toEqual([]);
  });

  test('of one blob by twenty clients at once succeeds for each, and is stored once', async () => {
    const content = new Uint8Array(300_000).fill(7);
    const names = Array.from({ length: 20 }, (_, at) => `team/${at % 5}`);
    await Promise.all(names.map((name) => pushBlob(client, name, content)));
    expect(await filesIn(storage, 'blobs/')).toHaveLength(1);
    for (const name of names) expect((await client('HEAD', `/v2/${name}/blobs/${digestOf(content)}`)).status).toBe(200);
  });

  test('comes out as it went in, however it is cut into chunks', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { maxLength: 8 }),
        fc.boolean(),
        async (chunks, ranged) => {
          const whole = Uint8Array.from(chunks.flatMap((chunk) => [...chunk]));
          const location = await startUpload(client, 'a');
          let offset = 0;
          for (const [at, chunk] of chunks.entries()) {
            const headers: Record<string, string> = ranged
              ? { 'Content-Range': `${offset}-${offset + chunk.length - 1}` }
              : {};
            offset += chunk.length;
            const isLast = at === chunks.length - 1;
            const query = isLast ? `?digest=${digestOf(whole)}` : '';
            const response = await client(isLast ? 'PUT' : 'PATCH', location + query, { headers, body: chunk });
            expect(response.status).toBe(isLast ? 201 : 202);
          }
          if (chunks.length === 0) expect((await client('PUT', `${location}?digest=${digestOf('')}`)).status).toBe(201);
          const pulled = await client('GET', `/v2/a/blobs/${digestOf(whole)}`);
          expect(new Uint8Array(await pulled.arrayBuffer())).toEqual(whole);
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe('a manifest', () => {
  const headers = { 'Content-Type': mediaTypes.manifest };

  test('that breaks the specification is refused, and no tag is set', async () => {
    const { config, layer, bytes } = await pushImage(client, 'a', undefined, 'x');
    const before = await filesIn(storage);
    const good = JSON.parse(new TextDecoder().decode(bytes)) as object;
    const broken: [body: Uint8Array | string | object, type?: string][] = [
      ['not json'],
      [''],
      ['[]'],
      [Uint8Array.of(0xff, 0xfe)],
      ['{"__proto__":{}}'],
      ['['.repeat(5000)],
      [{ ...good, schemaVersion: 1 }],
      [{ ...good, mediaType: mediaTypes.index }],
      [{ ...good, manifests: [] }],
      [{ ...good, config: undefined }],
      [{ ...good, layers: [{ ...layer, digest: 'sha256:../../../x' }] }],
      [{ ...good, layers: [{ ...layer, size: -1 }] }],
      [{ ...good, layers: [{ ...layer, size: layer.size + 1 }] }],
      [{ ...good, config: { ...config, size: 0 } }],
      [{ ...good, subject: { digest: 'x' } }],
      [good, mediaTypes.index],
      [good, 'text/html'],
      [good, 'application/vnd.docker.distribution.manifest.v1+prettyjws'],
      [{ ...good, mediaType: undefined }, 'application/json'],
    ];
    for (const [body, type] of broken) {
      const sent = { headers: { 'Content-Type': type ?? mediaTypes.manifest }, body };
      await expectRefusal(await client('PUT', '/v2/a/manifests/v1', sent), 400, 'MANIFEST_INVALID');
    }
    expect(await filesIn(storage)).toEqual(before);
  });

  test('of another digest than its path says is refused', async () => {
    const { bytes } = await pushImage(client, 'a', undefined, 'x');
    const path = `/v2/a/manifests/${digestOf('other')}`;
    await expectRefusal(await client('PUT', path, { headers, body: bytes }), 400, 'DIGEST_INVALID');
  });

  test('that names blobs which only another repository holds is refused, one error for each', async () => {
    const { bytes } = await pushImage(client, 'private', 'v1', 'x');
    const response = await client('PUT', '/v2/a/manifests/v1', { headers, body: bytes });
    expect([response.status, await codesOf(response)]).toEqual([
      404,
      ['MANIFEST_BLOB_UNKNOWN', 'MANIFEST_BLOB_UNKNOWN'],
    ]);
    expect((await client('GET', '/v2/a/tags/list')).status).toBe(404);
    expect((await client('GET', `/v2/a/manifests/${digestOf(bytes)}`)).status).toBe(404);
  });

  test('may name layers that are not distributable, which no registry holds', async () => {
    await pushBlob(client, 'a', json({}));
    const url = {
      mediaType: mediaTypes.nonDistributableLayerGzip,
      digest: digestOf('far'),
      size: 3,
      urls: ['https://x.test/'],
    };
    const config = { ...emptyDescriptor, mediaType: mediaTypes.config };
    const body = { schemaVersion: 2, mediaType: mediaTypes.manifest, config, layers: [url] };
    expect((await client('PUT', '/v2/a/manifests/v1', { headers, body })).status).toBe(201);
  });
});

describe('a name', () => {
  test('outside the grammar is refused before anything is stored, whatever it is', async () => {
    const letters = fc.constantFrom(
      'a',
      'B',
      '.',
      '..',
      '/',
      '%2f',
      '%2e%2e',
      '\\',
      '%00',
      '_',
      '-',
      ' ',
      'é',
      'uploads',
      'blobs',
      'manifests',
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(letters, { maxLength: 8 }),
        fc.constantFrom('POST', 'GET', 'DELETE'),
        async (parts, method) => {
          const name = parts.join('');
          const path = method === 'POST' ? `/v2/${name}/blobs/uploads/` : `/v2/${name}/manifests/v1`;
          await client(method, path);
          const sessions = (await filesIn(storage)).filter((file) => !/^uploads\/[\da-f-]{36}\.session$/.test(file));
          expect([sessions, faults]).toEqual([[], []]);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('credentials', () => {
  const basic = (text: string): Record<string, string> => ({ Authorization: `Basic ${btoa(text)}` });

  test('are asked for by a Basic challenge, and decide who may do what', async () => {
    const asked: unknown[] = [];
    const guarded = clientOf(
      serve(storage, {
        authenticate: {
          scheme: 'Basic',
          realm: 'the "realm"',
          verify(credentials, access) {
            asked.push(access);
            if (credentials?.scheme !== 'Basic' || credentials.password !== 'pa:ss') return false;
            return (
              access.action === 'pull' || access.action === 'ping' || credentials.username === 'writer' || 'denied'
            );
          },
        },
      }),
    );
    for (const headers of [
      {},
      basic('writer:wrong'),
      basic('writer'),
      { Authorization: 'Basic ###' },
      { Authorization: 'Bearer x' },
    ]) {
      const response = await guarded('GET', '/v2/', { headers: headers as Record<string, string> });
      expect([response.status, response.headers.get('www-authenticate')]).toEqual([
        401,
        'Basic realm="the \\"realm\\"",charset="UTF-8"',
      ]);
      expect(await codesOf(response)).toEqual(['UNAUTHORIZED']);
    }
    expect((await guarded('GET', '/v2/', { headers: basic('reader:pa:ss') })).status).toBe(200);
    const post = (user: string): Promise<Response> =>
      guarded('POST', '/v2/a/blobs/uploads/', { headers: basic(`${user}:pa:ss`) });
    expect([(await post('writer')).status, (await post('reader')).status]).toEqual([202, 403]);
    expect(await codesOf(await post('reader'))).toEqual(['DENIED']);
    expect(asked.at(-1)).toEqual({ action: 'push', repository: 'a' });
  });

  test('are asked for by a Bearer challenge with the scope that is wanted', async () => {
    const realm = 'https://auth.test/token';
    const guarded = clientOf(
      serve(storage, {
        authenticate: {
          scheme: 'Bearer',
          realm,
          service: 'registry.test',
          verify: (credentials) => credentials?.scheme === 'Bearer' && credentials.token === 'good',
        },
      }),
    );
    const challenge = async (method: string, path: string, headers = {}): Promise<string | null> =>
      (await guarded(method, path, { headers })).headers.get('www-authenticate');
    const start = `Bearer realm="${realm}",service="registry.test"`;
    expect(await challenge('GET', '/v2/')).toBe(start);
    expect(await challenge('GET', '/v2/_catalog')).toBe(`${start},scope="registry:catalog:*"`);
    expect(await challenge('GET', '/v2/a/b/manifests/v1')).toBe(`${start},scope="repository:a/b:pull"`);
    expect(await challenge('PUT', '/v2/a/b/manifests/v1')).toBe(`${start},scope="repository:a/b:pull,push"`);
    expect(await challenge('DELETE', '/v2/a/b/manifests/v1')).toBe(`${start},scope="repository:a/b:delete"`);
    expect(await challenge('GET', '/v2/a/manifests/v1', { Authorization: 'Bearer bad' })).toBe(
      `${start},scope="repository:a:pull",error="insufficient_scope"`,
    );
    expect((await guarded('GET', '/v2/', { headers: { Authorization: 'bearer good' } })).status).toBe(200);
  });

  test('that do not reach another repository cannot mount from it', async () => {
    const { digest } = await pushBlob(client, 'private', bytesOf('secret'));
    const guarded = clientOf(
      serve(storage, { authenticate: { scheme: 'Basic', verify: (_, access) => access.repository === 'mine' } }),
    );
    const mount = await guarded('POST', `/v2/mine/blobs/uploads/?mount=${digest}&from=private`);
    expect(mount.status).toBe(202);
    expect((await guarded('HEAD', `/v2/mine/blobs/${digest}`)).status).toBe(404);
  });

  test('a verification that fails lets nobody in', async () => {
    const broken = clientOf(
      serve(storage, {
        onError: (error) => faults.push(error),
        authenticate: {
          scheme: 'Basic',
          verify: () => {
            throw new Error('the database is down: password hunter2');
          },
        },
      }),
    );
    const response = await broken('GET', '/v2/a/manifests/v1');
    const text = await response.text();
    expect(response.status).toBe(500);
    expect(text).not.toContain('hunter2');
    expect(faults).toHaveLength(1);
  });
});

describe('what caches and pages are told', () => {
  test('content by digest is immutable, tags are asked for anew, and what is known need not be sent', async () => {
    const { manifest, layer } = await pushImage(client, 'a', 'v1', 'x');
    const cases = [
      [`/v2/a/blobs/${layer.digest}`, layer.digest, 'public, max-age=31536000, immutable'],
      [`/v2/a/manifests/${manifest.digest}`, manifest.digest, 'public, max-age=31536000, immutable'],
      ['/v2/a/manifests/v1', manifest.digest, 'no-cache'],
    ] as const;
    for (const [path, digest, caching] of cases) {
      const response = await client('GET', path);
      expect([response.headers.get('etag'), response.headers.get('cache-control')]).toEqual([`"${digest}"`, caching]);
      for (const known of [`"${digest}"`, `W/"${digest}"`, `"x", "${digest}"`, '*']) {
        const again = await client('GET', path, { headers: { 'If-None-Match': known } });
        expect([again.status, await again.text()]).toEqual([304, '']);
      }
      expect((await client('GET', path, { headers: { 'If-None-Match': '"other"' } })).status).toBe(200);
    }
    const guarded = clientOf(serve(storage, { authenticate: { scheme: 'Basic', verify: () => true } }));
    const response = await guarded('HEAD', `/v2/a/blobs/${layer.digest}`);
    expect(response.headers.get('cache-control')).toBe('private, max-age=31536000, immutable');
  });

  test('a range of another version is not given', async () => {
    const { digest } = await pushBlob(client, 'a', bytesOf('0123'));
    const ask = async (condition: string): Promise<number> =>
      (await client('GET', `/v2/a/blobs/${digest}`, { headers: { Range: 'bytes=0-1', 'If-Range': condition } })).status;
    expect([await ask(`"${digest}"`), await ask('"other"')]).toEqual([206, 200]);
  });

  test('pages of other origins are let in where the options say so', async () => {
    const open = clientOf(serve(storage, { cors: { origins: '*' } }));
    const preflight = await open('OPTIONS', '/v2/a/blobs/uploads/');
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-origin')).toBe('*');
    expect(preflight.headers.get('access-control-allow-methods')).toContain('PATCH');
    const refused = await open('GET', '/v2/a/manifests/v1');
    expect(refused.headers.get('access-control-allow-origin')).toBe('*');
    expect(refused.headers.get('access-control-expose-headers')).toContain('Docker-Content-Digest');
    expect((await client('GET', '/v2/')).headers.get('access-control-allow-origin')).toBeNull();
    const some = clientOf(serve(storage, { cors: { origins: ['https://page.test'] } }));
    expect((await some('GET', '/v2/')).headers.get('access-control-allow-origin')).toBeNull();
  });
});

describe('collectGarbage', () => {
  test('frees what no repository holds, and nothing else', async () => {
    const { manifest, layer } = await pushImage(client, 'a', 'v1', 'x');
    await client('POST', `/v2/b/blobs/uploads/?mount=${layer.digest}&from=a`);
    await client('DELETE', `/v2/a/manifests/${manifest.digest}`);
    await client('DELETE', `/v2/a/blobs/${layer.digest}`);
    const stray = await blobStore(storage).write('stray');
    const garbage = [stray.digest, manifest.digest].map((digest) => `blobs/${digest.replace(':', '/')}`).sort();
    expect((await collectGarbage(storage)).paths).toEqual(garbage);
    expect((await collectGarbage(storage, { dryRun: false })).bytes).toBe(stray.size + manifest.size);
    expect((await collectGarbage(storage)).paths).toEqual([]);
    expect((await client('GET', `/v2/b/blobs/${layer.digest}`)).status).toBe(200);
    expect(describeBytes(bytesOf('layer of x')).digest).toBe(layer.digest);
  });
});

/**
 * What distribution-spec 1.1 says that a registry MUST do, in the specification's order. `requirements.node.test.ts` lists the requirements
 * one by one, each with the test that shows it.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { digestBy, digestOf } from '../../src/bytes/hash.ts';
import { MemoryStorage, mediaTypes, StowageError } from '../../src/index.ts';
import { serve } from '../../src/server/index.ts';
import {
  type Ask,
  bytesOf,
  type Client,
  clientOf,
  codesOf,
  describeBytes,
  json,
  pushBlob,
  pushImage,
  startUpload,
} from './client.ts';

let client: Client;

beforeEach(() => {
  client = clientOf(serve(new MemoryStorage()));
});

const absent = digestOf('nobody has this');
const uuid = /[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}/;

async function bytesIn(response: Response): Promise<Uint8Array> {
  return new Uint8Array(await response.arrayBuffer());
}

describe('Requirements', () => {
  test('every endpoint of the categories Pull, Push, Content Discovery and Content Management MUST be there', async () => {
    const { manifest, bytes, layer } = await pushImage(client, 'a', 'v1', 'x');
    const other = bytesOf('other');
    const upload = await startUpload(client, 'a');
    const type = { 'Content-Type': mediaTypes.manifest };
    const cases: [method: string, path: string, status: number, ask?: Ask][] = [
      ['GET', '/v2/', 200],
      ['GET', `/v2/a/blobs/${layer.digest}`, 200],
      ['HEAD', `/v2/a/blobs/${layer.digest}`, 200],
      ['GET', '/v2/a/manifests/v1', 200],
      ['HEAD', `/v2/a/manifests/${manifest.digest}`, 200],
      ['POST', '/v2/a/blobs/uploads/', 202],
      ['POST', `/v2/a/blobs/uploads/?digest=${digestOf(other)}`, 201, { body: other }],
      ['POST', '/v2/a/blobs/uploads/?digest-algorithm=sha512', 202],
      ['POST', `/v2/b/blobs/uploads/?mount=${layer.digest}&from=a`, 201],
      ['PATCH', upload, 202, { body: 'x' }],
      ['GET', upload, 204],
      ['PUT', `${upload}?digest=${digestOf('x')}`, 201],
      ['DELETE', await startUpload(client, 'a'), 204],
      ['PUT', '/v2/a/manifests/v2', 201, { headers: type, body: bytes }],
      ['PUT', `/v2/a/manifests/${manifest.digest}?tag=v3`, 201, { headers: type, body: bytes }],
      ['GET', '/v2/a/tags/list', 200],
      ['GET', '/v2/a/tags/list?n=1&last=v1', 200],
      ['GET', `/v2/a/referrers/${manifest.digest}`, 200],
      ['GET', `/v2/a/referrers/${manifest.digest}?artifactType=x`, 200],
      ['DELETE', '/v2/a/manifests/v3', 202],
      ['DELETE', `/v2/a/manifests/${manifest.digest}`, 202],
      ['DELETE', `/v2/a/blobs/${layer.digest}`, 202],
    ];
    for (const [method, path, status, ask] of cases) {
      const response = await client(method, path, ask);
      // Warnings have a form and a length of their own: this registry has none to give.
      expect([method, path, response.status, response.headers.get('warning')]).toEqual([method, path, status, null]);
    }
  });
});

describe('Pull', () => {
  test('end-1: GET /v2/ is answered with 200', async () => {
    expect((await client('GET', '/v2/')).status).toBe(200);
  });

  test('a reference MUST be a digest or a tag of at most 128 characters', async () => {
    for (const reference of [
      '-x',
      '.x',
      'a'.repeat(129),
      'a b',
      'sha256:abc',
      'md5:d41d8cd98f00b204e9800998ecf8427e',
      '%00',
    ])
      expect((await client('GET', `/v2/a/manifests/${reference}`)).status).toBe(400);
    await pushImage(client, 'a', 'a'.repeat(128), 'x');
    expect((await client('GET', `/v2/a/manifests/${'a'.repeat(128)}`)).status).toBe(200);
  });

  test('<name> MUST match the grammar', async () => {
    for (const name of ['A', 'a/B', 'a..b', 'a___b', '-a', 'a-', 'a//b', '_a', 'a/_b', 'a%2Fb', 'a'.repeat(256)]) {
      const response = await client('GET', `/v2/${name}/tags/list`);
      expect([name, response.status, await codesOf(response)]).toEqual([name, 400, ['NAME_INVALID']]);
    }
    for (const name of [
      'a',
      '0',
      'a.b',
      'a_b',
      'a__b',
      'a---b',
      'a/b.c/d',
      'tags/list',
      'x/blobs/uploads',
      'x/manifests/y',
    ]) {
      const { manifest } = await pushImage(client, name, 'v1', name);
      const response = await client('HEAD', `/v2/${name}/manifests/v1`);
      expect([name, response.headers.get('docker-content-digest')]).toEqual([name, manifest.digest]);
    }
  });

  test('GET of an existing manifest MUST provide it with 200, its digest in Docker-Content-Digest', async () => {
    const { manifest, bytes } = await pushImage(client, 'a/b', 'v1', 'x');
    for (const reference of ['v1', manifest.digest, manifest.digest.replace(':', '%3A')]) {
      const response = await client('GET', `/v2/a/b/manifests/${reference}`);
      expect(response.status).toBe(200);
      expect(response.headers.get('docker-content-digest')).toBe(manifest.digest);
      expect(response.headers.get('content-type')).toBe(mediaTypes.manifest);
      expect(await bytesIn(response)).toEqual(bytes);
    }
  });

  test('a manifest that is not found MUST be 404', async () => {
    await pushImage(client, 'a', 'v1', 'x');
    for (const path of ['/v2/a/manifests/v2', `/v2/a/manifests/${absent}`, '/v2/b/manifests/v1']) {
      const response = await client('GET', path);
      expect([response.status, await codesOf(response)]).toEqual([404, ['MANIFEST_UNKNOWN']]);
    }
  });

  test('GET of an existing blob MUST provide it with 200, its digest in Docker-Content-Digest', async () => {
    const content = bytesOf('content');
    const { digest } = await pushBlob(client, 'a', content);
    const response = await client('GET', `/v2/a/blobs/${digest}`);
    expect(response.status).toBe(200);
    expect(response.headers.get('docker-content-digest')).toBe(digest);
    expect(response.headers.get('content-length')).toBe('7');
    expect(await bytesIn(response)).toEqual(content);
  });

  test('a blob that is not found MUST be 404', async () => {
    for (const method of ['GET', 'HEAD']) expect((await client(method, `/v2/a/blobs/${absent}`)).status).toBe(404);
    expect(await codesOf(await client('GET', `/v2/a/blobs/${absent}`))).toEqual(['BLOB_UNKNOWN']);
  });

  test('a blob SHOULD be given by Range', async () => {
    const { digest } = await pushBlob(client, 'a', bytesOf('0123456789'));
    const cases: [range: string, status: number, body: string, contentRange: string | null][] = [
      ['bytes=0-3', 206, '0123', 'bytes 0-3/10'],
      ['bytes=4-', 206, '456789', 'bytes 4-9/10'],
      ['bytes=-2', 206, '89', 'bytes 8-9/10'],
      ['bytes=8-100', 206, '89', 'bytes 8-9/10'],
      ['bytes=-100', 206, '0123456789', 'bytes 0-9/10'],
      ['bytes=10-', 416, '', 'bytes */10'],
      ['bytes=-0', 416, '', 'bytes */10'],
      ['bytes=5-4', 200, '0123456789', null],
      ['bytes=0-1,3-4', 200, '0123456789', null],
      ['lines=0-1', 200, '0123456789', null],
    ];
    for (const [range, status, body, contentRange] of cases) {
      const response = await client('GET', `/v2/a/blobs/${digest}`, { headers: { Range: range } });
      expect([range, response.status, response.headers.get('content-range')]).toEqual([range, status, contentRange]);
      const text = await response.text();
      if (status !== 416) expect(text).toBe(body);
    }
  });

  test('HEAD of an existing blob or manifest MUST be 200, with digest and size', async () => {
    const { manifest, layer } = await pushImage(client, 'a', 'v1', 'x');
    for (const [path, { digest, size }] of [
      [`/v2/a/blobs/${layer.digest}`, layer],
      ['/v2/a/manifests/v1', manifest],
      [`/v2/a/manifests/${manifest.digest}`, manifest],
    ] as const) {
      const response = await client('HEAD', path);
      expect(response.status).toBe(200);
      expect(response.headers.get('docker-content-digest')).toBe(digest);
      expect(response.headers.get('content-length')).toBe(String(size));
      expect(response.body).toBeNull();
    }
  });

  test('HEAD of a blob or manifest that is not found MUST be 404', async () => {
    for (const path of ['/v2/a/manifests/v1', `/v2/a/blobs/${absent}`]) {
      const response = await client('HEAD', path);
      expect([response.status, response.body]).toEqual([404, null]);
    }
  });
});

describe('Push', () => {
  test('a manifest whose subject does not exist MUST be accepted', async () => {
    const subject = { mediaType: mediaTypes.manifest, digest: absent, size: 7 };
    const { manifest } = await pushImage(client, 'a', undefined, 'x', { subject });
    expect((await client('HEAD', `/v2/a/manifests/${manifest.digest}`)).status).toBe(200);
  });

  test('a manifest that is refused for what it names MUST result in MANIFEST_BLOB_UNKNOWN errors', async () => {
    const descriptor = { digest: absent, size: 15 };
    const config = { mediaType: mediaTypes.config, ...descriptor };
    const layers = [{ ...(await pushBlob(client, 'a', bytesOf('x'))), mediaType: mediaTypes.layer }];
    const manifest = { schemaVersion: 2, mediaType: mediaTypes.manifest, config, layers };
    const index = {
      schemaVersion: 2,
      mediaType: mediaTypes.index,
      manifests: [{ mediaType: mediaTypes.manifest, ...descriptor }],
    };
    for (const body of [manifest, index]) {
      const response = await client('PUT', '/v2/a/manifests/v1', { headers: { 'Content-Type': body.mediaType }, body });
      expect([response.status, await codesOf(response)]).toEqual([404, ['MANIFEST_BLOB_UNKNOWN']]);
    }
    expect((await client('GET', '/v2/a/manifests/v1')).status).toBe(404);
  });

  test('a session MUST begin with 202 and a Location that holds a UUID of its own', async () => {
    const first = await client('POST', '/v2/a/blobs/uploads/');
    const second = await client('POST', '/v2/a/blobs/uploads/', { headers: { 'Content-Length': '0' } });
    expect([first.status, second.status]).toEqual([202, 202]);
    const locations = [first, second].map((response) => response.headers.get('location') ?? '');
    for (const location of locations) expect(location).toMatch(uuid);
    expect(locations[0]).not.toBe(locations[1]);
  });

  test('POST then PUT MUST end with 201 and the Location of the blob', async () => {
    const content = bytesOf('content');
    const { digest } = describeBytes(content);
    const put = await client('PUT', `${await startUpload(client, 'a')}?digest=${digest}`, { body: content });
    expect(put.status).toBe(201);
    expect((await client('GET', put.headers.get('location') ?? '')).status).toBe(200);
  });

  test('a single POST MUST end with 201 and the Location of the blob', async () => {
    const content = bytesOf('content');
    const post = await client('POST', `/v2/a/blobs/uploads/?digest=${digestOf(content)}`, { body: content });
    expect(post.status).toBe(201);
    expect(await (await client('GET', post.headers.get('location') ?? '')).text()).toBe('content');
  });

  test('a single POST: the digest MUST match the content', async () => {
    const post = await client('POST', `/v2/a/blobs/uploads/?digest=${absent}`, { body: 'content' });
    expect([post.status, await codesOf(post)]).toEqual([400, ['DIGEST_INVALID']]);
    expect((await client('HEAD', `/v2/a/blobs/${absent}`)).status).toBe(404);
  });

  test('a digest of an algorithm that is not supported SHOULD be refused with 400', async () => {
    for (const digest of [
      '',
      'sha256',
      'sha256:zz',
      'md5:d41d8cd98f00b204e9800998ecf8427e',
      `sha256:${'A'.repeat(64)}`,
    ]) {
      const response = await client('PUT', `${await startUpload(client, 'a')}?digest=${digest}`, { body: 'x' });
      expect([response.status, await codesOf(response)]).toEqual([400, ['DIGEST_INVALID']]);
    }
  });

  test('blobs and manifests are taken by SHA-384 and SHA-512 too', async () => {
    const content = bytesOf('content');
    for (const algorithm of ['sha384', 'sha512'] as const) {
      const digest = await digestBy(algorithm, content);
      const post = await client('POST', `/v2/a/blobs/uploads/?digest-algorithm=${algorithm}`);
      const put = await client('PUT', `${post.headers.get('location')}?digest=${digest}`, { body: content });
      expect(put.status).toBe(201);
      expect(await (await client('GET', `/v2/a/blobs/${digest}`)).text()).toBe('content');
      const manifest = json({
        schemaVersion: 2,
        mediaType: mediaTypes.index,
        manifests: [],
        annotations: { algorithm },
      });
      const named = await digestBy(algorithm, manifest);
      const headers = { 'Content-Type': mediaTypes.index };
      const pushed = await client('PUT', `/v2/a/manifests/${named}`, { headers, body: manifest });
      expect([pushed.status, pushed.headers.get('docker-content-digest')]).toEqual([201, named]);
    }
  });

  test('each chunk MUST be answered with 202, the Location, and the Range so far', async () => {
    let location = await startUpload(client, 'a');
    for (const [range, chunk, end] of [
      ['0-3', '0123', '0-3'],
      ['4-4', '4', '0-4'],
    ] as const) {
      const patch = await client('PATCH', location, { headers: { 'Content-Range': range }, body: chunk });
      expect([patch.status, patch.headers.get('range')]).toEqual([202, end]);
      location = patch.headers.get('location') ?? '';
    }
    const digest = digestOf('0123456789');
    const put = await client('PUT', `${location}?digest=${digest}`, {
      headers: { 'Content-Range': '5-9' },
      body: '56789',
    });
    expect(put.status).toBe(201);
    expect(await (await client('GET', put.headers.get('location') ?? '')).text()).toBe('0123456789');
  });

  test('a chunk that is out of order MUST be answered with 416, and the upload goes on where it was', async () => {
    const location = await startUpload(client, 'a');
    const send = async (method: string, range: string, query = ''): Promise<number> =>
      (await client(method, location + query, { headers: { 'Content-Range': range }, body: 'xx' })).status;
    expect(await send('PATCH', '1-2')).toBe(416);
    expect(await send('PATCH', '0-1')).toBe(202);
    expect(await send('PATCH', '0-1')).toBe(416);
    expect(await send('PATCH', '3-4')).toBe(416);
    expect(await send('PUT', '3-4', `?digest=${digestOf('xxxx')}`)).toBe(416);
    expect(await send('PUT', '2-3', `?digest=${digestOf('xxxx')}`)).toBe(201);
  });

  test('a whole blob may come in one PATCH without Content-Range, and the session MUST be closed by PUT', async () => {
    const location = await startUpload(client, 'a');
    const digest = digestOf('content');
    expect((await client('PATCH', location, { body: 'content' })).status).toBe(202);
    expect((await client('HEAD', `/v2/a/blobs/${digest}`)).status).toBe(404);
    expect((await client('PUT', `${location}?digest=${digest}`)).status).toBe(201);
    expect((await client('HEAD', `/v2/a/blobs/${digest}`)).status).toBe(200);
    expect((await client('GET', location)).status).toBe(404);
  });

  test('GET of an active upload MUST be 204 with Location and Range', async () => {
    const location = await startUpload(client, 'a');
    await client('PATCH', location, { body: 'content' });
    const status = await client('GET', location);
    expect([status.status, status.headers.get('location'), status.headers.get('range')]).toEqual([
      204,
      location,
      '0-6',
    ]);
  });

  test('an upload that is cancelled is gone', async () => {
    const location = await startUpload(client, 'a');
    expect((await client('DELETE', location)).status).toBe(204);
    for (const method of ['GET', 'DELETE', 'PATCH']) {
      const response = await client(method, location);
      expect([response.status, await codesOf(response)]).toEqual([404, ['BLOB_UPLOAD_UNKNOWN']]);
    }
  });

  test('a mount MUST be answered with 201 and the Location of the blob', async () => {
    const { digest } = await pushBlob(client, 'from/here', bytesOf('content'));
    const mount = await client('POST', `/v2/to/there/blobs/uploads/?mount=${digest}&from=from/here`);
    expect(mount.status).toBe(201);
    expect(mount.headers.get('location')).toBe(`/v2/to/there/blobs/${digest}`);
    expect(await (await client('GET', `/v2/to/there/blobs/${digest}`)).text()).toBe('content');
  });

  test('a mount that cannot be SHOULD begin an upload', async () => {
    const { digest } = await pushBlob(client, 'a', bytesOf('content'));
    for (const query of [
      `mount=${absent}&from=a`,
      `mount=${digest}&from=c`,
      `mount=${digest}`,
      `mount=${digest}&from=../a`,
    ]) {
      const response = await client('POST', `/v2/b/blobs/uploads/?${query}`);
      expect([query, response.status]).toEqual([query, 202]);
      expect(response.headers.get('location')).toMatch(uuid);
    }
  });

  test('a manifest MUST be stored byte for byte, and answered with 201 and a Location to pull it', async () => {
    const { config } = await pushImage(client, 'a', 'v1', 'x');
    const text = `{ "layers" : [],\n\t"schemaVersion": 2, "config": ${JSON.stringify(config)}, "x": 1.0 }`;
    const headers = { 'Content-Type': `${mediaTypes.manifest}; charset=utf-8` };
    const put = await client('PUT', '/v2/a/manifests/v2', { headers, body: text });
    expect([put.status, put.headers.get('docker-content-digest')]).toEqual([201, digestOf(text)]);
    const pulled = await client('GET', put.headers.get('location') ?? '');
    expect(pulled.headers.get('content-type')).toBe(mediaTypes.manifest);
    expect(await pulled.text()).toBe(text);
  });

  test('pushing by digest: Docker-Content-Digest MUST be the digest that the client gave, OCI-Tag names the tags set', async () => {
    const { manifest, bytes } = await pushImage(client, 'a', undefined, 'x');
    const path = `/v2/a/manifests/${manifest.digest}?tag=1&tag=1.2`;
    const put = await client('PUT', path, { headers: { 'Content-Type': mediaTypes.manifest }, body: bytes });
    expect(put.headers.get('docker-content-digest')).toBe(manifest.digest);
    expect(put.headers.get('oci-tag')).toBe('1, 1.2');
    expect((await client('HEAD', '/v2/a/manifests/1.2')).headers.get('docker-content-digest')).toBe(manifest.digest);
  });

  test('a pull from a nonexistent repository MUST be 404', async () => {
    for (const path of ['manifests/latest', `blobs/${absent}`, 'tags/list'])
      expect((await client('GET', `/v2/nobody/here/${path}`)).status).toBe(404);
  });

  test('manifests over the limit SHOULD be refused with 413, those of 4 MiB are taken', async () => {
    const index = (padding: string): object => ({
      schemaVersion: 2,
      mediaType: mediaTypes.index,
      manifests: [],
      annotations: { padding },
    });
    const headers = { 'Content-Type': mediaTypes.index };
    const room = 4 * 1024 * 1024 - json(index('')).length;
    const fits = await client('PUT', '/v2/a/manifests/fits', { headers, body: index('x'.repeat(room)) });
    expect(fits.status).toBe(201);
    const large = await client('PUT', '/v2/a/manifests/large', { headers, body: index('x'.repeat(room + 1)) });
    expect([large.status, await codesOf(large)]).toEqual([413, ['SIZE_INVALID']]);
  });

  test('a manifest with a subject MUST be answered with OCI-Subject', async () => {
    const { manifest: subject, config } = await pushImage(client, 'a', 'v1', 'x');
    const common = { schemaVersion: 2, subject };
    for (const body of [
      { ...common, mediaType: mediaTypes.manifest, config, layers: [] },
      { ...common, mediaType: mediaTypes.index, manifests: [] },
    ]) {
      const put = await client('PUT', '/v2/a/manifests/about', { headers: { 'Content-Type': body.mediaType }, body });
      expect([put.status, put.headers.get('oci-subject')]).toEqual([201, subject.digest]);
    }
  });
});

describe('Content Discovery', () => {
  const tags = ['1.0', '1.10', '1.9', 'a', 'B', 'LATEST', 'latest'];

  async function listed(path: string): Promise<{ tags: string[]; link: string | null }> {
    const response = await client('GET', path);
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json']);
    const body = (await response.json()) as { name: string; tags: string[] };
    expect(body.name).toBe('a/b');
    return { tags: body.tags, link: response.headers.get('link') };
  }

  beforeEach(async () => {
    const { bytes } = await pushImage(client, 'a/b', undefined, 'x');
    const headers = { 'Content-Type': mediaTypes.manifest };
    for (const tag of [...tags].reverse()) await client('PUT', `/v2/a/b/manifests/${tag}`, { headers, body: bytes });
  });

  test('tags MUST be listed with 200, in lexical order without regard to case', async () => {
    expect(await listed('/v2/a/b/tags/list')).toEqual({ tags, link: null });
  });

  test('n tags MUST be given where there are as many, with a Link rel="next" to more', async () => {
    const first = await listed('/v2/a/b/tags/list?n=4');
    expect(first.tags).toEqual(tags.slice(0, 4));
    expect(first.link).toMatch(/^<\/v2\/a\/b\/tags\/list\?[^>]*>; rel="next"$/);
    const next = await listed(/<(.*)>/.exec(first.link ?? '')?.[1] ?? '');
    expect(next).toEqual({ tags: tags.slice(4), link: null });
    expect(await listed('/v2/a/b/tags/list?n=7')).toEqual({ tags, link: null });
  });

  test('n=0 MUST give an empty list without Link', async () => {
    expect(await listed('/v2/a/b/tags/list?n=0')).toEqual({ tags: [], link: null });
  });

  test('last MUST be a tag, and the list goes on after it', async () => {
    expect((await listed('/v2/a/b/tags/list?last=1.9&n=2')).tags).toEqual(['a', 'B']);
    expect((await listed('/v2/a/b/tags/list?last=1.5')).tags).toEqual(['1.9', 'a', 'B', 'LATEST', 'latest']);
    expect((await listed('/v2/a/b/tags/list?last=LATEST')).tags).toEqual(['latest']);
    // A tag, and no place in the list.
    expect((await listed('/v2/a/b/tags/list?last=3')).tags).toEqual(['a', 'B', 'LATEST', 'latest']);
  });

  test('a repository without tags is listed as empty', async () => {
    await pushBlob(client, 'empty', bytesOf('x'));
    const response = await client('GET', '/v2/empty/tags/list');
    expect([response.status, await response.json()]).toEqual([200, { name: 'empty', tags: [] }]);
  });

  test('the catalog lists repositories, page by page', async () => {
    await pushBlob(client, 'z', bytesOf('x'));
    await pushBlob(client, 'a', bytesOf('x'));
    const first = await client('GET', '/v2/_catalog?n=2');
    expect(await first.json()).toEqual({ repositories: ['a', 'a/b'] });
    const next = await client('GET', /<(.*)>/.exec(first.headers.get('link') ?? '')?.[1] ?? '');
    expect(await next.json()).toEqual({ repositories: ['z'] });
  });

  describe('referrers', () => {
    test('MUST be an image index with 200, empty for none, and never 404', async () => {
      for (const name of ['a/b', 'nobody/here']) {
        const response = await client('GET', `/v2/${name}/referrers/${absent}`);
        expect([response.status, response.headers.get('content-type')]).toEqual([200, mediaTypes.index]);
        expect(await response.json()).toEqual({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [] });
      }
    });

    test('an invalid digest MUST be 400', async () => {
      for (const digest of ['sha256:abc', 'latest', 'x:y'])
        expect((await client('GET', `/v2/a/b/referrers/${digest}`)).status).toBe(400);
    });

    test('MUST hold each manifest with that subject, with artifactType or config type, and annotations', async () => {
      const { manifest: subject } = await pushImage(client, 'a/b', 'v1', 'subject');
      const annotations = { 'com.example.note': 'yes' };
      const typed = await pushImage(client, 'a/b', undefined, '1', { subject, artifactType: 'text/sbom', annotations });
      const untyped = await pushImage(client, 'a/b', undefined, '2', { subject });
      const empty = await pushImage(client, 'a/b', undefined, '3', { subject, artifactType: null });
      const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [], subject, annotations };
      const emptyIndex = { ...index, artifactType: null };
      const typedIndex = { ...index, artifactType: 'text/list' };
      for (const body of [index, emptyIndex, typedIndex])
        await client('PUT', '/v2/a/b/manifests/about', { headers: { 'Content-Type': mediaTypes.index }, body });
      const response = await client('GET', `/v2/a/b/referrers/${subject.digest}`);
      const { manifests } = (await response.json()) as { manifests: { digest: string }[] };
      const byDigest = (one: { digest: string }, other: { digest: string }): number =>
        one.digest < other.digest ? -1 : 1;
      expect(manifests).toEqual(
        [
          { ...typed.manifest, artifactType: 'text/sbom', annotations },
          { ...untyped.manifest, artifactType: mediaTypes.config },
          { ...empty.manifest, artifactType: mediaTypes.config },
          { ...describeBytes(json(index), mediaTypes.index), annotations },
          { ...describeBytes(json(emptyIndex), mediaTypes.index), annotations },
          { ...describeBytes(json(typedIndex), mediaTypes.index), artifactType: 'text/list', annotations },
        ].sort(byDigest),
      );
      expect(response.headers.get('oci-filters-applied')).toBeNull();
      const filtered = await client('GET', `/v2/a/b/referrers/${subject.digest}?artifactType=text/sbom`);
      expect(filtered.headers.get('oci-filters-applied')).toBe('artifactType');
      expect(((await filtered.json()) as { manifests: unknown[] }).manifests).toHaveLength(1);
    });

    test('MUST hold what was pushed for registries without the API, and is listed under the referrers tag', async () => {
      const { manifest: subject } = await pushImage(client, 'a/b', 'v1', 'subject');
      const { manifest } = await pushImage(client, 'a/b', undefined, '1', { subject });
      const list = { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [manifest] };
      const headers = { 'Content-Type': mediaTypes.index };
      const tag = subject.digest.replace(':', '-');
      expect((await client('PUT', `/v2/a/b/manifests/${tag}`, { headers, body: list })).status).toBe(201);
      const response = await client('GET', `/v2/a/b/referrers/${subject.digest}`);
      const { manifests } = (await response.json()) as { manifests: unknown[] };
      expect(manifests).toEqual([{ ...manifest, artifactType: mediaTypes.config }]);
    });

    test('MUST be linked page by page where one index cannot hold them', async () => {
      client = clientOf(serve(new MemoryStorage(), { limits: { jsonBytes: 2000 } }));
      const { manifest: subject } = await pushImage(client, 'a', 'v1', 'subject');
      const pushed: string[] = [];
      for (let at = 0; at < 7; at++) {
        const annotations = { padding: `${at}`.repeat(300) };
        pushed.push((await pushImage(client, 'a', undefined, `${at}`, { subject, annotations })).manifest.digest);
      }
      const found: string[] = [];
      let pages = 0;
      for (let path: string | undefined = `/v2/a/referrers/${subject.digest}`; path !== undefined; pages++) {
        const response: Response = await client('GET', path);
        const text = await response.text();
        expect(text.length).toBeLessThanOrEqual(2000);
        for (const { digest } of (JSON.parse(text) as { manifests: { digest: string }[] }).manifests)
          found.push(digest);
        path = /<(.*)>; rel="next"/.exec(response.headers.get('link') ?? '')?.[1];
      }
      expect(pages).toBeGreaterThan(1);
      expect(found.sort()).toEqual(pushed.sort());
    });
  });
});

describe('Content Management', () => {
  test('deleting a tag MUST be 202, and the manifest stays', async () => {
    const { manifest } = await pushImage(client, 'a', 'v1', 'x');
    expect((await client('DELETE', '/v2/a/manifests/v1')).status).toBe(202);
    expect((await client('GET', '/v2/a/manifests/v1')).status).toBe(404);
    expect((await client('GET', `/v2/a/manifests/${manifest.digest}`)).status).toBe(200);
  });

  test('deleting a manifest MUST be 202; it, its tags and its mention as a referrer are gone', async () => {
    const { manifest: subject } = await pushImage(client, 'a', 'keep', 'subject');
    const { manifest } = await pushImage(client, 'a', 'v1', 'x', { subject });
    expect((await client('DELETE', `/v2/a/manifests/${manifest.digest}`)).status).toBe(202);
    for (const reference of ['v1', manifest.digest])
      expect((await client('GET', `/v2/a/manifests/${reference}`)).status).toBe(404);
    expect(await (await client('GET', '/v2/a/tags/list')).json()).toEqual({ name: 'a', tags: ['keep'] });
    const referrers = await client('GET', `/v2/a/referrers/${subject.digest}`);
    expect(((await referrers.json()) as { manifests: unknown[] }).manifests).toEqual([]);
  });

  test('deleting what is not there, or from a repository that is not, MUST be 404', async () => {
    await pushImage(client, 'a', 'v1', 'x');
    for (const path of ['a/manifests/v2', `a/manifests/${absent}`, `a/blobs/${absent}`, `b/manifests/${absent}`])
      expect((await client('DELETE', `/v2/${path}`)).status).toBe(404);
  });

  test('deleting a blob MUST be 202', async () => {
    const { digest } = await pushBlob(client, 'a', bytesOf('x'));
    expect((await client('DELETE', `/v2/a/blobs/${digest}`)).status).toBe(202);
    expect((await client('GET', `/v2/a/blobs/${digest}`)).status).toBe(404);
  });

  test('where pushing and deleting are disabled, it MUST be 400 or 405', async () => {
    const storage = new MemoryStorage();
    const { manifest, layer } = await pushImage(clientOf(serve(storage)), 'a', 'v1', 'x');
    const reader = clientOf(serve(storage, { readOnly: true }));
    for (const [method, path] of [
      ['DELETE', 'manifests/v1'],
      ['DELETE', `manifests/${manifest.digest}`],
      ['DELETE', `blobs/${layer.digest}`],
      ['POST', 'blobs/uploads/'],
      ['PUT', 'manifests/v1'],
    ] as const) {
      const response = await reader(method, `/v2/a/${path}`);
      expect([response.status, await codesOf(response)]).toEqual([405, ['UNSUPPORTED']]);
    }
    expect((await reader('GET', '/v2/a/manifests/v1')).status).toBe(200);
  });
});

describe('Error Codes', () => {
  test('a JSON error MUST have the form { errors: [{ code, message, detail }] }', async () => {
    const response = await client('GET', '/v2/a/manifests/v1');
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
    const { errors } = (await response.json()) as { errors: Record<string, unknown>[] };
    expect(errors).toHaveLength(1);
    expect(Object.keys(errors[0] ?? {}).sort()).toEqual(['code', 'detail', 'message']);
  });

  test("the code of a refusal MUST be one of the specification's, whatever upstream says", async () => {
    for (const [status, registryCodes, expected] of [
      [404, ['TAG_INVALID'], 'MANIFEST_UNKNOWN'],
      [400, ['MANIFEST_UNVERIFIED'], 'UNSUPPORTED'],
      [418, undefined, 'UNSUPPORTED'],
      [400, ['DIGEST_INVALID'], 'DIGEST_INVALID'],
    ] as const) {
      const fail = (): never => {
        throw new StowageError('REGISTRY_FAILED', 'upstream', { status, registryCodes });
      };
      const source = { resolve: async () => fail(), has: async () => fail(), read: async () => fail() };
      const response = await clientOf(serve(() => source))('GET', '/v2/a/manifests/v1');
      expect([response.status, await codesOf(response)]).toEqual([status, [expected]]);
    }
  });

  test('what is no endpoint is 404, and what an endpoint does not do 405', async () => {
    for (const path of ['/', '/v1/', '/v2/a', '/v2/a/nothing/b', '/v2/../etc/passwd', '/v2/a/blobs/uploads/x/y'])
      expect([path, (await client('GET', path)).status]).toEqual([path, 404]);
    const response = await client('POST', '/v2/a/manifests/v1');
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD, PUT, DELETE']);
  });
});

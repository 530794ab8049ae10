/** What distribution-spec 1.1 says that a client MUST do, as a registry hears it; `server/requirements.node.test.ts` lists it. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/bytes/hash.ts';
import { type Descriptor, Image, MemoryStorage, mediaTypes, push } from '../../src/index.ts';
import { serveNode } from '../../src/node/index.ts';
import { RemoteRepository } from '../../src/registry/index.ts';
import { serve } from '../../src/server/index.ts';

/** A request as it came. */
interface Heard {
  method: string;
  url: URL;
  headers: IncomingHttpHeaders;
}

let server: Server;
let host: string;
let heard: Heard[];
/** Whether the registry knows the referrers API. */
let hasReferrers: boolean;

beforeEach(async () => {
  heard = [];
  hasReferrers = true;
  const handler = serve(new MemoryStorage());
  const listener = serveNode(async (request) => {
    if (!hasReferrers && request.url.includes('/referrers/')) return new Response(null, { status: 404 });
    const response = await handler(request);
    if (!hasReferrers) response.headers.delete('oci-subject');
    return response;
  });
  server = createServer((request, response) => {
    const { method = '', url = '', headers } = request;
    heard.push({ method, url: new URL(url, 'http://registry.test'), headers });
    listener(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(() => {
  server.closeAllConnections();
  server.close();
});

describe('a push', () => {
  test('a blob in chunks goes by an empty POST, ranges that follow one another, and a PUT with the digest', async () => {
    const content = new Uint8Array(2500).map((_, at) => at);
    await new RemoteRepository(`${host}/a`, { chunkSize: 1000 }).write(content);
    const [post, ...rest] = heard.filter(({ method }) => method !== 'HEAD');
    expect([post!.method, post!.headers['content-length']]).toEqual(['POST', '0']);
    const chunks = rest.filter(({ method }) => method === 'PATCH').map(({ headers }) => headers['content-range']);
    expect(chunks).toEqual(['0-999', '1000-1999', '2000-2499']);
    const put = rest.at(-1)!;
    expect([put.method, put.url.searchParams.get('digest')]).toEqual(['PUT', digestOf(content)]);
    expect(rest).toHaveLength(4);
  });

  test('a manifest goes after its blobs, under a tag or digest, as what its mediaType says', async () => {
    const build = (platform: string): Promise<Image> =>
      Image.scratch({ platform }).addLayer([{ path: platform, body: platform }]);
    const repository = new RemoteRepository(`${host}/a`);
    await push([await build('linux/amd64'), await build('linux/arm64')], repository, { tags: ['1'] });
    const puts = heard.filter(({ method, url }) => method === 'PUT' && url.pathname.includes('/manifests/'));
    expect(puts.map(({ headers }) => headers['content-type'])).toEqual([
      mediaTypes.manifest,
      mediaTypes.manifest,
      mediaTypes.index,
      mediaTypes.index,
    ]);
    for (const { url } of puts) expect(url.pathname).toMatch(/\/(1|sha256:[\da-f]{64})$/);
    const last = heard.findLastIndex(({ url }) => url.pathname.includes('/blobs/'));
    expect(last).toBeLessThan(heard.indexOf(puts[0]!));
  });

  test('a list of referrers begins empty, and holds type and annotations of what was pushed', async () => {
    hasReferrers = false;
    const repository = new RemoteRepository(`${host}/a`);
    const subject: Descriptor = { mediaType: mediaTypes.manifest, digest: digestOf('subject'), size: 7 };
    expect(await repository.referrers(subject)).toEqual([]);
    const config = { ...(await repository.write('{}')), mediaType: 'application/vnd.example.config+json' };
    const annotations = { 'com.example.note': 'yes' };
    const common = { schemaVersion: 2, mediaType: mediaTypes.manifest };
    const typed = { ...common, artifactType: 'text/sbom', config, layers: [], subject, annotations };
    const untyped = { ...common, config, layers: [], subject };
    const pushed = [];
    for (const manifest of [typed, untyped])
      pushed.push(await repository.write(JSON.stringify(manifest), { mediaType: mediaTypes.manifest }));
    expect(await repository.referrers(subject)).toEqual([
      { ...pushed[0], artifactType: 'text/sbom', annotations },
      { ...pushed[1], artifactType: config.mediaType },
    ]);
    const tag = subject.digest.replace(':', '-');
    expect(heard.some(({ method, url }) => method === 'PUT' && url.pathname.endsWith(`/${tag}`))).toBe(true);
  });
});

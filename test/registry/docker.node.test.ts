/** The client against Debian's docker-registry, with skopeo as the judge. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect } from 'vitest';
import { readBytes } from '../../src/bytes/byte-source.ts';
import { digestOf } from '../../src/bytes/hash.ts';
import { blobStore } from '../../src/content/blob-store.ts';
import { copy } from '../../src/content/copy.ts';
import { Image } from '../../src/image/image.ts';
import { push } from '../../src/image/push.ts';
import { createLayer } from '../../src/layer/create-layer.ts';
import { Layout } from '../../src/layout/layout.ts';
import type { Descriptor } from '../../src/oci/descriptor.ts';
import { emptyDescriptor } from '../../src/oci/descriptor.ts';
import { serializeManifest } from '../../src/oci/manifest.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import { Registry } from '../../src/registry/registry.ts';
import { RemoteRepository } from '../../src/registry/repository.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { NodeStorage } from '../../src/storage/node.ts';
import { all, failure, failureOf, pattern, same, writeManifest } from '../content/contract.ts';
import { hasPeer } from '../peers/debian.ts';
import { peerTest, run, temporaryDirectory } from '../peers/peers.ts';
import { type RunningRegistry, registryRefreshToken, registryUser, startRegistry } from '../peers/registry.ts';

const needs = ['docker-registry', 'skopeo'] as const;

/** Requests that went out, as `METHOD path`. */
function counted(): { fetch: typeof fetch; requests: string[] } {
  const requests: string[] = [];
  const counting = (input: Parameters<typeof fetch>[0], init?: RequestInit): Promise<Response> => {
    requests.push(`${init?.method} ${new URL(String(input)).pathname}`);
    return fetch(input, init);
  };
  return { fetch: counting as typeof fetch, requests };
}

async function testImage(platform = 'linux/amd64', salt = 'a'): Promise<Image> {
  return (
    await Image.scratch({ platform }).addLayer([
      { path: 'hello', body: `hello ${platform} ${salt}` },
      { path: 'data', body: pattern(300_000) },
    ])
  ).cmd(['/hello']);
}

async function inspected(host: string, reference: string, ...more: string[]): Promise<string> {
  const { stdout } = await run('skopeo', [
    'inspect',
    '--raw',
    '--tls-verify=false',
    ...more,
    `docker://${host}/${reference}`,
  ]);
  return digestOf(stdout);
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

describe('against docker-registry', () => {
  let server: RunningRegistry;
  beforeAll(async () => {
    if (hasPeer('docker-registry')) server = await startRegistry();
  });
  const repository = (name: string, options = {}): RemoteRepository =>
    new RemoteRepository(`${server.host}/${name}`, { retryDelay: 10, ...options });

  peerTest(needs, 'an image that is pushed has the digest that skopeo sees, and comes back as it was', async () => {
    const image = await testImage();
    const root = await push(image, repository('single'), { tags: ['1.0', 'latest'] });
    expect(root.digest).toBe(image.descriptor.digest);
    expect(await inspected(server.host, 'single:1.0')).toBe(root.digest);
    expect(await inspected(server.host, 'single:latest')).toBe(root.digest);
    await run('skopeo', [
      'copy',
      '--quiet',
      '--src-tls-verify=false',
      `docker://${server.host}/single:1.0`,
      `dir:${server.root}/../pulled`,
    ]);
    const pulled = await Image.from(repository('single'), '1.0');
    expect(pulled.descriptor.digest).toBe(root.digest);
    const layer = await all(await pulled.layers[0]!.open());
    expect(same(layer, await all(await image.layers[0]!.open()))).toBe(true);
  });

  peerTest(needs, 'what skopeo pushed is pulled with the same digest', async () => {
    const layout = await Layout.create(new MemoryStorage());
    const image = await testImage('linux/amd64', 'skopeo');
    await push(image, repository('from-skopeo'), { tags: ['a'] });
    const url = `docker://${server.host}/from-skopeo`;
    const options = ['--src-tls-verify=false', '--dest-tls-verify=false', '--quiet'];
    await run('skopeo', ['copy', ...options, '--format', 'v2s2', `${url}:a`, `${url}:docker`]);
    const [root] = await copy(repository('from-skopeo'), layout, { references: ['docker'] });
    expect(root?.mediaType).toBe(mediaTypes.docker.manifest);
    expect(root?.digest).toBe(await inspected(server.host, 'from-skopeo:docker'));
    expect((await layout.verify()).faults).toEqual([]);
  });

  peerTest(needs, 'several platforms are pushed as one index, and one of them is chosen when pulled', async () => {
    const images = [await testImage('linux/amd64'), await testImage('linux/arm64')];
    const root = await push(images, repository('multi'), { tags: ['1.0'] });
    expect(root.mediaType).toBe(mediaTypes.index);
    expect(await inspected(server.host, 'multi:1.0')).toBe(root.digest);
    const arm = await Image.from(repository('multi'), '1.0', { platform: 'linux/arm64' });
    expect(arm.descriptor.digest).toBe(images[1]!.descriptor.digest);
    const target = repository('multi-copy');
    await copy(repository('multi'), target, { references: ['1.0'] });
    expect(await inspected(server.host, 'multi-copy:1.0')).toBe(root.digest);
  });

  peerTest(needs, 'many tags cost one upload, and what is there already costs none', async () => {
    const { fetch, requests } = counted();
    const image = await testImage('linux/amd64', 'tags');
    const target = repository('tags', { fetch });
    await push(image, target, { tags: ['a', 'b', 'c', 'd'] });
    expect(requests.filter((request) => request.startsWith('POST'))).toHaveLength(2);
    expect(requests.filter((request) => request.startsWith('PUT /v2/tags/manifests/'))).toHaveLength(5);
    expect((await collect(target.tags())).sort()).toEqual(['a', 'b', 'c', 'd']);
    requests.length = 0;
    await push(image, repository('tags', { fetch }), { tags: ['e'] });
    expect(requests.filter((request) => !request.startsWith('HEAD')).map((request) => request.split(' ')[0])).toEqual(
      // The manifest is fetched to be put under its new name.
      ['GET', 'PUT'],
    );
  });

  peerTest(needs, 'layers of a base image in another repository are mounted, not moved', async () => {
    const { fetch, requests } = counted();
    const base = await testImage('linux/amd64', 'base');
    await push(base, repository('base'), { tags: ['1'] });
    const registry = new Registry(server.host, { fetch: fetch as never });
    const source = new RemoteRepository(`${server.host}/base`, registry);
    const derived = await (await Image.from(source, '1')).addLayer([{ path: 'more', body: 'more' }]);
    const phases: string[] = [];
    await push(derived, new RemoteRepository(`${server.host}/derived`, registry), {
      tags: ['1'],
      onProgress: ({ phase, descriptor }) => phases.push(`${phase} ${descriptor?.digest}`),
    });
    const [layer] = base.layers;
    expect(phases).toContain(`skip ${layer!.descriptor.digest}`);
    expect(requests).not.toContain(`GET /v2/base/blobs/${layer!.descriptor.digest}`);
    expect(requests.filter((request) => request === 'POST /v2/derived/blobs/uploads/')).toHaveLength(3);
    expect(await inspected(server.host, 'derived:1')).toBe(derived.descriptor.digest);
  });

  peerTest(needs, 'a layer is pushed while it is being built, in chunks, its digest known at the end', async () => {
    const { fetch, requests } = counted();
    const store = repository('streamed', { fetch, chunkSize: 100_000 });
    const files = [{ path: 'noise', body: noise(3, 400_000), size: 1_200_000 }];
    const layer = await createLayer(files, { store });
    const image = Image.scratch().append(layer);
    await push(image, store, { tags: ['1'] });
    expect(requests.filter((request) => request.startsWith('PATCH')).length).toBeGreaterThan(10);
    expect(await inspected(server.host, 'streamed:1')).toBe(image.descriptor.digest);
    const held = await all(await store.read(layer.descriptor));
    expect(digestOf(held)).toBe(layer.descriptor.digest);
  });

  peerTest(needs, 'a manifest that names what is not there is refused in the words of the registry', async () => {
    const store = repository('absent');
    const config = { ...emptyDescriptor, data: undefined };
    const layers = [{ mediaType: mediaTypes.layer, digest: digestOf('nowhere'), size: 7 }];
    const manifest = serializeManifest({
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      artifactType: 'application/x',
      config,
      layers,
    });
    const error = await failureOf(store.write(manifest, { mediaType: mediaTypes.manifest }));
    expect(error.code).toBe('REGISTRY_FAILED');
    expect(error.details).toMatchObject({ status: 400 });
    expect(error.details.registryCodes).toContain('MANIFEST_BLOB_UNKNOWN');
    expect(await failure(store.resolve('1'))).toBe('NOT_FOUND');
    expect(await failure(collect(store.tags()))).toBe('NOT_FOUND');
  });

  peerTest(needs, 'manifests and blobs are deleted; what is not there is said to be', async () => {
    const store = repository('deleted');
    const one = await writeManifest(store, 'one');
    const blob = await store.write('blob');
    await store.tag(one, 'a');
    await store.deleteManifest(one.digest);
    expect(await store.has(one)).toBe(false);
    expect(await failure(repository('deleted').resolve('a'))).toBe('NOT_FOUND');
    await store.deleteBlob(blob.digest);
    expect(await store.has(blob)).toBe(false);
    expect(await failure(store.deleteManifest(one.digest))).toBe('NOT_FOUND');
    expect(await failure(store.deleteBlob(blob.digest))).toBe('NOT_FOUND');
  });

  peerTest(
    needs,
    'what refers to a manifest is listed under the tag that stands in for the API, and taken from it again',
    async () => {
      const store = repository('referrers');
      const subject = await writeManifest(store, 'subject');
      expect(await store.referrers(subject)).toEqual([]);
      const refer = (annotation: string, artifactType: string): Promise<Descriptor> =>
        store.write(
          serializeManifest({
            schemaVersion: 2,
            mediaType: mediaTypes.manifest,
            artifactType,
            config: emptyDescriptor,
            layers: [],
            subject,
            annotations: { annotation },
          }),
          { mediaType: mediaTypes.manifest },
        );
      const written = await Promise.all(['a', 'b', 'c'].map((name) => refer(name, `application/vnd.${name}`)));
      await refer('a', 'application/vnd.a');
      await store.tag(written[0]!, 'signature');
      const found = await repository('referrers').referrers(subject.digest);
      expect(found.map(({ digest }) => digest).sort()).toEqual(written.map(({ digest }) => digest).sort());
      const [b] = await store.referrers(subject, { artifactType: 'application/vnd.b' });
      expect(b).toMatchObject({ ...written[1], artifactType: 'application/vnd.b', annotations: { annotation: 'b' } });
      await repository('referrers').deleteManifest(written[1]!.digest);
      expect(await store.referrers(subject)).toHaveLength(2);
      expect(await collect(store.tags())).toContain(subject.digest.replace(':', '-'));
    },
  );

  peerTest(needs, 'the catalog names the repositories', async () => {
    await repository('zz/one').write('x');
    await writeManifest(repository('zz/two'), 'x');
    const names = await collect(new Registry(server.host).catalog());
    expect(names).toEqual(expect.arrayContaining(['zz/one', 'zz/two']));
  });

  peerTest(needs, 'a blob that the registry has damaged is never handed out whole', async () => {
    const store = repository('damaged');
    const content = pattern(500_000);
    const descriptor = await store.write(content);
    const [algorithm, hex] = descriptor.digest.split(':') as [string, string];
    const path = join(server.root, 'docker/registry/v2/blobs', algorithm, hex.slice(0, 2), hex, 'data');
    const wrong = readFileSync(path);
    wrong[250_000]! ^= 1;
    writeFileSync(path, wrong);
    expect(await failure(store.read(descriptor).then(all))).toBe('DIGEST_MISMATCH');
    const kept = new MemoryStorage();
    const failed = blobStore(kept).write(await store.read(descriptor), descriptor);
    expect(await failure(failed)).toBe('DIGEST_MISMATCH');
    expect(await collect(kept.list(''))).toEqual([]);
    writeFileSync(path, wrong.subarray(0, 400_000));
    expect(await failure(store.read(descriptor).then(all))).toBe('SIZE_MISMATCH');
    rmSync(path);
  });

  peerTest(
    needs,
    'an image of 1 GiB goes up while it is built, down into a directory and up again from there, in bounded memory',
    async () => {
      const size = 1024 ** 3;
      const store = repository('big');
      const growth = async (task: () => Promise<unknown>): Promise<number> => {
        const before = process.memoryUsage.rss();
        let peak = before;
        const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 50);
        await task();
        clearInterval(watch);
        return peak - before;
      };
      let image = Image.scratch();
      const pushed = await growth(async () => {
        const files = [{ path: 'noise', body: noise(1024, 1024 ** 2), size }];
        image = image.append(await createLayer(files, { store, compression: 'none' }));
        await push(image, store, { tags: ['1'] });
      });
      const { digest } = image.descriptor;
      expect(await inspected(server.host, 'big:1')).toBe(digest);
      const layout = await Layout.create(new NodeStorage(temporaryDirectory(), { durable: false }));
      const pulled = await growth(() => copy(store, layout, { references: ['1'] }));
      expect((await layout.resolve('1')).digest).toBe(digest);
      const again = await growth(() => copy(layout, repository('big-again'), { references: ['1'] }));
      expect(await inspected(server.host, 'big-again:1')).toBe(digest);
      expect(pushed).toBeLessThan(300 * 1024 ** 2);
      expect(pulled).toBeLessThan(128 * 1024 ** 2);
      expect(again).toBeLessThan(128 * 1024 ** 2);
      for (const name of ['big', 'big-again'])
        expect(readdirSync(join(server.root, `docker/registry/v2/repositories/${name}/_uploads`))).toEqual([]);
    },
    240_000,
  );

  peerTest(
    needs,
    'a layer that can be read again is streamed, and goes in chunks where that is not wanted',
    async () => {
      const body = await readBytes(noise(3, 1024 ** 2));
      const descriptor = { digest: digestOf(body), size: body.length };
      for (const streamUploads of [undefined, false]) {
        const { fetch, requests } = counted();
        const store = repository(`streamed-${streamUploads}`, { fetch, streamUploads, chunkSize: 1024 ** 2 });
        await store.write([body.subarray(0, 1000), body.subarray(1000)], descriptor);
        expect(requests.filter((request) => request.startsWith('PATCH'))).toHaveLength(streamUploads === false ? 3 : 1);
        expect(digestOf(await all(await store.read({ ...descriptor, mediaType: mediaTypes.layer })))).toBe(
          descriptor.digest,
        );
      }
    },
  );
});

describe('against a docker-registry that wants to know who asks', () => {
  let basic: RunningRegistry;
  let bearer: RunningRegistry;
  beforeAll(async () => {
    if (hasPeer('docker-registry'))
      [basic, bearer] = await Promise.all([startRegistry('basic'), startRegistry('bearer')]);
  });

  peerTest(
    needs,
    'a user name and password are enough for Basic, and wrong ones are refused without being shown',
    async () => {
      const asked: string[] = [];
      const credentials = (registry: string): typeof registryUser => {
        asked.push(registry);
        return registryUser;
      };
      const image = await testImage();
      const root = await push(image, new RemoteRepository(`${basic.host}/app`, { credentials }), { tags: ['1'] });
      expect(asked).toEqual([basic.host]);
      const creds = `--creds=${registryUser.username}:${registryUser.password}`;
      expect(await inspected(basic.host, 'app:1', creds)).toBe(root.digest);
      const nobody = await failureOf(new RemoteRepository(`${basic.host}/app`).resolve('1'));
      expect(nobody.code).toBe('UNAUTHORIZED');
      const wrong = new RemoteRepository(`${basic.host}/app`, {
        credentials: () => ({ username: 'user', password: 'not-the-password' }),
      });
      const error = await failureOf(wrong.resolve('1'));
      expect(error.code).toBe('UNAUTHORIZED');
      expect(error.details).toMatchObject({ status: 401, registryCodes: ['UNAUTHORIZED'] });
      expect(`${error.stack} ${JSON.stringify(error.details)}`).not.toContain('not-the-password');
    },
  );

  peerTest(needs, 'a token is fetched for what is done and no more, and used until it expires', async () => {
    bearer.tokenRequests.length = 0;
    const options = { credentials: () => registryUser, retryDelay: 10 };
    const image = await testImage();
    await push(image, new RemoteRepository(`${bearer.host}/team/app`, options), { tags: ['1', '2', '3'] });
    const scopes = bearer.tokenRequests.map(({ scopes }) => scopes.join(' '));
    expect([...new Set(scopes)].sort()).toEqual(['repository:team/app:pull', 'repository:team/app:pull,push']);
    expect(scopes.length).toBeLessThanOrEqual(3);
    bearer.tokenRequests.length = 0;
    const pulled = await Image.from(new RemoteRepository(`${bearer.host}/team/app`), '1');
    await all(await pulled.layers[0]!.open());
    expect(pulled.descriptor.digest).toBe(image.descriptor.digest);
    expect(bearer.tokenRequests).toEqual([{ scopes: ['repository:team/app:pull'], by: 'nobody' }]);
  });

  peerTest(needs, 'an identity token gets tokens by OAuth2, and pushes, mounts and deletes', async () => {
    bearer.tokenRequests.length = 0;
    const registry = new Registry(bearer.host, { credentials: () => ({ refreshToken: registryRefreshToken }) });
    const image = await testImage('linux/amd64', 'oauth');
    const first = new RemoteRepository(`${bearer.host}/first`, registry);
    await push(image, first, { tags: ['1'] });
    const second = new RemoteRepository(`${bearer.host}/second`, registry);
    await copy(first, second, { references: ['1'] });
    await second.deleteManifest(image.descriptor.digest);
    expect(await failure(new RemoteRepository(`${bearer.host}/second`, registry).resolve('1'))).toBe('NOT_FOUND');
    expect(new Set(bearer.tokenRequests.map(({ by }) => by))).toEqual(new Set(['refresh token']));
    const scopes = new Set(bearer.tokenRequests.map(({ scopes }) => scopes.join(' ')));
    expect(scopes).toContain('repository:second:pull,push repository:first:pull');
    expect(scopes).toContain('repository:second:delete');
  });

  peerTest(needs, 'a password that the token server refuses is UNAUTHORIZED, and so is a push by nobody', async () => {
    const credentials = () => ({ username: 'user', password: 'not-the-password' });
    const error = await failureOf(new RemoteRepository(`${bearer.host}/app`, { credentials }).resolve('1'));
    expect(error.code).toBe('UNAUTHORIZED');
    expect(error.message).not.toContain('not-the-password');
    expect(await failure(new RemoteRepository(`${bearer.host}/app`).write('x'))).toBe('UNAUTHORIZED');
  });
});

/** Bytes that do not compress, the same each time. */
async function* noise(chunks: number, size: number): AsyncGenerator<Uint8Array> {
  let seed = 1;
  for (let count = 0; count < chunks; count++) {
    const words = new Uint32Array(size / 4);
    for (let at = 0; at < words.length; at++) {
      seed ^= seed << 13;
      seed ^= seed >>> 17;
      seed ^= seed << 5;
      words[at] = seed;
    }
    yield new Uint8Array(words.buffer);
  }
}

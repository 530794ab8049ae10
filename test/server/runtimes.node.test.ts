/** The server in Node, Deno, Bun and workerd with R2, on their own HTTP servers: skopeo, umoci, podman and buildah push and pull there, twenty at once. */
import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { build } from 'esbuild';
import { afterEach, describe, expect, type TestContext, test } from 'vitest';
import { digestOf } from '../../src/bytes/hash.ts';
import { exportDirectory, Image, Layout } from '../../src/index.ts';
import { RemoteRepository } from '../../src/registry/index.ts';
import { NodeStorage } from '../../src/storage/node.ts';
import type { R2BucketBinding } from '../../src/storage/r2.ts';
import { containerStore, peerTest, run, skipMissing, temporaryDirectory } from '../peers/peers.ts';
import { bun } from '../runtimes/bun.ts';
import { deno } from '../runtimes/deno.ts';
import { lineOf, startProgram } from '../runtimes/runtime.ts';
import { workerd } from '../runtimes/workerd.ts';
import { startBucketWorker } from '../storage/bucket-worker.ts';
import { filesIn } from './client.ts';

/** A server that runs, over an empty storage. */
interface Started {
  host: string;
  /** Names of all files that the storage holds, its own included. */
  files(): Promise<string[]>;
  stop(): Promise<void>;
}

interface Place {
  name: string;
  find: () => string | undefined;
  /** `secure` where Debian's clients ask, which try TLS first: a server that does not say at once that it has none costs them ten seconds each. */
  start: (program: string, secure: boolean) => Promise<Started>;
}

const places: Place[] = [
  {
    name: 'Node',
    find: () => process.execPath,
    start: (program) => startBundle('node', program, (bundle, directory) => [bundle, directory]),
  },
  {
    name: 'Deno',
    find: deno.find,
    start: (program) =>
      startBundle('deno', program, (bundle, directory) => [
        'run',
        '--quiet',
        '--no-prompt',
        '--allow-all',
        bundle,
        directory,
      ]),
  },
  {
    name: 'Bun',
    find: bun.find,
    start: (program) => startBundle('bun', program, (bundle, directory) => ['run', bundle, directory]),
  },
  {
    name: 'workerd with R2',
    find: workerd.find,
    // Miniflare's own workerd waits for the end of a request line, which no TLS handshake has; later ones answer at once.
    start: async (_, secure) => {
      const miniflare = await startBucketWorker(join(import.meta.dirname, 'inside/worker.ts'), {
        directory: temporaryDirectory(),
        flags: ['nodejs_compat', 'enable_request_signal'],
        secure,
      });
      return {
        host: (await miniflare.ready).host,
        async files() {
          const bucket = (await miniflare.getR2Bucket('BUCKET')) as unknown as R2BucketBinding;
          return (await bucket.list()).objects.map(({ key }) => key);
        },
        stop: () => miniflare.dispose(),
      };
    },
  },
];

async function startBundle(
  entry: string,
  program: string,
  arguments_: (bundle: string, directory: string) => string[],
): Promise<Started> {
  const bundle = join(temporaryDirectory(), 'program.mjs');
  await build({
    entryPoints: [join(import.meta.dirname, 'inside', `${entry}.ts`)],
    outfile: bundle,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    external: ['node:*'],
    logLevel: 'warning',
  });
  const directory = temporaryDirectory();
  const { child, stop, ended } = startProgram(program, arguments_(bundle, directory));
  const port = await lineOf(child.stdio[1] as Readable, /listening on (\d+)/).catch(async (error) => {
    await stop();
    throw new Error(`${error.message}\n${await ended}`);
  });
  return {
    host: `127.0.0.1:${/\d+/.exec(port)?.[0]}`,
    files: () => filesIn(new NodeStorage(directory)),
    stop,
  };
}

let stop: (() => Promise<void>) | undefined;

afterEach(async () => {
  await stop?.();
  stop = undefined;
});

async function start(place: Place, context: TestContext, { secure }: { secure: boolean }): Promise<Started> {
  const started = await place.start(place.find() ?? skipMissing(context, place.name), secure);
  stop = started.stop;
  return started;
}

/** An image that a tool has pulled: its ID, which is the digest of its configuration, and its file `noise`. */
interface Pulled {
  id: string;
  noise: Uint8Array;
}

/** A client of registries. */
interface Tool {
  name: string;
  /** Takes the image of a layout, once, and gives its ID and what pushes it to a name. */
  load(layout: string): Promise<{ id: string; push(name: string): Promise<unknown> }>;
  /** Pulls into an empty place of its own. */
  pull(name: string): Promise<Pulled>;
}

const tools: readonly Tool[] = [
  {
    name: 'skopeo',
    load: async (layout) => ({ id: await idIn(layout), push: (name) => pushLayout(layout, name) }),
    async pull(name) {
      const layout = await pullLayout(name);
      const files = await (await imageIn(layout)).files();
      return { id: await idIn(layout), noise: await files.readFile('noise') };
    },
  },
  {
    name: 'umoci',
    async load(layout) {
      const own = join(temporaryDirectory(), 'own');
      cpSync(layout, own, { recursive: true });
      await run('umoci', ['insert', '--image', `${own}:app`, join(own, 'oci-layout'), '/added']);
      return { id: await idIn(own), push: (name) => pushLayout(own, name) };
    },
    async pull(name) {
      const layout = await pullLayout(name);
      const bundle = join(temporaryDirectory(), 'bundle');
      await run('umoci', ['unpack', '--image', `${layout}:app`, bundle]);
      return { id: await idIn(layout), noise: readFileSync(join(bundle, 'rootfs/noise')) };
    },
  },
  containerTool('podman'),
  containerTool('buildah'),
];

function containerTool(name: 'podman' | 'buildah'): Tool {
  return {
    name,
    async load(layout) {
      const store = containerStore();
      const id = (await store[name](['pull', '-q', `oci:${layout}:app`])).stdout.trim();
      return { id, push: (to) => store[name](['push', '-q', '--tls-verify=false', id, `docker://${to}`]) };
    },
    async pull(from) {
      const store = containerStore();
      const id = (await store[name](['pull', '-q', '--tls-verify=false', from])).stdout.trim();
      const layer = readdirSync(store.layers).find((entry) => existsSync(join(store.layers, entry, 'noise')));
      return { id, noise: readFileSync(join(store.layers, layer!, 'noise')) };
    },
  };
}

const skopeo = (...args: string[]): Promise<unknown> =>
  run('skopeo', [
    'copy',
    '--quiet',
    '--preserve-digests',
    '--src-tls-verify=false',
    '--dest-tls-verify=false',
    ...args,
  ]);

function pushLayout(layout: string, name: string): Promise<unknown> {
  return skopeo(`oci:${layout}:app`, `docker://${name}`);
}

async function pullLayout(name: string): Promise<string> {
  const layout = join(temporaryDirectory(), 'back');
  await skopeo(`docker://${name}`, `oci:${layout}:app`);
  return layout;
}

async function imageIn(layout: string): Promise<Image> {
  return Image.from(await Layout.open(new NodeStorage(layout)), 'app');
}

async function idIn(layout: string): Promise<string> {
  return digestOf((await imageIn(layout)).configBytes).replace('sha256:', '');
}

const noise = new Uint8Array(6 * 1024 * 1024).map((_, at) => (at * at) >> 3);
let source: Promise<{ tool: Tool; id: string; push(name: string): Promise<unknown> }[]> | undefined;

/** Each tool with the image of one layout, or of one made from it. */
function loaded(): NonNullable<typeof source> {
  source ??= (async () => {
    const layout = temporaryDirectory();
    const image = await Image.scratch().addLayer([{ path: 'noise', body: noise }], { compression: 'none' });
    await exportDirectory(image, new NodeStorage(layout), { tag: 'app' });
    return Promise.all(tools.map(async (tool) => ({ tool, ...(await tool.load(layout)) })));
  })();
  return source;
}

describe('the server', () => {
  for (const place of places) {
    peerTest(
      ['skopeo', 'umoci', 'podman', 'buildah', 'root'],
      `takes from twenty clients at once, five of each tool, and gives to twenty what another tool brought: in ${place.name}`,
      async (context) => {
        const { host, files } = await start(place, context, { secure: true });
        const sources = await loaded();
        const clients = Array.from({ length: 20 }, (_, at) => {
          const from = sources[at % 4]!;
          return {
            from,
            to: sources[(at + 1 + (at >> 2)) % 4]!.tool,
            name: `${host}/many/${at % 3}:${from.tool.name}-${at}`,
          };
        });
        // To an empty registry, since else they would mount what one of them has brought.
        await Promise.all(clients.map(({ from, name }) => from.push(name)));
        await Promise.all(
          clients.map(async ({ from, to, name }) => {
            const pulled = await to.pull(name);
            const isIntact = Buffer.from(noise).equals(pulled.noise);
            expect([name, to.name, pulled.id, isIntact]).toEqual([name, to.name, from.id, true]);
          }),
        );
        expect((await files()).filter((path) => path.startsWith('uploads/'))).toEqual([]);
      },
    );

    test(`resumes an upload, serves ranges and says sizes: in ${place.name}`, async (context) => {
      const { host } = await start(place, context, { secure: false });
      const repository = new RemoteRepository(`${host}/a`, { chunkSize: 1024 * 1024 });
      const content = new Uint8Array(5_000_000).map((_, at) => at >> 8);
      const { digest, size } = await repository.write(
        (async function* () {
          for (let at = 0; at < content.length; at += 100_000) yield content.subarray(at, at + 100_000);
        })(),
      );
      const url = `http://${host}/v2/a/blobs/${digest}`;
      const head = await fetch(url, { method: 'HEAD' });
      expect([head.status, head.headers.get('content-length')]).toEqual([200, String(size)]);
      const whole = await fetch(url);
      // Bun sends every stream in chunks, whatever the headers say.
      if (place.name !== 'Bun') expect(whole.headers.get('content-length')).toBe(String(size));
      expect(Buffer.from(await whole.arrayBuffer()).equals(content)).toBe(true);
      const part = await fetch(url, { headers: { Range: 'bytes=1000-1999' } });
      expect([part.status, part.headers.get('content-range')]).toEqual([206, `bytes 1000-1999/${size}`]);
      expect(Buffer.from(await part.arrayBuffer()).equals(content.subarray(1000, 2000))).toBe(true);
    });
  }
});

describe('the server over R2', () => {
  test('asks the bucket few times for a small blob, and leaves nothing but what it holds', async (context) => {
    const place = places.find(({ name }) => name === 'workerd with R2')!;
    const { host, files } = await start(place, context, { secure: false });
    let operations = 0;
    const ask = async (method: string, path: string, body?: string): Promise<string> => {
      const response = await fetch(new URL(path, `http://${host}`), { method, body });
      expect(response.ok).toBe(true);
      await response.arrayBuffer();
      operations += Number(response.headers.get('r2-operations'));
      return response.headers.get('location') ?? '';
    };
    const uploads = '/v2/a/blobs/uploads/';
    const ways: Record<string, (content: string, query: string) => Promise<unknown>> = {
      // The first looks for expired uploads, and makes the repository known.
      first: (content, query) => ask('POST', uploads + query, content),
      POST: (content, query) => ask('POST', uploads + query, content),
      'POST, PUT': async (content, query) => ask('PUT', (await ask('POST', uploads)) + query, content),
      'POST, PATCH, PUT': async (content, query) =>
        ask('PUT', (await ask('PATCH', await ask('POST', uploads), content)) + query),
      GET: () => ask('GET', `/v2/a/blobs/${digestOf('first')}`),
    };
    const counts: Record<string, number> = {};
    for (const [way, go] of Object.entries(ways)) {
      operations = 0;
      await go(way, `?digest=${digestOf(way)}`);
      counts[way] = operations;
    }
    expect(counts).toEqual({ first: 8, POST: 5, 'POST, PUT': 8, 'POST, PATCH, PUT': 14, GET: 3 });
    const kinds = (await files()).map((path) => path.replace(/[\da-f]{64}$/, '…'));
    expect([...new Set(kinds)].sort()).toEqual([
      'blobs/sha256/…',
      'catalog/a/_repository',
      'repositories/a/_blobs/sha256/…',
      'uploads-swept',
    ]);
  });
});

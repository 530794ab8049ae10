/** The server in Deno, Bun and workerd with R2, on their own HTTP servers: skopeo, podman and buildah push and pull there, twenty at once and one by one. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { build } from 'esbuild';
import { afterEach, describe, expect, test } from 'vitest';
import { exportDirectory, Image } from '../../src/index.ts';
import { RemoteRepository } from '../../src/registry/index.ts';
import { NodeStorage } from '../../src/storage/node.ts';
import { findPeer, inContinuousIntegration } from '../peers/debian.ts';
import { busyboxPath, containerStore, peerTest, run, temporaryDirectory } from '../peers/peers.ts';
import { bun } from '../runtimes/bun.ts';
import { deno } from '../runtimes/deno.ts';
import { lineOf, startProgram } from '../runtimes/runtime.ts';
import { workerd } from '../runtimes/workerd.ts';
import { startBucketWorker } from '../storage/bucket-worker.ts';

/** A server that runs, over an empty storage. */
interface Started {
  host: string;
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
      return { host: (await miniflare.ready).host, stop: () => miniflare.dispose() };
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
  const { child, stop, ended } = startProgram(program, arguments_(bundle, temporaryDirectory()));
  const port = await lineOf(child.stdio[1] as Readable, /listening on (\d+)/).catch(async (error) => {
    await stop();
    throw new Error(`${error.message}\n${await ended}`);
  });
  return { host: `127.0.0.1:${/\d+/.exec(port)?.[0]}`, stop };
}

let stop: (() => Promise<void>) | undefined;

afterEach(async () => {
  await stop?.();
  stop = undefined;
});

async function start(place: Place, program: string, { secure }: { secure: boolean }): Promise<string> {
  const started = await place.start(program, secure);
  stop = started.stop;
  return started.host;
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

function blobsOf(layout: string): string[] {
  return readdirSync(join(layout, 'blobs/sha256')).sort();
}

async function sourceLayout(): Promise<string> {
  const directory = temporaryDirectory();
  const program = { path: 'busybox', body: readFileSync(busyboxPath()), mode: 0o755 };
  const noise = { path: 'noise', body: new Uint8Array(20 * 1024 * 1024).map((_, at) => (at * at) >> 3) };
  const image = await Image.scratch().addLayer([program, noise], { compression: 'none' });
  await exportDirectory(image, new NodeStorage(directory), { tag: 'app' });
  return directory;
}

describe('the server', () => {
  for (const place of places) {
    test(`takes from twenty skopeos at once and gives back the same: in ${place.name}`, async (context) => {
      const program = place.find();
      if (program === undefined || findPeer('skopeo') === undefined || findPeer('busybox') === undefined) {
        if (inContinuousIntegration()) throw new Error(`missing ${place.name}, skopeo or busybox`);
        return context.skip(`missing ${place.name}, skopeo or busybox`);
      }
      const host = await start(place, program, { secure: true });
      const from = await sourceLayout();
      // To an empty registry, since else they would mount what one of them has brought.
      const tags = Array.from({ length: 20 }, (_, at) => `many/${at % 4}:${at}`);
      await Promise.all(tags.map((tag) => skopeo(`oci:${from}:app`, `docker://${host}/${tag}`)));
      const layouts = tags.map(() => join(temporaryDirectory(), 'back'));
      await Promise.all(tags.map((tag, at) => skopeo(`docker://${host}/${tag}`, `oci:${layouts[at]}:app`)));
      for (const layout of layouts) expect(blobsOf(layout)).toEqual(blobsOf(from));
      await skopeo(`oci:${from}:app`, `docker://${host}/team/app:1`);
      const back = join(temporaryDirectory(), 'back');
      await skopeo(`docker://${host}/team/app:1`, `oci:${back}:app`);
      expect(blobsOf(back)).toEqual(blobsOf(from));
    });

    peerTest(
      ['podman', 'buildah', 'skopeo', 'busybox', 'root'],
      `takes from podman and buildah, and they pull it again: in ${place.name}`,
      async () => {
        const program = place.find();
        if (program === undefined) {
          if (inContinuousIntegration()) throw new Error(`missing ${place.name}`);
          return;
        }
        const host = await start(place, program, { secure: true });
        const from = await sourceLayout();
        await run('skopeo', ['copy', '--quiet', `oci:${from}:app`, `docker-archive:${from}/app.tar:localhost/app:1`]);
        const store = containerStore();
        await store.podman(['load', '-q', '-i', `${from}/app.tar`]);
        await store.podman(['push', '-q', '--tls-verify=false', 'localhost/app:1', `docker://${host}/podman/app:1`]);
        await store.buildah(['push', '-q', '--tls-verify=false', 'localhost/app:1', `docker://${host}/buildah/app:1`]);
        const other = containerStore();
        await other.podman(['pull', '-q', '--tls-verify=false', `${host}/buildah/app:1`]);
        await other.buildah(['pull', '-q', '--tls-verify=false', `${host}/podman/app:1`]);
      },
    );

    test(`resumes an upload, serves ranges and says sizes: in ${place.name}`, async (context) => {
      const program = place.find();
      if (program === undefined) {
        if (inContinuousIntegration()) throw new Error(`missing ${place.name}`);
        return context.skip(`missing ${place.name}`);
      }
      const host = await start(place, program, { secure: false });
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

/** The server in Deno, Bun and workerd, on their own HTTP servers: skopeo pushes and pulls there, one by one and twenty at once. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { build } from 'esbuild';
import { afterEach, describe, expect, test } from 'vitest';
import { exportDirectory, Image } from '../../src/index.ts';
import { RemoteRepository } from '../../src/registry/index.ts';
import { NodeStorage } from '../../src/storage/node.ts';
import { findPeer, inContinuousIntegration } from '../peers/debian.ts';
import { busyboxPath, run, temporaryDirectory } from '../peers/peers.ts';
import { bun } from '../runtimes/bun.ts';
import { deno } from '../runtimes/deno.ts';
import { lineOf, startProgram } from '../runtimes/runtime.ts';
import { workerd } from '../runtimes/workerd.ts';

interface Place {
  name: string;
  program: string;
  find: () => string | undefined;
  /** Its arguments, given the bundled program and a directory for its files. */
  arguments: (bundle: string, directory: string) => string[];
}

const places: Place[] = [
  {
    name: 'Deno',
    program: 'deno',
    find: deno.find,
    arguments: (bundle, directory) => ['run', '--quiet', '--no-prompt', '--allow-all', bundle, directory],
  },
  { name: 'Bun', program: 'bun', find: bun.find, arguments: (bundle, directory) => ['run', bundle, directory] },
  {
    name: 'workerd',
    program: 'worker',
    find: workerd.find,
    arguments: (bundle, directory) => {
      const config = join(directory, 'config.capnp');
      writeFileSync(config, configuration(readFileSync(bundle, 'utf8'), directory));
      return ['serve', '--control-fd=3', config];
    },
  },
];

function configuration(code: string, directory: string): string {
  writeFileSync(join(directory, 'program.mjs'), code);
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [(name = "program", esModule = embed "program.mjs")],
  compatibilityDate = "2026-01-01",
  compatibilityFlags = ["nodejs_compat", "enable_request_signal"],
);
`;
}

let stop: (() => Promise<void>) | undefined;

afterEach(async () => {
  await stop?.();
  stop = undefined;
});

async function start(place: Place, program: string): Promise<string> {
  const directory = temporaryDirectory();
  const bundle = join(temporaryDirectory(), 'program.mjs');
  await build({
    entryPoints: [join(import.meta.dirname, 'inside', `${place.program}.ts`)],
    outfile: bundle,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    external: ['node:*'],
    logLevel: 'warning',
  });
  const started = startProgram(program, place.arguments(bundle, directory));
  stop = started.stop;
  const output = started.child.stdio[place.program === 'worker' ? 3 : 1] as Readable;
  const port = await lineOf(output, /listening on (\d+)|"port":(\d+)/).catch(async (error) => {
    await started.stop();
    throw new Error(`${error.message}\n${await started.ended}`);
  });
  return `127.0.0.1:${/\d+/.exec(port)?.[0]}`;
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
    test(`takes from skopeo and gives back the same, twenty at once: in ${place.name}`, async (context) => {
      const program = place.find();
      if (program === undefined || findPeer('skopeo') === undefined || findPeer('busybox') === undefined) {
        if (inContinuousIntegration()) throw new Error(`missing ${place.name}, skopeo or busybox`);
        return context.skip(`missing ${place.name}, skopeo or busybox`);
      }
      const host = await start(place, program);
      const from = await sourceLayout();
      await skopeo(`oci:${from}:app`, `docker://${host}/team/app:1`);
      const back = join(temporaryDirectory(), 'back');
      await skopeo(`docker://${host}/team/app:1`, `oci:${back}:app`);
      expect(blobsOf(back)).toEqual(blobsOf(from));
      const tags = Array.from({ length: 20 }, (_, at) => `many/${at % 4}:${at}`);
      await Promise.all(tags.map((tag) => skopeo(`oci:${from}:app`, `docker://${host}/${tag}`)));
      const layouts = tags.map(() => join(temporaryDirectory(), 'back'));
      await Promise.all(tags.map((tag, at) => skopeo(`docker://${host}/${tag}`, `oci:${layouts[at]}:app`)));
      for (const layout of layouts) expect(blobsOf(layout)).toEqual(blobsOf(from));
    });

    test(`resumes an upload, serves ranges and says sizes: in ${place.name}`, async (context) => {
      const program = place.find();
      if (program === undefined) {
        if (inContinuousIntegration()) throw new Error(`missing ${place.name}`);
        return context.skip(`missing ${place.name}`);
      }
      const host = await start(place, program);
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

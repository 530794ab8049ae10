/** The edge worker of the examples in workerd, before Debian's docker-registry: what skopeo and podman pull through it is changed as it says. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, describe, expect } from 'vitest';
import { digestOf } from '../../src/bytes/hash.ts';
import { type Descriptor, mediaTypes, serializeImageConfig, serializeManifest } from '../../src/index.ts';
import { RemoteRepository } from '../../src/registry/index.ts';
import { archiveNeeds, greeting, ingredients } from '../peers/images.ts';
import { containerStore, peerTest, run, runWithRunc, temporaryDirectory } from '../peers/peers.ts';
import { type RunningRegistry, startRegistry } from '../peers/registry.ts';

interface Edge {
  host: string;
  upstream: RunningRegistry;
  /** Resident memory of workerd in bytes: now, and at its highest. */
  memory(): { now: number; highest: number };
}

const root = join(import.meta.dirname, '../..');
const needs = [...archiveNeeds, 'docker-registry', 'runc'] as const;
const certificate = 'usr/local/share/ca-certificates/example-edge.crt';
const children: ChildProcess[] = [];
let started: Promise<Edge> | undefined;

/** Builds the library beside the example, as `npm install` would lay it, so that no other test's build is in the way. */
async function startEdge(): Promise<Edge> {
  const upstream = await startRegistry();
  const directory = temporaryDirectory();
  const example = join(directory, 'edge-worker');
  cpSync(join(root, 'examples/edge-worker'), example, { recursive: true });
  const modules = join(directory, 'node_modules');
  mkdirSync(join(modules, 'stowage'), { recursive: true });
  for (const name of readdirSync(join(root, 'node_modules')))
    if (!name.startsWith('.')) symlinkSync(join(root, 'node_modules', name), join(modules, name));
  cpSync(join(root, 'package.json'), join(modules, 'stowage/package.json'));
  const vite = join(root, 'node_modules/vite/bin/vite.js');
  await run('node', [vite, 'build', '--logLevel', 'warn', '--outDir', join(modules, 'stowage/dist')], { cwd: root });
  const child = spawn('node', [join(example, 'start.mjs'), '--upstream', upstream.host, '--port', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  for await (const line of createInterface({ input: child.stdout })) {
    const host = /http:\/\/([\d.:]+)\//.exec(line)?.[1];
    if (host !== undefined) return { host, upstream, memory: () => memoryOf(child.pid as number) };
  }
  throw new Error('the worker did not start');
}

function edge(): Promise<Edge> {
  started ??= startEdge();
  return started;
}

afterAll(async () => {
  for (const child of children) {
    if (child.exitCode !== null) continue;
    child.kill();
    await once(child, 'exit');
  }
});

/** Of the one process that the given one started. */
function memoryOf(pid: number): { now: number; highest: number } {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  const workerd = children.find((child) => readFileSync(`/proc/${child}/comm`, 'utf8').startsWith('workerd'));
  const status = readFileSync(`/proc/${workerd}/status`, 'utf8');
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
  return { now: field('VmRSS'), highest: field('VmHWM') };
}

const untrusted = ['--src-tls-verify=false', '--dest-tls-verify=false'];
const skopeo = (...args: string[]): Promise<unknown> => run('skopeo', ['copy', '--quiet', ...untrusted, ...args]);

function readBlob(layout: string, digest: string): Buffer {
  return readFileSync(join(layout, 'blobs', digest.replace(':', '/')));
}

interface Pulled {
  manifest: { config: Descriptor; layers: Descriptor[] };
  config: { config: { Env: string[]; Labels: Record<string, string> } };
}

function readImage(layout: string): Pulled {
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: Descriptor[] };
  const manifest = JSON.parse(readBlob(layout, index.manifests[0]?.digest ?? '').toString('utf8'));
  return { manifest, config: JSON.parse(readBlob(layout, manifest.config.digest).toString('utf8')) };
}

describe('the edge worker', () => {
  peerTest(
    needs,
    'adds label, variable and certificate to an image of buildah that skopeo pulls, and it runs',
    async () => {
      const { host, upstream } = await edge();
      const { app } = await ingredients();
      await skopeo('--preserve-digests', `oci:${app}:app:1`, `docker://${upstream.host}/team/app:1`);
      const pulled = join(temporaryDirectory(), 'pulled');
      await skopeo('--preserve-digests', `docker://${host}/team/app:1`, `oci:${pulled}:app`);
      const before = readImage(app);
      const after = readImage(pulled);
      expect(after.config.config.Labels).toEqual({ ...before.config.config.Labels, 'com.example.edge': 'edge-ca-1' });
      expect(after.config.config.Env).toEqual([...before.config.config.Env, `NODE_EXTRA_CA_CERTS=/${certificate}`]);
      expect(after.manifest.layers.slice(0, -1)).toEqual(before.manifest.layers);
      for (const { digest } of before.manifest.layers)
        expect(readBlob(pulled, digest).equals(readBlob(app, digest))).toBe(true);
      expect(await runWithRunc(pulled, 'app')).toBe(greeting);
      const bundle = join(temporaryDirectory(), 'bundle');
      await run('umoci', ['unpack', '--image', `${pulled}:app`, bundle]);
      const expected = readFileSync(join(root, 'examples/edge-worker/ca.crt'));
      expect(readFileSync(join(bundle, 'rootfs', certificate)).equals(expected)).toBe(true);
      expect(existsSync(join(bundle, 'rootfs/bin/busybox'))).toBe(true);
    },
  );

  peerTest(needs, 'does so for every platform of an index, which podman pulls', async () => {
    const { host, upstream } = await edge();
    const { multi } = await ingredients();
    await skopeo('--all', '--preserve-digests', `oci:${multi}:multi:1`, `docker://${upstream.host}/team/multi:1`);
    const pulled = join(temporaryDirectory(), 'pulled');
    await skopeo('--all', '--preserve-digests', `docker://${host}/team/multi:1`, `oci:${pulled}:multi`);
    const store = containerStore();
    for (const platform of ['linux/amd64', 'linux/arm64/v8']) {
      const name = `${host}/team/multi:1`;
      await store.podman(['pull', '-q', '--tls-verify=false', '--platform', platform, name]);
      const { stdout } = await store.podman(['image', 'inspect', '--format', '{{json .Config}}', name]);
      const config = JSON.parse(stdout) as Pulled['config']['config'];
      expect(config.Labels['com.example.edge']).toBe('edge-ca-1');
      expect(config.Env).toContain(`NODE_EXTRA_CA_CERTS=/${certificate}`);
    }
  });

  peerTest(needs, 'gives twenty clients at once the same image', async () => {
    const { host, upstream } = await edge();
    const { app } = await ingredients();
    await skopeo('--preserve-digests', `oci:${app}:app:1`, `docker://${upstream.host}/many/app:1`);
    const raw = await Promise.all(
      Array.from(
        { length: 20 },
        async () =>
          (await run('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${host}/many/app:1`])).stdout,
      ),
    );
    expect(new Set(raw).size).toBe(1);
  });

  peerTest(needs, "passes a registry's refusals on", async () => {
    const { host } = await edge();
    for (const path of ['none/here/manifests/1', `none/here/blobs/${digestOf('x')}`, 'none/here/tags/list']) {
      const response = await fetch(`http://${host}/v2/${path}`);
      expect(response.status).toBe(404);
      expect(await response.json()).toMatchObject({
        errors: [{ code: expect.stringMatching(/^(MANIFEST|BLOB|NAME)_UNKNOWN$/) }],
      });
    }
    expect((await fetch(`http://${host}/v2/team/app/blobs/uploads/`, { method: 'POST' })).status).toBe(405);
  });

  peerTest(
    needs,
    'passes a layer of 1 GiB through, byte for byte, while its memory grows by less than 64 MiB',
    async () => {
      const { host, upstream, memory } = await edge();
      const repository = new RemoteRepository(`${upstream.host}/large/app`);
      const size = 1024 ** 3;
      async function* content(): AsyncGenerator<Uint8Array> {
        const block = new Uint8Array(1024 * 1024);
        for (let at = 0; at < size; at += block.length) {
          new DataView(block.buffer).setUint32(0, at);
          yield block.slice();
        }
      }
      const layer = await repository.write(content(), { mediaType: mediaTypes.layer });
      const config = serializeImageConfig({
        architecture: 'amd64',
        os: 'linux',
        rootfs: { type: 'layers', diff_ids: [layer.digest] },
      });
      const manifest = serializeManifest({
        schemaVersion: 2,
        mediaType: mediaTypes.manifest,
        config: await repository.write(config, { mediaType: mediaTypes.config }),
        layers: [layer],
      });
      await repository.tag(await repository.write(manifest, { mediaType: mediaTypes.manifest }), '1');
      const answer = await fetch(`http://${host}/v2/large/app/manifests/1`);
      const rewritten = (await answer.json()) as { layers: Descriptor[] };
      expect(rewritten.layers[0]).toEqual(layer);
      const before = memory().now;
      const response = await fetch(`http://${host}/v2/large/app/blobs/${layer.digest}`);
      expect(response.headers.get('content-length')).toBe(String(size));
      const hash = createHash('sha256');
      for await (const chunk of response.body as ReadableStream<Uint8Array>) hash.update(chunk);
      expect(`sha256:${hash.digest('hex')}`).toBe(layer.digest);
      const grown = (memory().highest - before) / 1024 ** 2;
      expect(grown).toBeLessThan(64);
    },
    300_000,
  );
});

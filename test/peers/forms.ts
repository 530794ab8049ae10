/** Archive forms of engines that the tests cannot run here, written with GNU tar from images that buildah made. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from './expected.ts';
import { run, temporaryDirectory } from './peers.ts';

/**
 * `docker save` before version 25: for each layer a directory with `VERSION`, `json` and `layer.tar`; a layer that
 * was written already is a symlink to it. `source` is a docker archive, unpacked; `repeat` adds its first layer once more.
 */
export async function writeDockerSave(source: string, path: string, options: { repeat?: boolean } = {}): Promise<void> {
  const directory = temporaryDirectory();
  const written = new Map<string, string>();
  const entries: DockerEntry[] = [];
  const repositories: Record<string, Record<string, string>> = {};
  for (const entry of readManifest(source)) {
    const config = readConfig(join(source, entry.Config));
    const layers = [...entry.Layers];
    if (options.repeat && layers[0] !== undefined) {
      layers.push(layers[0]);
      config.rootfs.diff_ids.push(config.rootfs.diff_ids[0] as string);
      config.history?.push({ created: config.created, created_by: 'the first layer again' });
    }
    const bytes = Buffer.from(JSON.stringify(config));
    let parent: string | undefined;
    const paths = layers.map((layer, position) => {
      // Docker hashes the chain and, for the top layer, the config: two images never share the top directory.
      const top = position === layers.length - 1 ? sha256(bytes) : '';
      const id = hex(sha256(Buffer.from(`${parent ?? ''} ${layer} ${top}`)));
      writeLegacyLayer(directory, id, parent, join(source, layer), written);
      parent = id;
      return `${id}/layer.tar`;
    });
    writeFileSync(join(directory, `${hex(sha256(bytes))}.json`), bytes);
    entries.push({ Config: `${hex(sha256(bytes))}.json`, RepoTags: entry.RepoTags, Layers: paths });
    for (const [name, tag] of (entry.RepoTags ?? []).map(splitTag)) repositories[name] = { [tag]: parent ?? '' };
  }
  writeJson(directory, 'manifest.json', entries);
  writeJson(directory, 'repositories', repositories);
  await pack(directory, path);
}

/** `docker save` since version 25: an OCI layout of uncompressed layers and Docker's `manifest.json` in one. */
export async function writeModernDockerSave(source: string, path: string): Promise<void> {
  const directory = newLayout();
  const entries: DockerEntry[] = [];
  const manifests: unknown[] = [];
  const repositories: Record<string, Record<string, string>> = {};
  for (const entry of readManifest(source)) {
    const config = addBlob(directory, readFileSync(join(source, entry.Config)));
    const layers = entry.Layers.map((layer) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar',
      ...addBlob(directory, readFileSync(join(source, layer))),
    }));
    const manifest = { schemaVersion: 2, mediaType: ociManifest, config: { mediaType: ociConfig, ...config }, layers };
    const descriptor = { mediaType: ociManifest, ...addBlob(directory, Buffer.from(JSON.stringify(manifest))) };
    for (const [name, tag] of (entry.RepoTags ?? []).map(splitTag)) {
      const annotations = { 'io.containerd.image.name': `${name}:${tag}`, [refName]: tag };
      manifests.push({ ...descriptor, annotations });
      repositories[name] = { [tag]: hex(config.digest) };
    }
    const LayerSources = Object.fromEntries(layers.map((layer) => [layer.digest, layer]));
    const Layers = layers.map(({ digest }) => blobPath(digest));
    entries.push({ Config: blobPath(config.digest), RepoTags: entry.RepoTags, Layers, LayerSources });
  }
  writeJson(directory, 'index.json', { schemaVersion: 2, mediaType: ociIndex, manifests });
  writeJson(directory, 'manifest.json', entries);
  writeJson(directory, 'repositories', repositories);
  await pack(directory, path);
}

/** go-containerregistry's tarball: the config is named by its digest, layers stay gzip. */
export async function writeCraneTarball(layout: string, path: string): Promise<void> {
  const directory = temporaryDirectory();
  const { manifest } = readSingle(layout);
  const layers = manifest.layers.map(({ digest }) => {
    copyFileSync(join(layout, blobPath(digest)), join(directory, `${hex(digest)}.tar.gz`));
    return `${hex(digest)}.tar.gz`;
  });
  copyFileSync(join(layout, blobPath(manifest.config.digest)), join(directory, manifest.config.digest));
  writeJson(directory, 'manifest.json', [
    { Config: manifest.config.digest, RepoTags: ['example.com/app:1'], Layers: layers },
  ]);
  await run('tar', ['-C', directory, '-cf', path, manifest.config.digest, ...layers, 'manifest.json']);
}

/** `ctr images export` of an image pulled with Docker's media types: they stand in an OCI layout as they are. */
export async function writeContainerdExport(layout: string, path: string): Promise<void> {
  const directory = newLayout();
  const copied = temporaryDirectory();
  await run('skopeo', ['copy', '--quiet', '--format', 'v2s2', `oci:${layout}:app:1`, `dir:${copied}`]);
  const bytes = readFileSync(join(copied, 'manifest.json'));
  const manifest = JSON.parse(bytes.toString('utf8')) as Manifest;
  const digests = [manifest.config, ...manifest.layers].map(({ digest }) => digest);
  for (const digest of digests) addBlob(directory, readFileSync(join(copied, hex(digest))));
  const annotations = { 'io.containerd.image.name': 'example.com/app:1', [refName]: '1' };
  const descriptor = { mediaType: manifest.mediaType, ...addBlob(directory, bytes), annotations };
  writeJson(directory, 'index.json', { schemaVersion: 2, manifests: [descriptor] });
  const [Config, ...Layers] = digests.map(blobPath) as [string, ...string[]];
  writeJson(directory, 'manifest.json', [{ Config, RepoTags: ['example.com/app:1'], Layers }]);
  await pack(directory, path);
}

/** The flat form: `index.json` lists every platform's manifest itself and carries the tag as its own annotation. */
export async function writeFlatIndex(layout: string, path: string): Promise<void> {
  const directory = newLayout();
  const outer = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: { digest: string }[] };
  const nested = outer.manifests[0]?.digest ?? '';
  const inner = JSON.parse(readFileSync(join(layout, blobPath(nested)), 'utf8'));
  for (const name of readdirSync(join(layout, 'blobs/sha256'))) {
    if (name !== hex(nested)) addBlob(directory, readFileSync(join(layout, 'blobs/sha256', name)));
  }
  writeJson(directory, 'index.json', { ...inner, annotations: { [refName]: 'multi:1' } });
  const blobs = readdirSync(join(directory, 'blobs/sha256')).map((name) => `blobs/sha256/${name}`);
  await run('tar', ['-C', directory, '-cf', path, 'oci-layout', 'index.json', ...blobs]);
}

interface DockerEntry {
  Config: string;
  RepoTags?: string[];
  Layers: string[];
  LayerSources?: Record<string, unknown>;
}

interface Manifest {
  mediaType?: string;
  config: { digest: string };
  layers: { digest: string }[];
}

interface Config {
  created?: string;
  history?: unknown[];
  rootfs: { diff_ids: string[] };
}

const refName = 'org.opencontainers.image.ref.name';
const ociIndex = 'application/vnd.oci.image.index.v1+json';
const ociManifest = 'application/vnd.oci.image.manifest.v1+json';
const ociConfig = 'application/vnd.oci.image.config.v1+json';

function writeLegacyLayer(
  directory: string,
  id: string,
  parent: string | undefined,
  source: string,
  written: Map<string, string>,
): void {
  mkdirSync(join(directory, id));
  writeFileSync(join(directory, id, 'VERSION'), '1.0');
  writeJson(directory, `${id}/json`, { id, parent, os: 'linux' });
  const content = sha256(readFileSync(source));
  const first = written.get(content);
  if (first === undefined) copyFileSync(source, join(directory, id, 'layer.tar'));
  else symlinkSync(`../${first}/layer.tar`, join(directory, id, 'layer.tar'));
  written.set(content, first ?? id);
}

function newLayout(): string {
  const directory = temporaryDirectory();
  mkdirSync(join(directory, 'blobs/sha256'), { recursive: true });
  writeJson(directory, 'oci-layout', { imageLayoutVersion: '1.0.0' });
  return directory;
}

function addBlob(directory: string, bytes: Uint8Array): { digest: string; size: number } {
  const digest = sha256(bytes);
  writeFileSync(join(directory, blobPath(digest)), bytes);
  return { digest, size: bytes.length };
}

function readSingle(layout: string): { manifest: Manifest } {
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: { digest: string }[] };
  const digest = index.manifests[0]?.digest ?? '';
  return { manifest: JSON.parse(readFileSync(join(layout, blobPath(digest)), 'utf8')) };
}

function readManifest(source: string): DockerEntry[] {
  return JSON.parse(readFileSync(join(source, 'manifest.json'), 'utf8'));
}

function readConfig(path: string): Config {
  return JSON.parse(readFileSync(path, 'utf8'));
}

function writeJson(directory: string, name: string, value: unknown): void {
  writeFileSync(join(directory, name), JSON.stringify(value));
}

function splitTag(name: string): [string, string] {
  const colon = name.lastIndexOf(':');
  return [name.slice(0, colon), name.slice(colon + 1)];
}

function blobPath(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`;
}

function hex(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/** Packs the directory as Go's archivers do: names sorted, without `./`, directories with entries of their own. */
async function pack(directory: string, path: string): Promise<void> {
  await run('tar', ['-C', directory, '--sort=name', '-cf', path, ...readdirSync(directory).sort()]);
}

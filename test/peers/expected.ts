/** Says what is in an image archive by unpacking it with GNU tar and reading its JSON: independent of the library. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { run, temporaryDirectory } from './peers.ts';

export interface ExpectedArchive {
  /** In the order of the archive's index. */
  images: ExpectedImage[];
  /** `org.opencontainers.image.ref.name`, or Docker's first `RepoTags`. */
  tag: string | undefined;
  /** True where the images are for different platforms, rather than of different names. */
  isMultiPlatform: boolean;
}

export interface ExpectedImage {
  /** As `linux/arm64/v8`, from the index where it says so, else from the config. */
  platform: string;
  configDigest: string;
  /** Of the uncompressed layers, base first. */
  diffIds: string[];
  /** Missing where the archive holds no manifest (docker save before 25). */
  manifestDigest?: string;
  /** Of the layers as they are stored. */
  layerDigests: string[];
}

/** Unpacks the archive and reads it; throws where any digest in it is not that of the content. */
export async function describeArchive(path: string): Promise<ExpectedArchive> {
  const directory = temporaryDirectory();
  await run('tar', ['-C', directory, '-xf', path]);
  return existsSync(join(directory, 'index.json')) ? describeLayout(directory) : describeDockerArchive(directory);
}

/** The same for a layout directory. */
export function describeLayout(directory: string): ExpectedArchive {
  const index = readJson(readFileSync(join(directory, 'index.json')));
  const images = imagesOf(directory, index);
  const annotation = 'org.opencontainers.image.ref.name';
  const tag = index.annotations?.[annotation] ?? index.manifests[0]?.annotations?.[annotation];
  return { images, tag, isMultiPlatform: isMultiPlatform(images) };
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

interface Document {
  manifests: { digest: string; mediaType?: string; platform?: Platform; annotations?: Record<string, string> }[];
  annotations?: Record<string, string>;
  config: { digest: string };
  layers: { digest: string }[];
}

interface Platform {
  os: string;
  architecture: string;
  variant?: string;
}

function imagesOf(directory: string, index: Document): ExpectedImage[] {
  return index.manifests.flatMap((descriptor) => {
    const document = readJson(readBlob(directory, descriptor.digest));
    if (Array.isArray(document.manifests)) return imagesOf(directory, document);
    return [describeImage(directory, descriptor.digest, document, descriptor.platform)];
  });
}

function describeImage(
  directory: string,
  manifestDigest: string,
  manifest: Document,
  platform?: Platform,
): ExpectedImage {
  const config = readConfig(readBlob(directory, manifest.config.digest));
  const layers = manifest.layers.map(({ digest }) => readBlob(directory, digest));
  checkDiffIds(layers, config.diffIds, manifestDigest);
  return {
    platform: platform === undefined ? config.platform : formatPlatform(platform),
    configDigest: manifest.config.digest,
    diffIds: config.diffIds,
    manifestDigest,
    layerDigests: manifest.layers.map(({ digest }) => digest),
  };
}

function describeDockerArchive(directory: string): ExpectedArchive {
  const entries = JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8')) as {
    Config: string;
    RepoTags?: string[];
    Layers: string[];
  }[];
  const images = entries.map((entry) => {
    const bytes = readFileSync(join(directory, entry.Config));
    const config = readConfig(bytes);
    const layers = entry.Layers.map((path) => readFileSync(join(directory, path)));
    checkDiffIds(layers, config.diffIds, entry.Config);
    return {
      platform: config.platform,
      configDigest: sha256(bytes),
      diffIds: config.diffIds,
      layerDigests: layers.map(sha256),
    };
  });
  return { images, tag: entries[0]?.RepoTags?.[0], isMultiPlatform: isMultiPlatform(images) };
}

function isMultiPlatform(images: readonly ExpectedImage[]): boolean {
  return new Set(images.map(({ platform }) => platform)).size > 1;
}

function readBlob(directory: string, digest: string): Buffer {
  const bytes = readFileSync(join(directory, 'blobs', digest.replace(':', '/')));
  if (sha256(bytes) !== digest) throw new Error(`blob ${digest} has the digest ${sha256(bytes)}`);
  return bytes;
}

function readJson(bytes: Uint8Array): Document {
  return JSON.parse(Buffer.from(bytes).toString('utf8'));
}

function readConfig(bytes: Uint8Array): { diffIds: string[]; platform: string } {
  const config = JSON.parse(Buffer.from(bytes).toString('utf8'));
  return { diffIds: config.rootfs.diff_ids, platform: formatPlatform(config) };
}

function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, variant].filter((part) => part !== undefined && part !== '').join('/');
}

function checkDiffIds(layers: Buffer[], diffIds: string[], where: string): void {
  const actual = layers.map((bytes) => sha256(bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes));
  if (actual.join() !== diffIds.join()) throw new Error(`the layers of ${where} are ${actual}, not ${diffIds}`);
}

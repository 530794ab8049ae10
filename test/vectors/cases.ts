/**
 * What the golden digests are of. Nothing here may depend on the runtime, its clock or its environment: every time is
 * given, and what looks random comes from a generator with a fixed seed.
 */

import { readBytes, readChunks } from '../../src/bytes/byte-source.ts';
import { createHasher, digestOf } from '../../src/bytes/hash.ts';
import type { BlobStore } from '../../src/content/content.ts';
import { Image } from '../../src/image/image.ts';
import { imageContent } from '../../src/image/image-content.ts';
import { createLayer } from '../../src/layer/create-layer.ts';
import type { CreateLayerOptions, LayerFile } from '../../src/layer/file.ts';
import type { Layer } from '../../src/layer/layer.ts';
import { saveTarball } from '../../src/layout/save-tarball.ts';

/** One layer's files. `large` ones take seconds where nothing native hashes. */
export interface LayerCase {
  name: string;
  large?: boolean;
  files(): Iterable<LayerFile>;
}

/** 2024-02-29T12:00:00Z. */
const mtime = 1709208000;

export const layerCases: readonly LayerCase[] = [
  { name: 'no files', files: () => [] },
  { name: 'one file', files: () => [{ path: 'etc/motd', body: 'hello\n', mode: 0o600, uid: 1000, gid: 100 }] },
  { name: '1,000 files of every type', files: everyType },
  {
    name: '100 MB of text',
    large: true,
    files: () => [{ path: 'text', size: 100_000_000, body: prose(100_000_000) }],
  },
  {
    name: '100 MB of noise',
    large: true,
    files: () => [{ path: 'noise', size: 100_000_000, body: noise(100_000_000) }],
  },
];

/** `options` says how the layer is compressed; its time is fixed here. */
export function makeLayer({ files }: LayerCase, options: CreateLayerOptions = {}): Promise<Layer> {
  return createLayer(files(), { ...options, mtime, store: nowhere });
}

/** Takes the digest of a blob and keeps nothing, so that large ones fit into any runtime. */
const nowhere: BlobStore = {
  has: async () => false,
  read: () => Promise.reject(new Error('nothing was kept')),
  async write(body, expected) {
    const hasher = createHasher();
    let size = 0;
    for await (const chunk of readChunks(body)) {
      hasher.update(chunk);
      size += chunk.length;
    }
    return { mediaType: 'application/octet-stream', ...expected, digest: hasher.digest(), size };
  },
};

/** An image whose config has every field, and that image for three platforms as one index. */
export async function imageDigests(): Promise<Record<string, string>> {
  const images: Image[] = [];
  for (const platform of ['linux/amd64', 'linux/arm64', 'linux/arm/v7']) {
    const scratch = Image.scratch({ platform, created: new Date('2024-02-29T12:00:00.500Z') });
    const layer = { compression: 'none', mtime } as const;
    images.push(
      (
        await (
          await scratch.addLayer([{ path: 'platform', body: platform }], layer)
        ).copy([{ path: 'run' }], '/app', layer)
      )
        .entrypoint(['/app/run', '--flag'])
        .cmd(['argument', 'ünïcode "quoted" <&>'])
        .env({ PATH: '/app:/bin', EMPTY: '' })
        .workdir('/app')
        .user('1000:100')
        .expose(8080, '53/udp')
        .volume('/data', '/cache')
        .stopSignal('SIGINT')
        .label('org.opencontainers.image.title', 'vectors')
        .label('b', '2')
        .label('a', '1')
        .annotation('org.opencontainers.image.description', 'Golden digests')
        .author('Stowage <stowage@example.com>')
        .history({ created: '2024-02-29T12:00:00Z', created_by: 'by hand', author: 'me', comment: 'a comment' }),
    );
  }
  const [image] = images as [Image, ...Image[]];
  return {
    config: image.manifest.config.digest,
    manifest: image.descriptor.digest,
    'empty image': Image.scratch({ created: 0 }).descriptor.digest,
    'index of three platforms': imageContent(images).root.digest,
    'archive of one image': await digestOfStream(saveTarball(image, { tag: 'vectors:1.0', compression: 'none' })),
    'archive of three platforms': await digestOfStream(
      saveTarball(images, { tag: 'vectors:1.0', compression: 'none' }),
    ),
  };
}

async function digestOfStream(stream: ReadableStream<Uint8Array>): Promise<string> {
  return digestOf(await readBytes(stream));
}

/** Every entry type, long and strange names, large owners, times before 1970, attributes; a thousand entries in all. */
function* everyType(): Generator<LayerFile> {
  const next = random(1);
  const strange = [
    '名前',
    'naïve',
    '\u{1f600}',
    'a b',
    "it's",
    '-dash',
    '.hidden',
    '\uffee',
    'back\\slash',
    'new\nline',
  ];
  for (let index = 0; index < 994; index++) {
    const directory = `d${next() % 20}/${strange[next() % strange.length]}`;
    const path = `${directory}/${index}-${'long'.repeat(next() % 30)}`;
    const kind = index % 8;
    const common = { path, mtime: (next() % 4_000_000_000) - 1_000_000_000 };
    if (kind === 1) yield { ...common, type: 'directory', mode: 0o700 + (next() % 64) };
    else if (kind === 2) yield { ...common, type: 'symlink', linkTarget: `../${'up/'.repeat(next() % 60)}target` };
    else if (kind === 3) yield { ...common, type: 'hardlink', linkTarget: 'etc/target' };
    else if (kind === 4) yield { ...common, type: 'fifo', mode: 0o622 };
    else if (kind === 5)
      yield { ...common, type: 'character-device', device: { major: next() % 512, minor: next() % 65536 } };
    else if (kind === 6)
      yield { ...common, type: 'block-device', device: { major: next() % 512, minor: next() % 256 } };
    else {
      const xattrs = { 'user.note': bytesOf(next() % 64, next), 'security.capability': bytesOf(20, next) };
      const body = bytesOf(next() % 5000, next);
      yield {
        ...common,
        body,
        mode: next() % 0o10000,
        uid: next() % 2 ** 32,
        gid: next() % 2 ** 22,
        ...(kind === 7 && { xattrs }),
      };
    }
  }
  yield { path: 'etc/target', body: 'target' };
  yield { path: '/', mode: 0o711 };
  yield { path: 'x'.repeat(255) };
  yield { path: `${'y'.repeat(100)}/${'z'.repeat(100)}`, body: 'split' };
  yield { path: '\u{10ffff}' };
  yield { path: 'etc/.wh.removed' };
}

/** Words, drawn with a skew, in lines: compresses as text does. */
async function* prose(size: number): AsyncGenerator<Uint8Array> {
  const next = random(2);
  const words = Array.from({ length: 4000 }, () => {
    let word = '';
    for (let left = 2 + (next() % 9); left > 0; left--) word += String.fromCharCode(97 + (next() % 26));
    return word;
  });
  let text = '';
  for (let left = size; left > 0; ) {
    while (text.length < 65536) {
      // The product of two draws favours the first words, as language does.
      const word = words[Math.floor(((next() % 4000) * (next() % 4000)) / 4000)] as string;
      text += next() % 12 === 0 ? `${word}.\n` : `${word} `;
    }
    const chunk = new TextEncoder().encode(text.slice(0, Math.min(left, 65536)));
    text = text.slice(65536);
    left -= chunk.length;
    yield chunk;
  }
}

async function* noise(size: number): AsyncGenerator<Uint8Array> {
  const next = random(3);
  for (let left = size; left > 0; ) {
    const chunk = new Uint8Array(Math.min(left, 100_000));
    const words = new DataView(chunk.buffer);
    for (let at = 0; at < chunk.length; at += 4) words.setUint32(at, next(), true);
    left -= chunk.length;
    yield chunk;
  }
}

function bytesOf(size: number, next: () => number): Uint8Array {
  return Uint8Array.from({ length: size }, () => next());
}

/** Xorshift of 32 bits (Marsaglia 2003), with the seed spread so that neighbours differ. */
function random(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1) | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Fuzz cases: spoilt archives fed to every reader, each to end, in time, in a result or a `StowageError`. */

import { readBytes, readChunks } from '../../src/bytes/byte-source.ts';
import { inPieces } from '../../src/bytes/chunks.ts';
import { gunzip } from '../../src/bytes/gunzip.ts';
import { gzip } from '../../src/bytes/gzip.ts';
import { StowageError } from '../../src/errors.ts';
import { Image } from '../../src/image/image.ts';
import { createLayer } from '../../src/layer/create-layer.ts';
import { loadTarballForPush } from '../../src/layout/load-tarball.ts';
import { saveTarball } from '../../src/layout/save-tarball.ts';
import type { Limits } from '../../src/limits.ts';
import { imageIndex } from '../../src/oci/image-index.ts';
import { parseImageConfig, parseLayoutHeader, parseManifest } from '../../src/oci/parse.ts';

import { parsePlatforms } from '../../src/oci/platform.ts';
import { parseReference } from '../../src/oci/reference.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { readTar } from '../../src/tar/read-tar.ts';
import { all, bytes } from '../content/contract.ts';
import { join, pack, packFiles, unpack } from '../layout/archives.ts';
import { bytesOf, encode, entry, meta, octal, padded, pax, rawHeader } from '../tar/archives.ts';
import { changeJson, mutateBytes, mutateDocuments, mutateHeaders, oddEntries } from './mutate.ts';
import { type Random, randomFrom } from './random.ts';

/** What is spoilt: whole image archives, other tars, and gzip streams. */
export interface Corpus {
  archives: Uint8Array[];
  tars: Uint8Array[];
  gzips: Uint8Array[];
  /** Documents and names, by what reads them. */
  texts: { text: string; read: (text: string) => unknown }[];
}

/** A case takes milliseconds; one of seconds is a failure even if it ends. */
export const longestCase = 10_000;

/** Small, so that what honest limits let through costs no time here. */
const limits: Partial<Limits> = { inflatedBytes: 4 * 1024 * 1024, jsonBytes: 256 * 1024, graphNodes: 2000 };

/** `foreign` are tars that other tools made. */
export async function makeCorpus(foreign: readonly Uint8Array[] = []): Promise<Corpus> {
  const make = async (platform: string): Promise<Image> =>
    (
      await (
        await Image.scratch({ platform, created: 0 }).addLayer([{ path: 'a/b', body: 'hello' }], { mtime: 0 })
      ).addLayer(
        [
          { path: 'link', type: 'symlink', linkTarget: 'a/b' },
          { path: 'hard', type: 'hardlink', linkTarget: 'a/b' },
          { path: 'ü'.repeat(70), body: 'x'.repeat(700), xattrs: { 'user.x': Uint8Array.of(0, 1, 255) } },
        ],
        { mtime: 0, compression: 'none' },
      )
    )
      .cmd(['/a/b'])
      .env({ A: '1' })
      .label('a', 'b');
  const images = [await make('linux/amd64'), await make('linux/arm64')];
  const plain = await all(saveTarball(images[0]!, { tag: 'fuzz:1', compression: 'none' }));
  const several = await all(saveTarball(images, { tag: 'fuzz:1', compression: 'none' }));
  const docker = await unpack(plain);
  docker.delete('oci-layout');
  docker.delete('index.json');
  const sparse = pax([
    ['GNU.sparse.major', '1'],
    ['GNU.sparse.minor', '0'],
    ['GNU.sparse.name', 'sparse'],
    ['GNU.sparse.realsize', '9000'],
  ]);
  const tars = [
    plain,
    encode(
      entry('a', { body: bytesOf('x'.repeat(1000)) }),
      entry('directory', { type: 'directory' }),
      entry('link', { type: 'symlink', linkTarget: 'y'.repeat(150) }),
      entry('n'.repeat(300), { body: bytesOf('z'), mtime: -5, uid: 2 ** 40 }),
    ),
    join([
      meta('x', sparse),
      rawHeader({ name: 'GNUSparseFile.0/sparse', size: octal(1024) }),
      padded(bytesOf('1\n4096\n10\n')),
      padded(bytesOf('0123456789')),
      meta('L', bytesOf(`${'long'.repeat(40)}\0`)),
      rawHeader({ name: 'long', magic: 'ustar  \0', size: octal(3) }),
      padded(bytesOf('abc')),
      meta('g', pax([['comment', 'global']])),
      rawHeader({ name: 'old', magic: '\0'.repeat(8) }),
      new Uint8Array(1024),
    ]),
    ...foreign,
  ];
  const layer = await createLayer([{ path: 'a', body: bytes('text '.repeat(900)) }], { mtime: 0 });
  const member = await all(await layer.open());
  const gzips = [await zipped(plain), member, join([member, member]), await zipped(new Uint8Array(0))];
  const texts: Corpus['texts'] = [];
  const add = (text: string | Uint8Array, read: (text: string) => unknown): void => {
    texts.push({ text: typeof text === 'string' ? text : new TextDecoder().decode(text), read });
  };
  add(images[0]!.manifestBytes, (text) => parseManifest(text, { limits }));
  add(images[0]!.configBytes, (text) => parseImageConfig(text, { limits }));
  for (const [path, content] of await unpack(several)) {
    if (path === 'oci-layout') add(content, (text) => parseLayoutHeader(text, { limits }));
    if (content[0] === 0x7b) add(content, (text) => imageIndex.parse(text, { limits }));
  }
  add(`localhost:5000/a/b_c:tag@sha256:${'0'.repeat(64)}`, parseReference);
  add('linux/amd64,windows(10.0.17763+win32k)/amd64,linux/arm/v7', parsePlatforms);
  return { archives: [plain, several, await packFiles(docker), await zipped(several)], tars, gzips, texts };
}

/** Runs the case of a seed. Throws, with what it was, where it breaks the promise. */
export async function runCase(seed: number, corpus: Corpus): Promise<'result' | 'refused'> {
  const random = randomFrom(seed);
  const started = Date.now();
  const signal = AbortSignal.timeout(longestCase);
  let outcome: 'result' | 'refused' = 'result';
  let what = '';
  try {
    await attempt(random, corpus, signal, (name) => {
      what = name;
    });
  } catch (error) {
    if (!(error instanceof StowageError))
      throw new Error(`seed ${seed} (${what}): ${describe(error)}`, { cause: error });
    if (typeof error.code !== 'string' || error.message === '') throw new Error(`seed ${seed} (${what}): says nothing`);
    outcome = 'refused';
  }
  if (Date.now() - started > longestCase) throw new Error(`seed ${seed} (${what}): took ${Date.now() - started} ms`);
  return outcome;
}

async function attempt(
  random: Random,
  corpus: Corpus,
  signal: AbortSignal,
  say: (what: string) => void,
): Promise<void> {
  const kind = random.below(10);
  const everything = [...corpus.archives, ...corpus.tars, ...corpus.gzips];
  if (kind < 2) {
    say('documents');
    const { text, read } = random.pick(corpus.texts);
    let changed = text;
    for (let times = 1 + random.below(3); times > 0; times--) changed = changeJson(changed, random);
    read(changed);
  } else if (kind < 4) {
    say('readTar');
    const tar = random.pick(corpus.tars);
    const spoilt = random.oneIn(2) ? mutateHeaders(tar, random) : mutateBytes(tar, everything, random);
    await drainTar(inChunks(spoilt, random), signal, random);
  } else if (kind < 6) {
    say('gunzip');
    const spoilt = mutateBytes(random.pick(corpus.gzips), everything, random);
    const engine = random.pick(['native', 'portable', undefined] as const);
    await drain(gunzip(inChunks(spoilt, random), { engine, limits, signal }));
  } else {
    say('loadTarballForPush');
    await load(await spoilArchive(random, corpus, everything), random, signal);
  }
}

async function spoilArchive(random: Random, corpus: Corpus, everything: Uint8Array[]): Promise<Uint8Array> {
  const archive = random.pick(corpus.archives);
  const isGzip = archive[0] === 0x1f;
  const how = random.below(isGzip ? 1 : 4);
  if (how === 0) return mutateBytes(archive, everything, random);
  let spoilt: Uint8Array;
  if (how === 1) spoilt = mutateHeaders(archive, random);
  else if (how === 2) spoilt = await mutateDocuments(archive, random);
  else {
    const files = [...(await unpack(archive))].map(([path, content]) => entry(path, { body: content }));
    files.splice(random.below(files.length), 0, random.pick(oddEntries) as (typeof files)[number]);
    spoilt = await pack(files);
  }
  return random.oneIn(8) ? zipped(spoilt) : spoilt;
}

/** Loads, reads all that was loaded, and writes it out again. Whatever happens, nothing may stay in the spill storage. */
async function load(archive: Uint8Array, random: Random, signal: AbortSignal): Promise<void> {
  const spill = new MemoryStorage();
  const memoryThreshold = random.pick([0, 3000, 2 ** 24]);
  let cleanup: () => Promise<void> = async () => {};
  let refusal: StowageError | undefined;
  try {
    const loaded = await loadTarballForPush(inChunks(archive, random), { memoryThreshold, spill, limits, signal });
    ({ cleanup } = loaded);
    for (const { layers, image } of loaded.images) {
      for (const layer of layers) await drain(readChunks(await layer.getData(), { signal }));
      for (const layer of image.layers)
        for await (const { body } of layer.entries({ limits, signal })) await drain(body);
    }
    await drain(readChunks(saveTarball(loaded.images[0]!.image, { compression: 'none', signal })));
    for (const { image } of loaded.images) image.label('changed', 'yes').env({ B: '2' }).expose(80);
  } catch (error) {
    if (!(error instanceof StowageError)) throw error;
    refusal = error;
  }
  await cleanup();
  for await (const path of spill.list('')) throw new Error(`${path} was left in the spill storage`);
  if (refusal !== undefined) throw refusal;
}

async function drainTar(chunks: AsyncIterable<Uint8Array>, signal: AbortSignal, random: Random): Promise<void> {
  for await (const { body } of readTar(chunks, { limits, signal })) if (!random.oneIn(4)) await drain(body);
}

async function drain(chunks: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of chunks);
}

async function* inChunks(content: Uint8Array, random: Random): AsyncGenerator<Uint8Array> {
  const size = random.pick([content.length + 1, 512, 1000, 1 + random.below(3000)]);
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size);
}

function zipped(content: Uint8Array): Promise<Uint8Array> {
  return readBytes(inPieces(gzip(readChunks(content), { level: 1 }), 65536));
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

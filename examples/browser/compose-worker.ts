/** The work behind the page, off its thread: opens a base, packs files into a layer, and writes the archive. */
import {
  blobStore,
  createLayer,
  formatPlatform,
  Image,
  imageContent,
  type Layer,
  type LoadedTarball,
  loadTarballForPush,
  saveTarball,
} from 'stowage';
import type { Answers, Question, Recipe, Reply, Summary } from './messages.ts';
import { readPart } from './read-part.ts';
import { openSessionStorage } from './session-storage.ts';

declare const self: {
  onmessage: (event: MessageEvent<Question>) => void;
  postMessage(reply: Reply): void;
};

const session = openSessionStorage();
let base: LoadedTarball | undefined;
let composed: Image[] = [];

self.onmessage = async ({ data }) => {
  try {
    self.postMessage({ report: 'done', answer: await answer(data) });
  } catch (error) {
    self.postMessage({ report: 'failed', message: error instanceof Error ? error.message : String(error) });
  }
};

async function answer(question: Question): Promise<Answers[keyof Answers]> {
  switch (question.ask) {
    case 'open':
      return open(question.archive);
    case 'close':
      return close();
    case 'compose':
      return compose(question.recipe);
    case 'save':
      return save(question.tag);
  }
}

async function open(archive: File): Promise<Summary> {
  await close();
  const { storage, kind } = await session;
  const loaded = await loadTarballForPush(counted(archive, meter(archive.size)), {
    // To the disk whatever its size, where there is one.
    ...(kind === 'disk' && { spill: storage, memoryThreshold: 0 }),
  });
  base = loaded;
  const images = loaded.images.map(({ image }) => image);
  return { ...summarize(images), tag: loaded.tag };
}

async function close(): Promise<undefined> {
  composed = [];
  await base?.cleanup();
  base = undefined;
}

async function compose({ platform, files, entrypoint, env }: Recipe): Promise<Summary> {
  const { storage } = await session;
  const images = base?.images.map(({ image }) => image) ?? [Image.scratch({ platform })];
  let layer: Layer | undefined;
  if (files.length > 0) {
    const count = meter(files.reduce((sum, { content }) => sum + content.size, 0));
    const packed = files.map(({ path, content, executable }) => ({
      path,
      body: counted(content, count),
      size: content.size,
      mode: executable ? 0o755 : 0o644,
    }));
    // Directories of a base keep their modes and owners.
    layer = await createLayer(packed, { store: blobStore(storage), parents: base === undefined });
  }
  composed = images.map((image) => {
    const withFiles = (layer ? image.append(layer) : image).env(env);
    // The base's arguments are for the base's program.
    return entrypoint.length > 0 ? withFiles.entrypoint(entrypoint).cmd([]) : withFiles;
  });
  return summarize(composed, layer);
}

/** Uncompressed, as layers are compressed already; the browser keeps a large Blob on its disk. */
async function save(tag: string): Promise<Blob> {
  const blobs = new Map(composed.flatMap(({ layers }) => layers.map((layer) => [layer.descriptor.digest, layer])));
  const size = [...blobs.values()].reduce((sum, { descriptor }) => sum + descriptor.size, 0);
  const count = meter(size);
  const counting = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      count(chunk.length);
      controller.enqueue(chunk);
    },
  });
  const archive = saveTarball(composed, { tag, compression: 'none' }).pipeThrough(counting);
  return new Response(archive as ReadableStream<Uint8Array<ArrayBuffer>>).blob();
}

function summarize(images: Image[], added?: Layer): Summary {
  return {
    digest: imageContent(images).root.digest,
    images: images.map(({ platform, descriptor, config, layers }) => ({
      platform: formatPlatform(platform),
      digest: descriptor.digest,
      entrypoint: [...(config.config?.Entrypoint ?? []), ...(config.config?.Cmd ?? [])],
      env: config.config?.Env ?? [],
      layers: layers.map(({ descriptor: { digest, size } }) => ({
        digest,
        size,
        isNew: digest === added?.descriptor.digest,
      })),
    })),
  };
}

/** Tells the page what share of so many bytes has passed, a hundred times at most. */
function meter(total: number): (bytes: number) => void {
  let passed = 0;
  let told = -1;
  return (bytes) => {
    passed += bytes;
    const hundredths = Math.min(100, Math.floor((100 * passed) / total));
    if (hundredths > told) self.postMessage({ report: 'progress', share: hundredths / 100 });
    told = Math.max(told, hundredths);
  };
}

/** A file piece by piece, each read when it is asked for. */
async function* counted(file: File, count: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  const piece = 1024 * 1024;
  for (let start = 0; start < file.size; start += piece) {
    const bytes = new Uint8Array(await readPart(file, start, start + piece));
    yield bytes;
    count(bytes.length);
  }
}

// One measured job in a process of its own, so that its peak memory is its own: node bench/jobs.mjs JOB FOLDER
// Prints { seconds, cpu, bytes?, note?, peak } as JSON. FOLDER holds tree/ (files), tree.tar, layer.tar.gz (the layer of the image in
// layout/), big/ (an image of 1 GiB in one layer), stack/ (one of 1 GiB of files in seven layers, which stack-N.tar.gz name) and half/ (one
// of 500 MB). The jobs that push and pull want a registry's HOST as a third argument. `serve` measures nothing: it is a registry over the
// empty directory registry/, which says its port and runs until it is killed.
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, stat, symlink } from 'node:fs/promises';
import { createServer } from 'node:http';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { blobStore, copy, createLayer, exportDirectory, Image, Layout, saveTarball } from 'stowage';
import { NodeStorage } from 'stowage/storage/node';

const [job, folder, argument] = process.argv.slice(2);
// What a program of that one task would load, and no more: V8 collects the more often the more was loaded before.
const isTransfer = /^pu(ll|sh)-/.test(job);
const { RemoteRepository } = isTransfer ? await import('stowage/registry') : {};
const { directory, extract, serveNode, writeFile } = isTransfer ? {} : await import('stowage/node');
const { serve } = isTransfer ? {} : await import('stowage/server');
const tree = join(folder, 'tree');
const tar = join(folder, 'tree.tar');
const tarGz = join(folder, 'layer.tar.gz');
const scratch = await mkdtemp(join(folder, 'job-'));
const out = join(scratch, 'out');
const store = () => blobStore(new NodeStorage(out, { durable: false }));
const sink = async (chunks) => {
  let bytes = 0;
  for await (const chunk of chunks) bytes += chunk.length;
  return bytes;
};
const build = async (gzip, compression = 'gzip') => {
  const layer = await createLayer(directory(tree), { store: store(), compression, gzip });
  return layer.descriptor.size;
};
const MiB = 2 ** 20;

/** A layout's directory that knows what was asked of it. A document is read whole; what is larger is a layer. */
class CountingStorage extends NodeStorage {
  blobsWritten = 0;
  #layers = new Set();

  get layersRead() {
    return this.#layers.size;
  }

  async read(path, range) {
    if ((await this.stat(path))?.size > MiB) this.#layers.add(path);
    return super.read(path, range);
  }

  async create(options) {
    const file = await super.create(options);
    const commit = async (path) => {
      await file.commit(path);
      if (path.startsWith('blobs/')) this.blobsWritten++;
    };
    return { write: (chunk) => file.write(chunk), commit, abort: () => file.abort() };
  }
}

/** Each gives the bytes that it wrote or saw, or { bytes, note }. */
const jobs = {
  'gzip-bare': () =>
    pipeline(
      createReadStream(tar, { highWaterMark: 256 * 1024 }),
      createGzip({ level: 6, chunkSize: 64 * 1024 }),
      createWriteStream(out),
    ),
  'build-native': () => build({ engine: 'native', level: 6 }),
  'build-portable': () => {
    const [level, workers] = argument ? argument.split(' ').map(Number) : [];
    return build({ level, workers });
  },
  'build-none': () => build(undefined, 'none'),
  'build-node-tar': async () =>
    (await import('tar')).create({ gzip: { level: 6 }, file: out, cwd: tree, portable: true }, ['.']),
  'build-modern-tar': async () =>
    pipeline((await import('modern-tar/fs')).packTar(tree), createGzip({ level: 6 }), createWriteStream(out)),
  'build-tar-stream': async () => {
    const pack = (await import('tar-stream')).default.pack();
    const written = pipeline(pack, createGzip({ level: 6 }), createWriteStream(out));
    for await (const { path, type, mode, size, body, linkTarget } of directory(tree)) {
      const kind = type === 'hardlink' ? 'link' : (type ?? 'file');
      const entry = { name: path, type: kind, mode, size, linkname: linkTarget, mtime: new Date(0) };
      await new Promise((resolve, reject) => {
        const done = (error) => (error ? reject(error) : resolve());
        if (kind !== 'file') pack.entry(entry, done);
        else Readable.from(body).pipe(pack.entry(entry, done));
      });
    }
    pack.finalize();
    await written;
  },
  'build-nanotar': async () => {
    const files = [];
    for await (const { path, type = 'file', body } of directory(tree)) {
      if (type === 'file') files.push({ name: path, data: Buffer.concat(await collect(body)) });
    }
    const bytes = (await import('nanotar')).createTar(files);
    await pipeline(Readable.from([bytes]), createGzip({ level: 6 }), createWriteStream(out));
  },
  // With both digests, of a layer that holds the tar as a file.
  'compress-portable': async () => {
    const [level, copies, workers] = argument.split(' ').map(Number);
    const file = { path: 'tree.tar', size: copies * (await stat(tar)).size, body: tars(copies) };
    return (await createLayer([file], { store: store(), gzip: { level, workers } })).descriptor.size;
  },
  'compress-zlib': async () => {
    const [level, copies] = argument.split(' ').map(Number);
    return gzipped(tars(copies), createGzip({ level, chunkSize: 64 * 1024 }));
  },
  'compress-fflate': async () => {
    const [level, copies] = argument.split(' ').map(Number);
    const { Gzip } = await import('fflate');
    return gzipped(tars(copies), async function* (chunks) {
      const parts = [];
      const gzip = new Gzip({ level }, (part) => parts.push(part));
      for await (const chunk of chunks) {
        gzip.push(chunk);
        yield* parts.splice(0);
      }
      gzip.push(new Uint8Array(0), true);
      yield* parts;
    });
  },
  'compress-node-tar': async () => {
    const { create } = await import('tar');
    const folders = Array.from({ length: 7 }, (_, number) => join(scratch, String(number)));
    for (const folder of folders) await symlink(tree, folder);
    await create(
      { gzip: { level: 6 }, file: out, follow: true, portable: true, cwd: scratch },
      folders.map((path) => basename(path)),
    );
    return (await stat(out)).size;
  },
  'gunzip-bare': () =>
    pipeline(createReadStream(tarGz, { highWaterMark: 256 * 1024 }), createGunzip({ chunkSize: 64 * 1024 }), sink),
  'list-stowage': async () => {
    const image = await Image.from(await Layout.open(new NodeStorage(join(folder, 'layout'))), 'tree');
    const [layer] = image.layers;
    let bytes = 0;
    for await (const { header } of layer.entries()) bytes += header.size;
    return bytes;
  },
  'list-node-tar': async () => (await import('tar')).list({ file: tarGz }),
  'list-modern-tar': async () => {
    const { createTarDecoder } = await import('modern-tar');
    const entries = Readable.toWeb(createReadStream(tarGz).pipe(createGunzip())).pipeThrough(createTarDecoder());
    for await (const entry of entries) await entry.body.cancel();
  },
  'list-tar-stream': async () => {
    const extract = (await import('tar-stream')).default.extract();
    const done = pipeline(createReadStream(tarGz), createGunzip(), extract);
    for await (const entry of extract) entry.resume();
    await done;
  },
  'list-nanotar': async () => (await import('nanotar')).parseTarGzip(await readFile(tarGz), { metaOnly: true }),
  'extract-stowage': async () => {
    await extract(await Image.from(await Layout.open(new NodeStorage(join(folder, 'layout'))), 'tree'), out);
  },
  'extract-node-tar': async () => {
    await mkdir(out);
    await (await import('tar')).extract({ file: tarGz, cwd: out, preserveOwner: true });
  },
  'extract-modern-tar': async () => {
    await mkdir(out);
    await pipeline(createReadStream(tarGz), createGunzip(), (await import('modern-tar/fs')).unpackTar(out));
  },
  'memory-2GiB': async () => {
    const size = 2 * 1024 * MiB;
    const block = (await readFile(tar)).subarray(0, 64 * MiB);
    const before = process.memoryUsage.rss();
    let peak = before;
    const files = Array.from({ length: 16 }, (_, index) => ({
      path: `file-${index}`,
      size: size / 16,
      body: (async function* () {
        for (let at = 0; at < size / 16; at += MiB) {
          peak = Math.max(peak, process.memoryUsage.rss());
          yield block.subarray(at % (block.length - MiB), (at % (block.length - MiB)) + MiB);
        }
      })(),
    }));
    const layer = await createLayer(files, { store: store() });
    return { bytes: layer.descriptor.size, note: `resident memory grew by ${Math.round((peak - before) / MiB)} MiB` };
  },
  'append-1GiB': async () => {
    const layout = await Layout.open(new NodeStorage(join(folder, 'big')));
    let layerReads = 0;
    const counted = {
      resolve: (reference, options) => layout.resolve(reference, options),
      has: (descriptor) => layout.has(descriptor),
      read: (descriptor, options) => {
        if (descriptor.mediaType.includes('.layer.')) layerReads++;
        return layout.read(descriptor, options);
      },
    };
    const image = await (await Image.from(counted, 'big')).addLayer([{ path: 'etc/motd', body: 'hello\n' }]);
    await image.label('a', 'b').append(image.layers[1]);
    return { note: `${layerReads} of the base's layers read` };
  },
  'label-1GiB': async () => {
    const storage = new CountingStorage(join(folder, 'big'));
    const image = await Image.from(await Layout.open(storage), 'big');
    await exportDirectory(image.label('org.example.time', String(Date.now())), storage, { tag: 'big' });
    return { note: `${storage.blobsWritten} blobs written, ${storage.layersRead} layers read` };
  },
  'walk-stack': async () => {
    const storage = new CountingStorage(join(folder, 'stack'));
    const files = await (await Image.from(await Layout.open(storage), 'stack')).files();
    let count = 0;
    let bytes = 0;
    for await (const { size } of files.walk()) {
      count++;
      bytes += size;
    }
    return { note: `${count} names of ${Math.round(bytes / 1e6)} MB; ${storage.layersRead} of 7 layers read` };
  },
  'read-top-of-stack': () => readFromStack(6),
  'read-base-of-stack': () => readFromStack(0),
  'save-1GiB': async () => {
    const layout = await Layout.open(new NodeStorage(join(folder, 'big')));
    await writeFile(out, saveTarball(await Image.from(layout, 'big'), { tag: 'big' }));
  },
  'copy-1GiB': async () => {
    const layout = await Layout.open(new NodeStorage(join(folder, 'big')));
    await copy(layout, await Layout.create(new NodeStorage(out, { durable: false })), { references: ['big'] });
  },
  'push-500MB': async () => {
    const layout = await Layout.open(new NodeStorage(join(folder, 'half')));
    await copy(layout, new RemoteRepository(`${argument}/push`), { references: ['half'] });
  },
  serve: async () => {
    await rm(scratch, { recursive: true });
    const server = createServer(serveNode(serve(new NodeStorage(join(folder, 'registry')))));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    console.log(server.address().port);
    await once(server, 'close');
  },
  'pull-500MB': async () => {
    const layout = await Layout.create(new NodeStorage(out, { durable: false }));
    await copy(new RemoteRepository(`${argument}/pull`), layout, { references: ['half'] });
  },
  'make-layout': async () => {
    const layer = await createLayer(directory(tree), { store: store(), gzip: { engine: 'native', level: 6 } });
    await exportDirectory(Image.scratch().append(layer), new NodeStorage(join(folder, 'layout')), { tag: 'tree' });
    await writeFile(tarGz, await layer.open());
  },
  // What has been compressed already: skopeo would compress a plain layer on its way up.
  'make-500MB': () => makeNoise('half', 4, 119, { compression: 'gzip', gzip: { engine: 'native', level: 1 } }),
  'make-stack': async () => {
    let image = Image.scratch();
    for (let number = 0; number < 7; number++) {
      const files = [{ path: 'small', body: `${number}\n` }, ...(await collect(directory(tree)))].map((file) => ({
        ...file,
        path: `layer-${number}/${file.path}`,
        ...(file.type === 'hardlink' && { linkTarget: `layer-${number}/${file.linkTarget}` }),
      }));
      image = await image.addLayer(files, { store: store(), gzip: { engine: 'native', level: 6 } });
    }
    await exportDirectory(image, new NodeStorage(join(folder, 'stack')), { tag: 'stack' });
    for (const [number, { descriptor }] of image.layers.entries()) {
      const blob = join('stack/blobs', descriptor.digest.replace(':', '/'));
      await symlink(blob, join(folder, `stack-${number}.tar.gz`));
    }
  },
  'make-1GiB': () => makeNoise('big', 1, 1024, { compression: 'none' }),
};

/** A layout of one image: layers of so many MiB that do not compress. */
async function makeNoise(name, layers, mebibytes, options) {
  let seed = 1;
  const noise = async function* () {
    const bytes = new Uint8Array(MiB);
    for (let count = 0; count < mebibytes; count++) {
      for (let at = 0; at < MiB; at += 4) {
        seed ^= seed << 13;
        seed ^= seed >>> 17;
        seed ^= seed << 5;
        bytes[at] = seed;
        bytes[at + 1] = seed >>> 8;
        bytes[at + 2] = seed >>> 16;
        bytes[at + 3] = seed >>> 24;
      }
      yield bytes.slice();
    }
  };
  let image = Image.scratch();
  for (let count = 0; count < layers; count++) {
    const files = [{ path: `blob-${count}`, size: mebibytes * MiB, body: noise() }];
    image = image.append(await createLayer(files, { store: store(), ...options }));
  }
  await exportDirectory(image, new NodeStorage(join(folder, name)), { tag: name });
}

/** The tar of the tree, so many times in a row. */
async function* tars(copies) {
  for (let copy = 0; copy < copies; copy++) yield* createReadStream(tar, { highWaterMark: 256 * 1024 });
}

async function gzipped(chunks, gzip) {
  await pipeline(chunks, gzip, createWriteStream(out));
  return (await stat(out)).size;
}

/** Looks a file up from the top down, and reads it. */
async function readFromStack(number) {
  const storage = new CountingStorage(join(folder, 'stack'));
  const files = await (await Image.from(await Layout.open(storage), 'stack')).files();
  const bytes = await files.readFile(`layer-${number}/small`);
  return { bytes: bytes.length, note: `${storage.layersRead} of 7 layers read` };
}

async function collect(chunks) {
  const all = [];
  for await (const chunk of chunks) all.push(chunk);
  return all;
}

// Reading takes well under a second, so that compiling the code would show: the best of six says what the code costs.
const times = job === 'gunzip-bare' || job.startsWith('list-') ? 6 : 1;
let seconds = Number.POSITIVE_INFINITY;
let cpu = 0;
let result;
for (let time = 0; time < times; time++) {
  const start = process.hrtime.bigint();
  const before = process.cpuUsage();
  result = await jobs[job]();
  const { user, system } = process.cpuUsage(before);
  const took = Number(process.hrtime.bigint() - start) / 1e9;
  if (took < seconds) [seconds, cpu] = [took, (user + system) / 1e6];
}
await rm(scratch, { recursive: true, force: true });
const { bytes, note } = typeof result === 'object' && result !== null ? result : { bytes: result };
console.log(JSON.stringify({ seconds, cpu, bytes, note, peak: process.resourceUsage().maxRSS * 1024 }));
process.exit(0);

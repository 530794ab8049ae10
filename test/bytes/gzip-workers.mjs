/** One scenario of the test of the same name, run against the built library: `node gzip-workers.mjs DIST SCENARIO`. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [dist, scenario] = process.argv.slice(2);
const { gzip } = await import(pathToFileURL(join(dist, 'gzip.js')).href);
const { createLayer } = await import(pathToFileURL(join(dist, 'layer.js')).href);

const workers = [];
let exited = 0;
process.on('worker', (worker) => {
  workers.push(worker);
  worker.on('exit', () => exited++);
});

const block = 1024 * 1024;

async function* source(blocks) {
  const chunk = new Uint8Array(65536).map((_, at) => (at * at) >> 7);
  for (let at = 0; at < blocks * 16; at++) {
    chunk[at] = at;
    yield chunk;
    // As a source from disk or network would: messages of workers come in meanwhile.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function digest(blocks, options) {
  const hash = createHash('sha256');
  for await (const chunk of gzip(source(blocks), options)) hash.update(chunk);
  return hash.digest('hex');
}

const scenarios = {
  async 'same bytes'() {
    const digests = [];
    for (const count of [0, 1, 2, 8, 8, undefined]) digests.push(await digest(24, { workers: count }));
    return { digests: [...new Set(digests)].length, started: workers.length };
  },
  async small() {
    await digest(16, { workers: 2 });
    return { started: workers.length };
  },
  async death() {
    process.on('worker', (worker) => {
      const post = worker.postMessage.bind(worker);
      let jobs = 0;
      worker.postMessage = (...job) => {
        post(...job);
        if (++jobs === 3) worker.terminate();
      };
    });
    const outcome = await digest(400, { workers: 2 }).then(
      () => 'done',
      (error) => ({ code: error.code, message: error.message }),
    );
    return outcome;
  },
  async abort() {
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error('enough')), 1500);
    const outcome = await digest(100_000, { workers: 2, signal: controller.signal }).catch((error) => error.message);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    return { outcome, started: workers.length, exited };
  },
  async leave() {
    let size = 0;
    for await (const chunk of gzip(source(100_000), { workers: 2 })) {
      size += chunk.length;
      if (size > 4 * block) break;
    }
    return { left: true };
  },
  async idle() {
    await digest(40, { workers: 2 });
    await new Promise((resolve) => setTimeout(resolve, 2000));
    return { running: workers.length - exited };
  },
  async early() {
    let atOnce = 0;
    async function* files() {
      yield { path: 'large', size: 17 * block, body: source(17) };
      yield { path: 'small', body: 'small' };
      await new Promise((resolve) => setTimeout(resolve, 500));
      atOnce = workers.length;
      throw new Error('no more files');
    }
    const outcome = await createLayer(files(), { gzip: { workers: 2 } }).catch((error) => error.message);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    return { outcome, atOnce, running: workers.length - exited };
  },
  async 'small layer'() {
    await createLayer([{ path: 'small', size: 8 * block, body: source(8) }], { gzip: { workers: 2 } });
    return { started: workers.length };
  },
  async 'no script'() {
    return { digest: await digest(20, { workers: 2 }), alone: await digest(20, { workers: 0 }) };
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));

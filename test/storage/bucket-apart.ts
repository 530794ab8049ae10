/**
 * A Worker and its R2 bucket in two processes, so that what the Worker takes can be told from what the imitation of R2 takes: Miniflare's
 * own bucket in one `workerd`, the Worker in another, whose R2 binding speaks to the first over a socket on this machine.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { WebSocket } from 'undici';
import { startProgram } from '../runtimes/runtime.ts';
import { workerd } from '../runtimes/workerd.ts';
import { bundleForSuite } from './bundle-for-suite.ts';

export interface WorkerApart {
  url: string;
  /** The Worker's process, and the bucket's. */
  workerProcess: number;
  bucketProcess: number;
  /** What the Worker's isolate holds now, garbage that was not collected yet included, as its inspector says. In bytes. */
  isolateMemory(): Promise<IsolateMemory>;
  stop(): Promise<void>;
}

/** Objects of JavaScript, and the bytes of ArrayBuffers, which lie beside them. */
export interface IsolateMemory {
  heap: number;
  buffers: number;
}

/** Bundles the Worker and starts both. The Worker has `nodejs_compat`, and so native hashing, and `gc()` to collect its garbage with: the inspector's call for that is never answered. */
export async function startWorkerApart(entry: string): Promise<WorkerApart> {
  const folder = mkdtempSync(join(tmpdir(), 'stowage-workerd-'));
  mkdirSync(join(folder, 'objects'));
  const miniflare = dirname(createRequire(import.meta.url).resolve('miniflare'));
  for (const name of ['r2/bucket', 'shared/object-entry', 'shared/index', 'shared/zod']) {
    writeFileSync(
      join(folder, `${name.split('/')[1]}.mjs`),
      readFileSync(join(miniflare, `workers/${name}.worker.js`)),
    );
  }
  writeFileSync(join(folder, 'worker.mjs'), await bundleForSuite(entry));
  const bucket = await serve(folder, 'bucket', bucketConfiguration(join(folder, 'objects')), ['--experimental']);
  const worker = await serve(folder, 'worker', workerConfiguration(bucket.port), ['--inspector-addr=127.0.0.1:0']);
  const inspector = await connect(worker.inspectorPort);
  return {
    url: `http://127.0.0.1:${worker.port}/`,
    workerProcess: worker.pid,
    bucketProcess: bucket.pid,
    async isolateMemory() {
      const { usedSize, backingStorageSize } = await inspector.ask('Runtime.getHeapUsage');
      return { heap: usedSize!, buffers: backingStorageSize! };
    },
    async stop() {
      inspector.close();
      await Promise.all([worker.stop(), bucket.stop()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function serve(
  folder: string,
  name: string,
  configuration: string,
  options: string[],
): Promise<{ port: number; inspectorPort: number; pid: number; stop(): Promise<void> }> {
  const path = join(folder, `${name}.capnp`);
  writeFileSync(path, configuration);
  const { child, ended, stop } = startProgram(workerd.find()!, ['serve', ...options, '--control-fd=3', path]);
  const lines: string[] = [];
  const control = child.stdio[3] as Readable;
  control.setEncoding('utf8').on('data', (text) => lines.push(text));
  const port = async (pattern: RegExp): Promise<number> => {
    for (let round = 0; round < 600; round++) {
      const found = pattern.exec(lines.join(''));
      if (found) return Number(found[1]);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await stop();
    throw new Error(`workerd (${name}) does not listen.\n${await ended}`);
  };
  return {
    port: await port(/"event":"listen".*"port":(\d+)/),
    inspectorPort: options.some((option) => option.startsWith('--inspector'))
      ? await port(/"event":"listen-inspector".*"port":(\d+)/)
      : 0,
    pid: child.pid!,
    stop,
  };
}

interface Inspector {
  ask(method: string): Promise<Record<string, number | undefined>>;
  close(): void;
}

/** Speaks to the isolate's inspector. Its answers come between the turns of the Worker's own event loop. */
async function connect(port: number): Promise<Inspector> {
  const targets = (await (await fetch(`http://127.0.0.1:${port}/json`)).json()) as { webSocketDebuggerUrl: string }[];
  const socket = new WebSocket(targets[0]!.webSocketDebuggerUrl);
  const waiting = new Map<number, (result: Record<string, number>) => void>();
  let count = 0;
  socket.addEventListener('message', ({ data }) => {
    const { id, result } = JSON.parse(String(data));
    waiting.get(id)?.(result);
    waiting.delete(id);
  });
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener('open', () => resolve());
    socket.addEventListener('error', () => reject(new Error('the inspector does not answer')));
  });
  return {
    ask: (method) =>
      new Promise((resolve) => {
        waiting.set(++count, resolve);
        socket.send(JSON.stringify({ id: count, method }));
      }),
    close: () => socket.close(),
  };
}

function workerConfiguration(bucketPort: number): string {
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  v8Flags = ["--expose-gc"],
  services = [
    (name = "worker", worker = .worker),
    (name = "bucket", external = (address = "127.0.0.1:${bucketPort}", http = ())),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "worker")],
);
const worker :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed "worker.mjs")],
  compatibilityDate = "2026-01-01",
  compatibilityFlags = ["nodejs_compat"],
  bindings = [(name = "BUCKET", r2Bucket = "bucket")],
);
`;
}

/** What Miniflare makes of one bucket, without the rest of it. */
function bucketConfiguration(folder: string): string {
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "disk", disk = (path = ${JSON.stringify(folder)}, writable = true)),
    (name = "objects", worker = .objects),
    (name = "bucket", worker = .bucket),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "bucket")],
  extensions = [(modules = [
    (name = "miniflare:shared", esModule = embed "index.mjs"),
    (name = "miniflare:zod", esModule = embed "zod.mjs"),
  ])],
);
const objects :Workerd.Worker = (
  modules = [(name = "objects", esModule = embed "bucket.mjs")],
  compatibilityDate = "2023-07-24",
  compatibilityFlags = ["nodejs_compat", "experimental"],
  durableObjectNamespaces = [(className = "R2BucketObject", uniqueKey = "R2BucketObject")],
  durableObjectStorage = (localDisk = "disk"),
  bindings = [(name = "MINIFLARE_BLOBS", service = "disk")],
);
const bucket :Workerd.Worker = (
  modules = [(name = "bucket", esModule = embed "object-entry.mjs")],
  compatibilityDate = "2023-07-24",
  bindings = [
    (name = "MINIFLARE_NAMESPACE", text = "stowage-test"),
    (name = "MINIFLARE_OBJECT", durableObjectNamespace = (className = "R2BucketObject", serviceName = "objects")),
  ],
);
`;
}

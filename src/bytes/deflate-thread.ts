/** One compressing worker, as a web Worker or a thread of Node: what the pool needs of either. */
import type { DeflateJob, DeflateReply } from './deflate-worker.ts';
import { nativeModule } from './runtime.ts';

/** A started worker. */
export interface DeflateThread {
  post(job: DeflateJob, transfer: ArrayBuffer[]): void;
  /** Whether the process must stay for it, where the runtime asks that. A new one holds nobody. */
  hold(needed: boolean): void;
  stop(): void;
}

/** What a worker has to say. After `onFailure` it says no more. */
export interface DeflateThreadEvents {
  onMessage(reply: DeflateReply): void;
  onFailure(reason: unknown): void;
}

/** Starts a worker; `undefined` where there is none to be had. One that cannot load its script fails later. */
export function startDeflateThread(events: DeflateThreadEvents): DeflateThread | undefined {
  // Not a literal where it is passed on: a bundler for browsers must not take it for a second copy of the script.
  const script = besideThisModule(workerScript);
  if (script === undefined || !mayRead(script)) return undefined;
  return startNodeThread(script, events) ?? startWebWorker(events);
}

/** Where modules have no address, as in a Worker of the edge, there is no script to start either. */
function besideThisModule(name: string): URL | undefined {
  try {
    return new URL(name, import.meta.url);
  } catch {
    return undefined;
  }
}

/** A worker that may not read its script, or finds none, fails by itself, but some runtimes print an error as well. */
function mayRead(script: URL): boolean {
  if (script.protocol !== 'file:') return true;
  try {
    nativeModule<{ accessSync?: (path: URL) => void }>('node:fs')?.accessSync?.(script);
    return true;
  } catch {
    return false;
  }
}

interface NodeWorker {
  on(event: string, listener: (value: unknown) => void): void;
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  ref(): void;
  unref(): void;
  terminate(): unknown;
}

interface WorkerThreads {
  Worker?: new (script: URL, options: { resourceLimits: { maxYoungGenerationSizeMb: number } }) => NodeWorker;
}

/** Before web Workers, where a runtime has both: only these let a process end that does not wait for them. */
function startNodeThread(script: URL, events: DeflateThreadEvents): DeflateThread | undefined {
  const threads = nativeModule<WorkerThreads>('node:worker_threads');
  if (threads?.Worker === undefined) return undefined;
  try {
    // It makes next to no objects; by default, room for 48 MiB of young ones would fill up all the same.
    const worker = new threads.Worker(script, { resourceLimits: { maxYoungGenerationSizeMb: 2 } });
    worker.on('message', (reply) => events.onMessage(reply as DeflateReply));
    worker.on('error', (error) => events.onFailure(error));
    worker.on('messageerror', (error) => events.onFailure(error));
    worker.on('exit', (code) => events.onFailure(`it exited with code ${String(code)}`));
    worker.unref();
    return {
      post: (job, transfer) => worker.postMessage(job, transfer),
      hold: (needed) => (needed ? worker.ref() : worker.unref()),
      stop: () => void worker.terminate(),
    };
  } catch {
    return undefined;
  }
}

function startWebWorker(events: DeflateThreadEvents): DeflateThread | undefined {
  if (typeof Worker !== 'function') return undefined;
  try {
    // Bundlers look for this very form.
    const worker = new Worker(new URL('./deflate-worker.ts', import.meta.url), { type: 'module' });
    worker.onmessage = ({ data }) => events.onMessage(data as DeflateReply);
    worker.onmessageerror = () => events.onFailure('a message could not be read');
    worker.onerror = (event) => {
      event.preventDefault?.();
      events.onFailure(event.message || 'its script could not be run');
    };
    return {
      post: (job, transfer) => worker.postMessage(job, transfer),
      hold: () => {},
      stop: () => worker.terminate(),
    };
  } catch {
    return undefined;
  }
}

const workerScript = './deflate-worker.ts';

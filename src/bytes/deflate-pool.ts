/**
 * Compressing workers, shared by all that is compressed at a time. They are started when a long input shows up, closed
 * when nobody needs them, and missed by nobody where there are none: until one is ready, and where none ever is, the
 * calling thread does the work itself.
 */
import { StowageError } from '../errors.ts';
import { crc32 } from './crc32.ts';
import { DeflateEncoder } from './deflate.ts';
import { type DeflateThread, startDeflateThread } from './deflate-thread.ts';
import type { DeflateJob } from './deflate-worker.ts';
import { letEventsIn } from './event-loop.ts';
import type { Block, BlockCompressor, CompressedBlock } from './gzip-blocks.ts';
import { drawsPage, parallelism, sharedBytes, transferable } from './runtime.ts';

/** Blocks of a stream that pass before workers are started for it. A new worker runs slowly for its first ten, so shorter input gains nothing. */
const blocksBeforeStart = 16;

/** Blocks at a worker: the one that it works on, and two that wait, so that it need not while the calling thread waits for a disk. */
const blocksPerWorker = 3;

/** Most workers that are started unless told. With their blocks, they hold about 50 MiB. */
const defaultMaximum = 8;

/** Milliseconds that idle workers are kept for the next stream. */
const idleTime = 500;

/** Blocks that the calling thread may compress ahead while the workers have theirs, the first of which may take long: a new worker is slow. */
const blocksHere = 4;

/**
 * Compresses blocks at a level from 0 to 9, on up to `workers` threads beside the calling one (default: one per core but one, up to 8).
 * The calling thread takes what they have no room for, unless it draws a page or each core has a worker.
 */
export function deflateCompressor(level: number, workers: number = defaultWorkers()): BlockCompressor {
  const here = drawsPage() || workers >= parallelism() ? 0 : blocksHere;
  let seen = 0;
  let joined = false;
  let encoder: DeflateEncoder | undefined;
  return {
    // V8 checks each access to a buffer once any has been transferred: an eighth of the encoder's speed, in both threads.
    allocate: sharedBytes,
    capacity: () => (joined ? Math.max(1, here + blocksPerWorker * ready(workers).length) : 1),
    compress(block) {
      seen++;
      if (!joined && workers > 0 && (seen > blocksBeforeStart || (threads.length > 0 && !block.final))) {
        joined = true;
        join(workers);
      }
      const worker = joined ? leastBusy(ready(workers)) : undefined;
      if (worker !== undefined && (here === 0 || worker.jobs.size < blocksPerWorker)) {
        return dispatch(worker, level, block);
      }
      encoder ??= new DeflateEncoder(level);
      return compressHere(encoder, block);
    },
    close() {
      if (joined) leave();
      joined = false;
    },
  };
}

/** Starts workers for what will be compressed soon. Gives what lets go of them, to be called when that is done. */
export function startWorkers(workers: number = defaultWorkers()): () => void {
  join(workers);
  return leave;
}

function defaultWorkers(): number {
  return Math.min(parallelism() - 1, defaultMaximum);
}

async function compressHere(encoder: DeflateEncoder, block: Block): Promise<CompressedBlock> {
  const { buffer, start, end, final } = block;
  const compressed = encoder.encode(buffer, start, end, final);
  const crc = crc32(buffer.subarray(start, end));
  buffer.set(compressed);
  const output = buffer.subarray(0, compressed.length);
  if (!final) await letEventsIn();
  return { output, crc, buffer };
}

interface PoolWorker {
  thread: DeflateThread;
  ready: boolean;
  jobs: Map<number, { resolve: (block: CompressedBlock) => void; reject: (reason: unknown) => void }>;
}

const threads: PoolWorker[] = [];
let users = 0;
let jobs = 0;
/** Set when a worker failed to start: the next would fail too, as under a policy that forbids workers. */
let unavailable = false;
let idle: ReturnType<typeof setTimeout> | undefined;

function join(wanted: number): void {
  users++;
  clearTimeout(idle);
  while (threads.length < wanted && !unavailable) start();
}

/** Ends what nobody waits for at once, and idle workers soon. */
function leave(): void {
  users--;
  if (users > 0) return;
  if (threads.some((worker) => worker.jobs.size > 0)) stopAll();
  if (threads.length === 0) return;
  idle = setTimeout(stopAll, idleTime);
  (idle as { unref?: () => void }).unref?.();
}

function stopAll(): void {
  for (const { thread } of threads.splice(0)) thread.stop();
}

function start(): void {
  const worker: Partial<PoolWorker> = { ready: false, jobs: new Map() };
  const thread = startDeflateThread({
    onMessage(reply) {
      if (reply.type === 'ready') {
        worker.ready = true;
        return;
      }
      const job = worker.jobs!.get(reply.id);
      worker.jobs!.delete(reply.id);
      if (worker.jobs!.size === 0) thread?.hold(false);
      if (reply.type === 'failed') job?.reject(workerFailed(reply.reason));
      else job?.resolve({ output: reply.buffer.subarray(0, reply.length), crc: reply.crc, buffer: reply.buffer });
    },
    onFailure(reason) {
      const at = threads.indexOf(worker as PoolWorker);
      if (at < 0) return;
      threads.splice(at, 1);
      thread?.stop();
      if (!worker.ready) unavailable = true;
      for (const job of worker.jobs!.values()) job.reject(workerFailed(reason));
    },
  });
  if (thread === undefined) {
    unavailable = true;
    return;
  }
  worker.thread = thread;
  threads.push(worker as PoolWorker);
}

function ready(wanted: number): PoolWorker[] {
  return threads.slice(0, wanted).filter((worker) => worker.ready);
}

function leastBusy(workers: PoolWorker[]): PoolWorker | undefined {
  let best = workers[0];
  for (const worker of workers) if (worker.jobs.size < best!.jobs.size) best = worker;
  return best;
}

function dispatch(worker: PoolWorker, level: number, block: Block): Promise<CompressedBlock> {
  const { buffer: input, start: from, end, final } = block;
  const job: DeflateJob = { id: jobs++, level, input, start: from, end, final };
  return new Promise((resolve, reject) => {
    worker.thread.post(job, transferable(input));
    worker.thread.hold(true);
    worker.jobs.set(job.id, { resolve, reject });
  });
}

function workerFailed(reason: unknown): StowageError {
  return new StowageError(
    'WORKER_FAILED',
    `A compressing worker ended before its work was done: ${String(reason)}. If memory ran out, give fewer workers with { workers: … }; 0 does without.`,
    {},
    { cause: reason },
  );
}

/** A file of a browser's file system while it is written: by a stream where the browser gives one, else by the synchronous handle of Workers. */
import { StowageError } from '../errors.ts';
import { patiently } from './opfs-failure.ts';

/** What of `FileSystemFileHandle` differs from browser to browser, and between windows and Workers. */
export interface WritableHandle {
  createWritable?(): Promise<FileSystemWritableFileStream>;
  /** In Workers, of the origin private file system only. */
  createSyncAccessHandle?(): Promise<SyncAccessHandle>;
  move?(directory: FileSystemDirectoryHandle, name: string): Promise<void>;
}

/** `FileSystemSyncAccessHandle`, which TypeScript declares for Workers alone. */
interface SyncAccessHandle {
  write(bytes: Uint8Array<ArrayBuffer>, options: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

/** Where bytes go, one call after the other. */
interface Sink {
  write(bytes: Uint8Array<ArrayBuffer>, at: number): Promise<void>;
  close(): Promise<void>;
  abort(): Promise<void>;
}

/** Each write is a message to another process: large enough that this does not show, small enough to hold for many files at once. */
const largestBlock = 1024 * 1024;
const smallestBlock = 16 * 1024;

/** Gathers chunks into blocks of up to 1 MiB and writes them. Its errors are the platform's own. */
export class BlockWriter {
  readonly #sink: Sink;
  #block = new Uint8Array(0);
  #used = 0;
  #flushed = 0;
  #tail: Promise<void> = Promise.resolve();
  #open = true;

  private constructor(sink: Sink) {
    this.#sink = sink;
  }

  /** Opens the file, whose content will be replaced. Throws `RUNTIME_UNSUPPORTED` where files can only be read here. */
  static async open(handle: WritableHandle): Promise<BlockWriter> {
    return new BlockWriter(await openSink(handle));
  }

  /** Bytes taken so far. */
  get size(): number {
    return this.#flushed + this.#used;
  }

  /** Calls may overlap: they are written in the order of the calls, and after one has failed all others do. */
  write(chunk: Uint8Array): Promise<void> {
    const written = this.#tail.then(() => this.#write(chunk));
    this.#tail = written;
    // The failure belongs to the caller of this write, and to that of the next one; nobody else need hear of it.
    written.catch(() => {});
    return written;
  }

  async close(): Promise<void> {
    await this.#tail;
    await this.#flush();
    this.#open = false;
    await this.#sink.close();
  }

  /** Lets go of the file, written or not. Never throws. */
  async abort(): Promise<void> {
    await this.#tail.catch(() => {});
    this.#block = new Uint8Array(0);
    this.#used = 0;
    if (!this.#open) return;
    this.#open = false;
    await this.#sink.abort().catch(() => {});
  }

  async #write(chunk: Uint8Array): Promise<void> {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#used === this.#block.length) {
        // The first block fits its chunk, so that small files take little; it grows to its full size before it is written.
        if (this.#block.length === largestBlock) await this.#flush();
        else this.#grow(rest.length);
      }
      const part = rest.subarray(0, this.#block.length - this.#used);
      this.#block.set(part, this.#used);
      this.#used += part.length;
      rest = rest.subarray(part.length);
    }
  }

  #grow(wanted: number): void {
    const size = this.#used === 0 && wanted <= smallestBlock ? smallestBlock : largestBlock;
    const block = new Uint8Array(size);
    block.set(this.#block);
    this.#block = block;
  }

  async #flush(): Promise<void> {
    if (this.#used === 0) return;
    await this.#sink.write(this.#block.subarray(0, this.#used), this.#flushed);
    this.#flushed += this.#used;
    this.#used = 0;
  }
}

async function openSink(handle: WritableHandle): Promise<Sink> {
  if (handle.createWritable) {
    const stream = await patiently(() => handle.createWritable!());
    return {
      write: (bytes) => stream.write(bytes),
      close: () => stream.close(),
      abort: () => stream.abort(),
    };
  }
  if (handle.createSyncAccessHandle) {
    const file = await patiently(() => handle.createSyncAccessHandle!());
    file.truncate(0);
    return {
      async write(bytes, at) {
        let written = 0;
        while (written < bytes.length) {
          const count = file.write(bytes.subarray(written), { at: at + written });
          // Where the disk or the quota is full, some browsers write what fits and throw nothing.
          if (count === 0) throw new DOMException('The file system took no more bytes', 'QuotaExceededError');
          written += count;
        }
      },
      async close() {
        file.flush();
        file.close();
      },
      async abort() {
        file.close();
      },
    };
  }
  throw new StowageError(
    'RUNTIME_UNSUPPORTED',
    'This browser writes files in Workers only (it has no createWritable here). Run this in a Worker.',
  );
}

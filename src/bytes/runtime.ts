/**
 * What a runtime may offer beyond the web's own interfaces: Node's built-in modules and an environment. Both are looked
 * up when asked for and never imported, so that one build runs where they are missing.
 */

/** @internal */
export interface ProcessLike {
  getBuiltinModule?: (name: string) => unknown;
  env?: Record<string, unknown>;
  versions?: Record<string, unknown>;
}

/** Built-in modules that the core makes use of where they are at hand. */
export type NativeModuleName =
  | 'node:crypto'
  | 'node:fs'
  | 'node:os'
  | 'node:stream'
  | 'node:worker_threads'
  | 'node:zlib';

/**
 * A built-in module of Node, or of a runtime that provides it too; `undefined` where there is none. `T` is the part of
 * the module that the caller uses, as an interface of its own: the published types must not need Node's.
 */
export function nativeModule<T>(name: NativeModuleName): T | undefined {
  try {
    return processLike()?.getBuiltinModule?.(name) as T | undefined;
  } catch {
    // A runtime that knows the method but not the module: as good as none.
    return undefined;
  }
}

/** An environment variable; `undefined` where it is not set, where there is no environment, or where reading it is not permitted. */
export function environment(name: string): string | undefined {
  try {
    const value = processLike()?.env?.[name];
    return typeof value === 'string' ? value : undefined;
  } catch {
    // Deno throws where `--allow-env` was not given.
    return undefined;
  }
}

/** Cores that this process may use, as the runtime reports them; 1 where it does not. */
export function parallelism(): number {
  const { navigator } = globalThis as { navigator?: { hardwareConcurrency?: number } };
  const os = (): { availableParallelism?: () => number } | undefined => nativeModule('node:os');
  return Math.max(1, navigator?.hardwareConcurrency ?? os()?.availableParallelism?.() ?? 1);
}

/** Whether this thread draws a page, which stands still while it computes. */
export function drawsPage(): boolean {
  return (globalThis as { document?: unknown }).document !== undefined;
}

/**
 * Memory that other threads see too, where the runtime has that (in browsers a page must be isolated from all other origins), else memory of this
 * thread, to be transferred.
 */
export function sharedBytes(length: number): Uint8Array {
  return typeof SharedArrayBuffer === 'function'
    ? new Uint8Array(new SharedArrayBuffer(length))
    : new Uint8Array(length);
}

/** What must be transferred with a message that holds the bytes. */
export function transferable({ buffer }: Uint8Array): ArrayBuffer[] {
  return buffer instanceof ArrayBuffer ? [buffer] : [];
}

/** Whether this is Deno: the one runtime that cannot be told by what it offers, as it offers what ends the process. */
export function isDeno(): boolean {
  return processLike()?.versions?.deno !== undefined;
}

/** @internal */
export function processLike(): ProcessLike | undefined {
  return (globalThis as { process?: ProcessLike }).process;
}

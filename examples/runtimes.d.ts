// What the examples use of Deno and Bun, for this repository's compiler. `deno check` and @types/bun know all of them.
declare const Deno: {
  readonly args: string[];
  exit(code: number): never;
  open(path: string): Promise<{ readonly readable: ReadableStream<Uint8Array> }>;
  remove(path: string, options?: { recursive?: boolean }): Promise<void>;
};

declare const Bun: {
  readonly argv: string[];
  file(path: string): Blob;
};

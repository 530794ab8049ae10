/** A program of the system that does what the runtime has no call for, once for many files: given them on its standard input, or told of on its output. */
import { spawn } from 'node:child_process';
import process from 'node:process';

/** How it ended. `code` is `undefined` where there is no such program, or the runtime may start none. */
export interface ChildResult {
  code: number | null | undefined;
  /** What it complained of: the first 64 KiB. */
  complaint: string;
  /** What it wrote to its standard output. */
  output: Buffer;
}

/** Runs `command`, without a shell, to its end. An aborted `signal` kills it and rejects with its reason. */
export async function runChild(
  command: string,
  args: readonly string[],
  input: readonly Uint8Array[],
  signal: AbortSignal | undefined,
): Promise<ChildResult> {
  signal?.throwIfAborted();
  const result = await new Promise<ChildResult>((resolve) => {
    const complaints: Buffer[] = [];
    let length = 0;
    const output: Buffer[] = [];
    const ended = (code: number | null): ChildResult => ({
      code,
      complaint: Buffer.concat(complaints).toString().trim(),
      output: Buffer.concat(output),
    });
    const refused = (error: unknown): void =>
      resolve({ code: undefined, complaint: String(error), output: Buffer.alloc(0) });
    try {
      const child = spawn(command, args, {
        stdio: ['pipe', 'pipe', 'pipe'],
        env: { ...process.env, LC_ALL: 'C' },
        signal,
      });
      child.on('error', refused);
      child.on('close', (code) => resolve(ended(code)));
      child.stdout.on('data', (data: Buffer) => output.push(data));
      child.stderr.on('data', (data: Buffer) => {
        if (length < 65536) complaints.push(data);
        length += data.length;
      });
      // One that ends early leaves its input unread; its code says more of it.
      child.stdin.on('error', () => {});
      for (const bytes of input) child.stdin.write(bytes);
      child.stdin.end();
    } catch (error) {
      refused(error);
    }
  });
  signal?.throwIfAborted();
  return result;
}

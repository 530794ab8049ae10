/** What a runtime is to the tests: found or missing, started on a bundle, and told of by its events until it is stopped. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { Inside } from './bundle.ts';
import type { SuiteEvent } from './harness.ts';

export interface Runtime {
  /** As in `npm run test:NAME`. */
  name: string;
  inside: Inside;
  /** Where it comes from, told to whoever lacks it. */
  source: string;
  /** Its program's path; `undefined` where this machine lacks it and it could not be fetched. */
  find: () => string | undefined;
  start: (program: string, bundle: string, tell: (event: SuiteEvent) => void) => Promise<Running>;
}

/** A started runtime. */
export interface Running {
  version: string;
  /** Why it can tell no more, such as an exit; pending while it runs. */
  ended: Promise<string>;
  stop: () => Promise<void>;
}

const started = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of started) kill(child);
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

/** The first of the paths that is a program; the placeholder that stands where an install script did not run is none. */
export function firstProgram(paths: readonly string[]): string | undefined {
  return paths.find((path) => (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 1_000_000);
}

/** The number in what `--version` prints. */
export function versionOf(program: string): string {
  const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8', timeout: 30_000 });
  return /\d[\w.-]*/.exec(stdout)?.[0] ?? 'unknown';
}

/** Starts a program in a process group of its own, so that stopping it leaves none of its children behind. */
export function startProgram(
  program: string,
  arguments_: readonly string[],
  environment: Record<string, string> = {},
): { child: ChildProcess; ended: Promise<string>; stop: () => Promise<void> } {
  const child = spawn(program, arguments_, {
    detached: true,
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  started.add(child);
  let errors = '';
  child.stderr?.setEncoding('utf8').on('data', (text) => {
    errors = (errors + text).slice(-4000);
  });
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) =>
      resolve(`exit ${signal ?? code}${errors === '' ? '' : `\n${errors.trimEnd()}`}`),
    );
  });
  const stop = async (): Promise<void> => {
    kill(child);
    await ended;
    started.delete(child);
  };
  return { child, ended, stop };
}

/** Runs a bundle in a program that prints an event a line, as Node, Deno and Bun do. */
export function startConsole(
  program: string,
  arguments_: readonly string[],
  tell: (event: SuiteEvent) => void,
): Running {
  const { child, ended, stop } = startProgram(program, arguments_);
  tellLines(child.stdout as Readable, tell);
  return { version: versionOf(program), ended, stop };
}

/** Tells of the events among the lines, and leaves out what tests and runtimes print between them. */
export async function tellLines(stream: Readable, tell: (event: SuiteEvent) => void): Promise<void> {
  for await (const line of createInterface({ input: stream })) {
    if (line.startsWith('{"event":')) tell(JSON.parse(line));
  }
}

/** The first line that matches; fails when the stream ends or the time is over before. */
export async function lineOf(stream: Readable, pattern: RegExp, milliseconds = 30_000): Promise<string> {
  const lines = createInterface({ input: stream });
  const timer = setTimeout(() => lines.close(), milliseconds);
  try {
    for await (const line of lines) {
      const found = pattern.exec(line);
      if (found !== null) return found[1] ?? found[0];
    }
  } finally {
    clearTimeout(timer);
  }
  throw new Error(`nothing matched ${pattern} within ${milliseconds / 1000} s`);
}

function kill(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // The group is gone already.
  }
}

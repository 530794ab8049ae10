/** Runs the field's own tools for tests: skipped by name where one is missing, failed where `CI=true`. */
import { type ExecFileException, execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { createWriteStream, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterAll, type TestContext, test } from 'vitest';
import {
  debianPackages,
  describeMissing,
  findPeer,
  hasPeer,
  inContinuousIntegration,
  type Need,
  type Peer,
} from './debian.ts';

export interface RunOptions {
  cwd?: string;
  env?: Record<string, string>;
  /** Given to the command on its standard input. */
  input?: string | Uint8Array;
  /** Milliseconds before the command is killed. Default 120,000. */
  timeout?: number;
}

export interface RunResult {
  stdout: string;
  stderr: string;
}

/** Runs a command to its end; throws, with what it wrote to its standard error, where it fails. Arguments reach it as they are. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { cwd, env, input, timeout = 120_000 } = options;
  const path = isPeer(command) ? (findPeer(command) ?? command) : command;
  return new Promise((resolve, reject) => {
    const child = execFile(
      path,
      args,
      { cwd, timeout, maxBuffer: 256 * 1024 * 1024, env: { ...process.env, LC_ALL: 'C.UTF-8', ...env } },
      (error, stdout, stderr) => {
        if (error === null) resolve({ stdout, stderr });
        else reject(new Error(describeFailure(command, args, error, stderr), { cause: error }));
      },
    );
    // A command that never reads its input closes the pipe early: that is no failure of the command.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input ?? '');
  });
}

/**
 * A test that needs peers. Where one is missing it is skipped with a note that names it, or fails where `CI=true`:
 * a green run there means that every peer has judged.
 */
export function peerTest(
  needs: readonly Need[],
  behaviour: string,
  body: (context: TestContext) => Promise<void>,
  timeout?: number,
): void {
  test(
    behaviour,
    async (context) => {
      const missing = needs.filter((need) => !hasPeer(need));
      if (missing.length > 0) skipMissing(context, missing.map(describeMissing).join(', '));
      await body(context);
    },
    timeout,
  );
}

/** A new directory that is gone when the test file ends. */
export function temporaryDirectory(): string {
  // Short, as podman wants it, and without upper-case letters: of the path that an image is taken from, buildah makes its name.
  const directory = join(tmpdir(), `stowage-${randomUUID().slice(0, 13)}`);
  mkdirSync(directory);
  temporaryDirectories.push(directory);
  return directory;
}

/** Writes a web stream to a file. */
export async function writeStream(stream: ReadableStream<Uint8Array>, path: string): Promise<void> {
  await pipeline(Readable.fromWeb(stream as Parameters<typeof Readable.fromWeb>[0]), createWriteStream(path));
}

/** Path of a static busybox: a real program that runs in an image which holds nothing else. */
export function busyboxPath(): string {
  const path = findPeer('busybox');
  if (path === undefined) throw new Error(`missing ${describeMissing('busybox')}`);
  return path;
}

/** A private container store, driven by podman and buildah; nothing of it leaves its directory. */
export interface ContainerStore {
  /** The directory in which each layer lies unpacked, over those below it. */
  layers: string;
  podman(args: readonly string[]): Promise<RunResult>;
  buildah(args: readonly string[]): Promise<RunResult>;
}

/** A new, empty store in a temporary directory. */
export function containerStore(): ContainerStore {
  const directory = temporaryDirectory();
  const options = ['--storage-driver=vfs', '--root', join(directory, 'root'), '--runroot', join(directory, 'run')];
  return {
    layers: join(directory, 'root/vfs/dir'),
    podman: (args) => run('podman', [...options, ...args]),
    buildah: (args) => run('buildah', [...options, ...args]),
  };
}

/**
 * Unpacks the tagged image of a layout directory with umoci, runs it under runc with its own command, and gives what
 * the program printed.
 */
export async function runWithRunc(layout: string, tag: string): Promise<string> {
  const directory = temporaryDirectory();
  const bundle = join(directory, 'bundle');
  await run('umoci', ['unpack', '--image', `${layout}:${tag}`, bundle]);
  adaptToNesting(join(bundle, 'config.json'));
  const state = join(directory, 'state');
  mkdirSync(state);
  const { stdout } = await run('runc', [...runcOptions, '--root', state, 'run', '--bundle', bundle, randomUUID()]);
  return stdout;
}

/** `--rootless=true` makes runc do without cgroups where a surrounding container mounts them read-only. */
const runcOptions = ['--rootless=true'];

const temporaryDirectories: string[] = [];

afterAll(() => {
  for (const directory of temporaryDirectories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

/**
 * umoci's runtime configuration asks for a terminal, a raised open-file limit, cgroup rules and mounts that a
 * surrounding container may refuse. None of them comes from the image; what does stays as umoci wrote it.
 */
function adaptToNesting(path: string): void {
  const config = JSON.parse(readFileSync(path, 'utf8'));
  delete config.process.rlimits;
  config.process.terminal = false;
  delete config.linux.resources;
  delete config.linux.maskedPaths;
  delete config.linux.readonlyPaths;
  const kept = new Set(['/proc', '/dev']);
  config.mounts = config.mounts.filter((mount: { destination: string }) => kept.has(mount.destination));
  config.linux.namespaces = ['mount', 'pid', 'uts', 'ipc'].map((type) => ({ type }));
  writeFileSync(path, JSON.stringify(config));
}

/** Skips the running test for want of something, by its name, or fails it where `CI=true`. */
export function skipMissing(context: TestContext, what: string): never {
  const note = `missing ${what}`;
  if (inContinuousIntegration()) throw new Error(`${note}: with CI=true every peer must be here`);
  return context.skip(note);
}

function isPeer(command: string): command is Peer {
  return Object.hasOwn(debianPackages, command);
}

function describeFailure(command: string, args: readonly string[], error: ExecFileException, stderr: string): string {
  const ending = error.killed ? 'was killed (time or output limit)' : `failed with ${error.code ?? error.signal}`;
  return `${command} ${args.join(' ')} ${ending}:\n${stderr.trim() || error.message}`;
}

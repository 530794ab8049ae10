/** The examples for Node, Deno, Bun and Workers: the same directory on the same base gives the same bytes in each. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  openAsBlob,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Image, saveTarball } from '../../src/index.ts';
import { directory, fromFile, writeFile } from '../../src/node/index.ts';
import { busyboxPath, peerTest, run, runWithRunc, temporaryDirectory } from '../peers/peers.ts';
import { bun } from '../runtimes/bun.ts';
import { deno } from '../runtimes/deno.ts';

const root = join(import.meta.dirname, '../..');
/** A project with the package installed and the examples beside it, in which `app/` and `base.tar` lie. */
const project = temporaryDirectory();
const program = ['/bin/busybox', 'sh', '/app/greet', 'you'];
const options = ['--env', 'GREETING=hello', '--env', 'EQUATION=a=b', '--', ...program];
let worker: ChildProcess | undefined;

beforeAll(async () => {
  await install();
  mkdirSync(join(project, 'app/data'), { recursive: true });
  mkdirSync(join(project, 'out'));
  writeFileSync(join(project, 'app/greet'), 'echo "$GREETING $1"\n');
  writeFileSync(join(project, 'app/data/größe'), 'x'.repeat(100_000));
  symlinkSync('greet', join(project, 'app/link'));
  for (const [path, mode] of Object.entries({ 'app/greet': 0o755, 'app/data': 0o755, 'app/data/größe': 0o640 }))
    chmodSync(join(project, path), mode);
  const base = await Promise.all(
    ['linux/amd64', 'linux/arm64'].map((platform) =>
      Image.scratch({ platform }).addLayer([{ path: 'etc/platform', body: platform }]),
    ),
  );
  await writeFile(join(project, 'base.tar'), saveTarball(base, { tag: 'base:1' }));
});

afterAll(async () => {
  if (worker === undefined || worker.exitCode !== null) return;
  worker.kill();
  await once(worker, 'exit');
});

describe('the examples for Node, Deno, Bun and Workers', () => {
  test('write the same multi-platform archive, byte for byte, and print the digest that skopeo would', async () => {
    const results = [
      await built('node', 'node', ['examples/node/build.mjs']),
      await built('bun', found(bun.find()), ['examples/bun/build.ts']),
      await built('deno', found(deno.find()), [...denoCommand(), 'examples/deno/build.ts']),
      await composed('base.tar'),
    ];
    const [first] = results;
    expect(first?.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    for (const result of results) expect(result).toEqual(first);
    expect(readdirSync(join(project, 'out')).sort()).toEqual(['bun.tar.gz', 'deno.tar.gz', 'node.tar.gz']);
  });

  peerTest(['root', 'busybox', 'skopeo', 'umoci', 'runc'], 'write what skopeo takes and runc runs', async () => {
    const busybox = { ...(await fromFile(busyboxPath())), path: 'bin/busybox', mode: 0o755 };
    // Its arguments must not reach the new program.
    const base = (await Image.scratch().addLayer([busybox])).cmd(['of', 'the', 'base']);
    await writeFile(join(project, 'busybox.tar'), saveTarball(base, { tag: 'busybox:1' }));
    const { digest } = await built('run', 'node', ['examples/node/build.mjs'], 'busybox.tar');
    const layout = join(temporaryDirectory(), 'layout');
    const archive = join(project, 'out/run.tar.gz');
    await run('skopeo', [
      'copy',
      '--quiet',
      '--preserve-digests',
      `oci-archive:${archive}:app:latest`,
      `oci:${layout}:app`,
    ]);
    expect(JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')).manifests[0].digest).toBe(digest);
    expect(await runWithRunc(layout, 'app')).toBe('hello you\n');
    expect((await composed('busybox.tar')).digest).toBe(digest);
  });

  test('say what a Worker was sent wrong', async () => {
    const url = await startWorker();
    const post = async (body: unknown): Promise<unknown> => {
      const response = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
      return { status: response.status, ...((await response.json()) as object) };
    };
    expect(await post({ files: [{ path: '../x', body: '' }] })).toMatchObject({ status: 422, code: 'PATH_INVALID' });
    expect(await post({ entrypoint: '/bin/sh' })).toMatchObject({ status: 400 });
    expect((await fetch(url)).status).toBe(405);
  });

  test('are under sixty lines each', () => {
    for (const path of ['node/build.mjs', 'deno/build.ts', 'bun/build.ts'])
      expect(readFileSync(join(root, 'examples', path), 'utf8').split('\n').length, path).toBeLessThan(60);
  });
});

interface Result {
  digest: string;
  archive: string;
}

/** Runs one of the programs, and says what it printed and the digest of what it wrote. */
async function built(name: string, command: string, args: string[], base = 'base.tar'): Promise<Result> {
  const archive = `out/${name}.tar.gz`;
  // Some could read the time that it sets, and others not.
  const env = { SOURCE_DATE_EPOCH: '' };
  const { stdout } = await run(command, [...args, 'app', base, archive, ...options], { cwd: project, env });
  return { digest: stdout.trim(), archive: sha256(readFileSync(join(project, archive))) };
}

/** What the head comment of the Deno example says that it takes, with this test's names. */
function denoCommand(): string[] {
  const source = readFileSync(join(project, 'examples/deno/build.ts'), 'utf8');
  const command = /^\/\/ {3}deno (run .*) examples\/deno\/build\.ts/m.exec(source)?.[1];
  if (command === undefined) throw new Error('the example does not say how it is run');
  return command.replaceAll('dist', 'app').split(' ');
}

/** Sends the same directory to the Worker as a form. */
async function composed(base: string): Promise<Result> {
  const form = new FormData();
  const files: object[] = [{ path: 'app', type: 'directory' }];
  for await (const { path, type, mode, linkTarget } of directory(join(project, 'app'))) {
    files.push({ path: `app/${path}`, type, linkTarget, mode: mode?.toString(8) });
    if (type === 'file') form.append(`app/${path}`, await openAsBlob(join(project, 'app', path)));
  }
  const env = { GREETING: 'hello', EQUATION: 'a=b' };
  form.append('image', JSON.stringify({ files, workdir: '/app', env, entrypoint: program }));
  form.append('base', await openAsBlob(join(project, base)));
  const response = await fetch(await startWorker(), { method: 'POST', body: form });
  if (!response.ok) throw new Error(await response.text());
  const archive = sha256(new Uint8Array(await response.arrayBuffer()));
  return { digest: response.headers.get('image-digest') ?? '', archive };
}

let address: Promise<string> | undefined;

function startWorker(): Promise<string> {
  address ??= (async () => {
    const stdio: ['ignore', 'pipe', 'inherit'] = ['ignore', 'pipe', 'inherit'];
    const child = spawn('node', ['examples/worker/start.mjs', '--port', '0'], { cwd: project, stdio });
    worker = child;
    for await (const line of createInterface({ input: child.stdout })) {
      const url = /http:\S+/.exec(line)?.[0];
      if (url !== undefined) return url;
    }
    throw new Error('the worker did not start');
  })();
  return address;
}

/** Builds the package beside the examples, as `npm install` would lay it, so that no other test's build is in the way. */
async function install(): Promise<void> {
  const modules = join(project, 'node_modules');
  mkdirSync(join(modules, 'stowage'), { recursive: true });
  for (const name of readdirSync(join(root, 'node_modules')))
    if (!name.startsWith('.')) symlinkSync(join(root, 'node_modules', name), join(modules, name));
  writeFileSync(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  cpSync(join(root, 'examples'), join(project, 'examples'), { recursive: true });
  cpSync(join(root, 'package.json'), join(modules, 'stowage/package.json'));
  const vite = join(root, 'node_modules/vite/bin/vite.js');
  const outDir = join(modules, 'stowage/dist');
  await run('node', [vite, 'build', '--logLevel', 'error', '--outDir', outDir], { cwd: root });
}

function found(program: string | undefined): string {
  if (program === undefined) throw new Error('Deno and Bun come with npm ci');
  return program;
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

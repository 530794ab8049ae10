import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'vite';
import { beforeAll, describe, expect, test } from 'vitest';
import { run, temporaryDirectory } from '../peers/peers.ts';

const root = join(import.meta.dirname, '../..');
const dist = temporaryDirectory();

// Built, because not every runtime that runs the tests runs TypeScript in its worker threads.
beforeAll(() => buildInto(dist));

describe('gzip on worker threads, as built', () => {
  test('gives the same bytes with 0, 1, 2, 8 and as many workers as there are cores', async () => {
    const { digests, started } = await outcome('same bytes');
    expect(digests).toBe(1);
    expect(started).toBeGreaterThanOrEqual(8);
  });

  test('starts no worker for 16 MiB', async () => {
    expect(await outcome('small')).toEqual({ started: 0 });
  });

  test('fails with a word on what to do when a worker dies at its work', async () => {
    const { code, message } = await outcome('death');
    expect(code).toBe('WORKER_FAILED');
    expect(message).toContain('{ workers: … }');
  });

  test('an abort ends the workers as well', async () => {
    expect(await outcome('abort')).toEqual({ outcome: 'enough', started: 2, exited: 2 });
  });

  test('a loop that is left early lets the process end', async () => {
    expect(await outcome('leave')).toEqual({ left: true });
  });

  test('workers that have nothing to do are closed', async () => {
    expect(await outcome('idle')).toEqual({ running: 0 });
  });

  test('a layer of large files starts them before it is packed, and lets go of them when it fails', async () => {
    expect(await outcome('early')).toEqual({ outcome: 'no more files', atOnce: 2, running: 0 });
  });

  test('a layer of small files starts none', async () => {
    expect(await outcome('small layer')).toEqual({ started: 0 });
  });

  test('where the script of the workers is missing, the calling thread does the work', async () => {
    const without = temporaryDirectory();
    await buildInto(without);
    rmSync(join(without, 'deflate-worker.js'));
    const { digest, alone } = await outcome('no script', without);
    expect(digest).toBe(alone);
  });
});

async function outcome(scenario: string, library: string = dist): Promise<Record<string, unknown>> {
  const script = join(import.meta.dirname, 'gzip-workers.mjs');
  const { stdout } = await run(process.execPath, [script, library, scenario]);
  return JSON.parse(stdout) as Record<string, unknown>;
}

async function buildInto(outDir: string): Promise<void> {
  await build({
    root,
    configFile: join(root, 'vite.config.ts'),
    logLevel: 'error',
    build: {
      outDir,
      emptyOutDir: true,
      lib: {
        formats: ['es'],
        entry: { gzip: join(root, 'src/bytes/gzip.ts'), layer: join(root, 'src/layer/create-layer.ts') },
      },
    },
  });
}

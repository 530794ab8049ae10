/** Spoilt archives, 20,000 of them, the same ones each time: `npm run fuzz` goes on with others. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, test } from 'vitest';

const cases = 20_000;
/** Milliseconds without a word, which comes every 50 cases, after which the process counts as hung. */
const patience = 60_000;

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fuzz-'));
  await build({
    entryPoints: [join(import.meta.dirname, 'run.ts')],
    outfile: join(directory, 'run.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    sourcemap: 'inline',
    logLevel: 'error',
  });
});
afterAll(() => rm(directory, { recursive: true }));

test('20,000 spoilt archives each end in a result or a StowageError: none hangs, none fails in another way', async () => {
  // In a process of its own: a loop that never ends could not be ended, nor named, from within.
  const arguments_ = ['--enable-source-maps', join(directory, 'run.mjs'), 'cases', '1', String(cases)];
  const child = spawn(process.execPath, arguments_, { stdio: ['ignore', 'pipe', 'pipe'] });
  let last = '';
  let errors = '';
  let hung = false;
  const silence = (): void => {
    hung = true;
    child.kill('SIGKILL');
  };
  let timer = setTimeout(silence, patience);
  child.stdout.on('data', (text: Buffer) => {
    clearTimeout(timer);
    timer = setTimeout(silence, patience);
    last = text.toString().trim().split('\n').at(-1) as string;
  });
  child.stderr.on('data', (text: Buffer) => {
    errors += text.toString();
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  clearTimeout(timer);
  expect({ code, hung: hung && `one of the 50 seeds from "${last}" on`, errors }).toEqual({
    code: 0,
    hung: false,
    errors: '',
  });
  const { result, refused } = JSON.parse(last.replace(/^done /, '')) as { result: number; refused: number };
  expect(result + refused).toBe(cases);
  // Where nearly all were refused, or nearly none, the ways to spoil would not be worth much.
  expect(Math.min(result, refused)).toBeGreaterThan(cases / 20);
}, 600_000);

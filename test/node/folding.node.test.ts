/**
 * Names that differ by case alone, on a file system that takes them for one. None such can be counted on here, so the calls of `node:fs`
 * are made to fold every name below a directory that is called `folds`.
 */
import type * as FileSystem from 'node:fs';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { extract } from '../../src/node/index.ts';
import type { TarSource } from '../../src/tar/write-tar.ts';
import { file, folder, hardlink, layerOf, symlink } from './layers.ts';

vi.mock('node:fs', async (importOriginal) => {
  const original = await importOriginal<typeof FileSystem>();
  const fold = (value: unknown): unknown =>
    typeof value === 'string' ? value.replace(/\/folds\/.*/, (below) => below.toLowerCase()) : value;
  const folded: Record<string, unknown> = { ...original };
  for (const [name, call] of Object.entries(original)) {
    if (!name.endsWith('Sync') || typeof call !== 'function') continue;
    folded[name] = (...values: unknown[]) => {
      // What a symlink says is no name.
      const from = name === 'symlinkSync' ? 1 : 0;
      return (call as (...all: unknown[]) => unknown)(...values.map((value, at) => (at < from ? value : fold(value))));
    };
  }
  return { ...folded, default: folded };
});

let root: string;
let outside: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'folding-'));
  outside = join(root, 'outside');
  mkdirSync(join(root, 'folds'));
  mkdirSync(outside);
  writeFileSync(join(outside, 'secret'), 'secret');
});
afterAll(() => rmSync(root, { recursive: true }));

describe('on a file system that folds case', () => {
  test.each<[string, () => TarSource[]]>([
    ['two files', () => [file('README'), file('readme')]],
    ['a symlink, then a file of its twin', () => [symlink('Link', join(outside, 'secret')), file('link', 'x')]],
    [
      'a symlink, then a directory of its twin and a file in it',
      () => [symlink('A', outside), folder('a'), file('a/secret')],
    ],
    ['a symlink, then a file below its twin', () => [symlink('A', outside), file('a/secret', 'x')]],
    ['a directory, then a symlink of its twin', () => [folder('d'), symlink('D', outside), file('d/secret', 'x')]],
    ['a hard link of a twin', () => [file('f'), hardlink('F', 'f')]],
  ])('%s: refused, nothing touched outside', async (_, entries) => {
    const refusal = extract([await layerOf(entries())], join(root, 'folds/target'));
    await expect(refusal).rejects.toMatchObject({ name: 'StowageError' });
    expect(readdirSync(join(root, 'folds'))).toEqual([]);
    expect(readdirSync(outside)).toEqual(['secret']);
    expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe('secret');
  });

  test('the error says which entry, and why', async () => {
    const layer = await layerOf([file('README'), file('readme')]);
    await expect(extract([layer], join(root, 'folds/target'))).rejects.toMatchObject({
      code: 'PATH_DUPLICATE',
      message: expect.stringMatching(/entry "readme" at byte 1024.*folds case/),
    });
  });

  test('an upper layer may write a lower one’s file anew', async () => {
    const layers = [await layerOf([file('README', 'old')]), await layerOf([file('.wh.README'), file('readme', 'new')])];
    await extract(layers, join(root, 'folds/target'));
    expect(readFileSync(join(root, 'folds/target/readme'), 'utf8')).toBe('new');
    rmSync(join(root, 'folds/target'), { recursive: true });
  });
});

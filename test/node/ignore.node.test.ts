import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DirectoryOptions, directory } from '../../src/node/index.ts';

let root: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'ignore-'));
  const files = [
    '.dockerignore',
    'a.md',
    'src/main.js',
    'src/main.map',
    'node_modules/x/index.js',
    'node_modules/y/deep/keep',
    'out/f',
  ];
  for (const path of files) {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), path);
  }
});
afterAll(() => rmSync(root, { recursive: true }));

describe('directory() with ignored files', () => {
  test('leaves out what a .dockerignore says, and all below it', async () => {
    expect(await paths({ ignore: '# what is made\nnode_modules\n**/*.map\n/out/\n.dockerignore\n' })).toEqual([
      'a.md',
      'src',
      'src/main.js',
    ]);
  });

  test('takes in again what a later line says, with the directories that it lies in', async () => {
    expect(await paths({ ignore: ['*', '!node_modules/y/deep/keep', '!src'] })).toEqual([
      'node_modules',
      'node_modules/y',
      'node_modules/y/deep',
      'node_modules/y/deep/keep',
      'src',
      'src/main.js',
      'src/main.map',
    ]);
    expect(await paths({ ignore: '*\n!*/nothing/at/all' })).toEqual([]);
  });

  test('leaves out what the filter refuses besides', async () => {
    const filter = (path: string): boolean => path !== 'node_modules';
    expect(await paths({ ignore: ['*', '!**/keep', '!a.md'], filter })).toEqual(['a.md']);
  });

  test('refuses a broken line before it looks at the disk any further', async () => {
    await expect(paths({ ignore: '[' })).rejects.toMatchObject({ code: 'ARGUMENT_INVALID' });
  });
});

async function paths(options: DirectoryOptions): Promise<string[]> {
  const found: string[] = [];
  for await (const { path } of directory(root, options)) found.push(path);
  return found;
}

import { join } from 'node:path';
import process from 'node:process';
import { expect, test } from 'vitest';
import { Layout } from '../../src/layout/layout.ts';
import { NodeStorage } from '../../src/storage/node.ts';
import { run, temporaryDirectory } from '../peers/peers.ts';

test('four processes that tag 250 images each in one directory lose none', async () => {
  const directory = temporaryDirectory();
  const child = join(import.meta.dirname, 'tag-child.ts');
  await Promise.all(
    ['a', 'b', 'c', 'd'].map((name) =>
      run(process.execPath, ['--import', 'tsx', child, directory, name, '250'], { timeout: 280_000 }),
    ),
  );
  const layout = await Layout.open(new NodeStorage(directory));
  expect(new Set((await layout.tags()).map(({ name }) => name)).size).toBe(1000);
}, 300_000);

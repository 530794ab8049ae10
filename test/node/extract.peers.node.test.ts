/** Images of the field unpacked, by the library and by umoci: the same trees. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { Image } from '../../src/image/image.ts';
import { Layout } from '../../src/layout/layout.ts';
import { extract } from '../../src/node/index.ts';
import { NodeStorage } from '../../src/storage/node.ts';
import { archiveNeeds, ingredients } from '../peers/images.ts';
import { peerTest, run, temporaryDirectory } from '../peers/peers.ts';
import { listTree } from './tree-listing.ts';

describe('extract gives the tree that umoci unpack gives', () => {
  peerTest(archiveNeeds, 'app', async () => {
    const { app } = await ingredients();
    await compare(app, 'app:1');
  });
  peerTest(archiveNeeds, 'umoci', async () => {
    const { umoci } = await ingredients();
    await compare(umoci, 'packed');
  });
});

async function compare(layout: string, tag: string): Promise<void> {
  const directory = temporaryDirectory();
  await run('umoci', ['unpack', '--image', `${layout}:${tag}`, join(directory, 'bundle')]);
  const warnings: string[] = [];
  await extract(await Image.from(await Layout.open(new NodeStorage(layout)), tag), join(directory, 'ours'), {
    onWarning: (message) => warnings.push(message),
  });
  const theirs = await listTree(join(directory, 'bundle/rootfs'));
  expect(await listTree(join(directory, 'ours'))).toEqual(theirs);
  expect(warnings).toEqual([]);
  expect(readdirSync(directory).sort()).toEqual(['bundle', 'ours']);
}

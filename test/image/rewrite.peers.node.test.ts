/** Rewritten images judged by the field's tools: umoci unpacks them to the tree that they had, and runc runs them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect } from 'vitest';
import {
  copy,
  createLayer,
  diffLayer,
  exportDirectory,
  filterFiles,
  flatten,
  Image,
  Layout,
  mapLayer,
  mapPlatforms,
  rebase,
  recompress,
  renameFiles,
  squash,
} from '../../src/index.ts';
import { NodeStorage } from '../../src/storage/node.ts';
import { listTree } from '../node/tree-listing.ts';
import { archiveNeeds, greeting, ingredients } from '../peers/images.ts';
import { busyboxPath, peerTest, run, runWithRunc, temporaryDirectory } from '../peers/peers.ts';

type Rewrite = (image: Image) => Image | Promise<Image>;

/** Each leaves the merged view as it is. */
const rewrites: Record<string, Rewrite> = {
  'squashed to one layer': (image) => squash(image),
  'with the layers over its base squashed': (image) => squash(image, { from: 1 }),
  flattened: (image) => flatten(image),
  'with uncompressed layers': (image) => recompress(image, 'none'),
  'with each layer written anew': (image) =>
    mapLayer(
      image,
      () => true,
      (entries) => entries,
    ),
  'made of its base and one layer that is the difference': async (image) => {
    let base = Image.scratch({ platform: image.platform }).append(image.layers[0]!);
    base = base.append(await diffLayer(base, image));
    return base.with({ config: { ...base.config, config: image.config.config } });
  },
};

describe('umoci unpacks to the very same tree an image', () => {
  for (const [name, rewrite] of Object.entries(rewrites)) {
    peerTest(archiveNeeds, `of buildah, ${name}`, async () => {
      await expectSameTree((await ingredients()).app, 'app:1', rewrite);
    });

    peerTest(archiveNeeds, `of umoci, ${name}`, async () => {
      await expectSameTree((await ingredients()).umoci, 'packed', rewrite);
    });
  }
});

describe('runc runs', () => {
  let busybox: { path: string; body: Uint8Array; mode: number };
  beforeAll(() => {
    busybox = { path: 'bin/busybox', body: readFileSync(busyboxPath()), mode: 0o755 };
  });

  peerTest(['root', 'umoci', 'runc', 'busybox'], 'a rebased image on its new base', async () => {
    const base = async (version: string): Promise<Image> =>
      Image.scratch().append(await createLayer([busybox, { path: 'etc/release', body: `base ${version}\n` }]));
    const [oldBase, newBase] = [await base('1'), await base('2')];
    const app = (await oldBase.addLayer([{ path: 'app/message', body: 'app\n' }])).cmd([
      '/bin/busybox',
      'cat',
      '/etc/release',
      '/app/message',
    ]);
    expect(await runImage(app)).toBe('base 1\napp\n');
    expect(await runImage(rebase(app, oldBase, newBase))).toBe('base 2\napp\n');
  });

  peerTest(archiveNeeds.concat('runc'), 'an image whose files were filtered and renamed', async () => {
    const layout = await Layout.open(new NodeStorage((await ingredients()).app));
    const image = await Image.from(layout, 'app:1');
    const slim = await filterFiles(image, (path) => !path.startsWith('data'));
    const moved = await renameFiles(slim, (path) => path.replace(/^bin(?=\/|$)/, 'usr/bin'));
    expect(await runImage(moved.cmd(['/usr/bin/busybox', 'echo', greeting.trim()]))).toBe(greeting);
  });
});

peerTest(archiveNeeds, 'skopeo copies every platform of an index that was mapped', async () => {
  const from = await Layout.open(new NodeStorage((await ingredients()).multi));
  const directory = temporaryDirectory();
  const to = await Layout.create(new NodeStorage(join(directory, 'layout')));
  const content = await mapPlatforms(from, 'multi:1', (image) => image.label('mapped', image.platform.architecture));
  await copy(content, to, { references: ['multi:1'] });
  await run('skopeo', ['copy', '--quiet', '--all', `oci:${directory}/layout:multi:1`, `dir:${directory}/copy`]);
  const raw = (await run('skopeo', ['inspect', '--raw', `dir:${directory}/copy`])).stdout;
  expect(JSON.parse(raw).manifests.length).toBe(2);
  for (const architecture of ['amd64', 'arm64']) {
    const arguments_ = ['--override-os', 'linux', '--override-arch', architecture, 'inspect', '--config'];
    const { stdout } = await run('skopeo', [...arguments_, `oci:${directory}/layout:multi:1`]);
    expect(JSON.parse(stdout).config.Labels.mapped).toBe(architecture);
  }
});

async function expectSameTree(layout: string, tag: string, rewrite: Rewrite): Promise<void> {
  const directory = temporaryDirectory();
  const image = await Image.from(await Layout.open(new NodeStorage(layout)), tag);
  await exportDirectory(await rewrite(image), new NodeStorage(join(directory, 'layout')), { tag: 'x' });
  await run('umoci', ['unpack', '--image', `${layout}:${tag}`, join(directory, 'before')]);
  await run('umoci', ['unpack', '--image', `${directory}/layout:x`, join(directory, 'after')]);
  expect(await listTree(join(directory, 'after/rootfs'))).toEqual(await listTree(join(directory, 'before/rootfs')));
}

async function runImage(image: Image): Promise<string> {
  const layout = join(temporaryDirectory(), 'layout');
  await exportDirectory(image, new NodeStorage(layout), { tag: 'x' });
  return runWithRunc(layout, 'x');
}

/** The file system that an image is said to have is the one that umoci unpacks, and archives of other tools open in place. */
import { lstatSync, openAsBlob, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { exportDirectory, Image, type ImageFiles, Layout, openArchive } from '../../src/index.ts';
import { NodeStorage } from '../../src/storage/node.ts';
import { type RawEntry, rawLayer } from '../layer/raw-layer.ts';
import { archive, archiveNames, archiveNeeds } from '../peers/images.ts';
import { peerTest, run, temporaryDirectory } from '../peers/peers.ts';

const stacks: Record<string, RawEntry[][]> = {
  'whiteouts of each kind': [
    ['a/', 'a/x', 'a/y', 'b/', 'b/c/', 'b/c/d', 'gone', 'kept', 'e/', 'e/1', 'e/2'],
    ['a/', 'a/.wh.x', 'a/z', '.wh.gone', 'b/', 'b/.wh.c', 'e/', 'e/.wh..wh..opq', 'e/3'],
    ['b/', 'b/c/', { path: 'b/c/new', content: 'new' }, '.wh.never'],
  ],
  'a directory replaced by a file and back': [['d/', 'd/old'], [{ path: 'd', content: 'file' }], ['d/', 'd/new']],
  'hard links over layers': [
    [
      { path: 'a', content: 'shared', mode: 0o750 },
      { path: 'b', type: 'hardlink', linkTarget: 'a' },
    ],
    [{ path: 'c', type: 'hardlink', linkTarget: 'b' }],
    ['.wh.a'],
  ],
  'entries below a symlink of a lower layer': [
    ['usr/', 'usr/lib/', 'usr/lib/old', { path: 'lib', type: 'symlink', linkTarget: 'usr/lib' }],
    [{ path: 'lib/new', content: 'new' }, 'made/up/parents'],
  ],
};

describe('the files of an image', () => {
  for (const [name, layers] of Object.entries(stacks)) {
    peerTest(['umoci', 'root'], `are those that umoci unpacks: ${name}`, async () => {
      let image = Image.scratch();
      for (const entries of layers) image = image.append(await rawLayer(entries));
      const directory = temporaryDirectory();
      await exportDirectory(image, new NodeStorage(join(directory, 'layout')), { tag: 'it' });
      await run('umoci', ['unpack', '--image', `${join(directory, 'layout')}:it`, join(directory, 'bundle')]);
      expect(await describeFiles(await image.files())).toEqual(describeDirectory(join(directory, 'bundle/rootfs')));
    });
  }

  peerTest(['skopeo'], 'are read from layers that skopeo compressed with zstd', async () => {
    const image = Image.scratch().append(
      await rawLayer(['etc/', { path: 'etc/motd', content: 'hello '.repeat(50_000) }]),
    );
    const directory = temporaryDirectory();
    await exportDirectory(image, new NodeStorage(join(directory, 'plain')), { tag: 'it' });
    const [from, to] = [`oci:${join(directory, 'plain')}:it`, `oci:${join(directory, 'zstd')}:it`];
    await run('skopeo', ['copy', '--quiet', '--dest-compress', '--dest-compress-format', 'zstd', from, to]);
    const copied = await Image.from(await Layout.open(new NodeStorage(join(directory, 'zstd'))), 'it');
    expect(copied.layers[0]!.descriptor.mediaType).toMatch('zstd');
    const files = await copied.files();
    expect(await files.readFile('etc/motd')).toEqual(new TextEncoder().encode('hello '.repeat(50_000)));
  });
});

describe('an archive on disk', () => {
  for (const name of archiveNames) {
    peerTest(archiveNeeds, `opens in place with the images that it holds: ${name}`, async () => {
      const { path, expected } = await archive(name);
      const blob = await openAsBlob(path);
      if (readFileSync(path)[0] === 0x1f) {
        return void (await expect(openArchive(blob)).rejects.toMatchObject({ code: 'ARGUMENT_INVALID' }));
      }
      const opened = await openArchive(blob);
      const names = (await opened.tags()).map((tag) => tag.name);
      if (expected.tag !== undefined && names.length > 0) expect(names).toContain(expected.tag);
      const image = await Image.from(opened, names[0] ?? opened.roots[0]!);
      expect((await (await image.files()).list('/')).length).toBeGreaterThan(0);
    });
  }
});

async function describeFiles(files: ImageFiles): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { path, type, mode } of files.walk()) {
    const permissions = (mode & 0o7777).toString(8);
    if (type === 'directory') found[path] = 'directory';
    else if (type === 'symlink') found[path] = `-> ${await files.readlink(path)}`;
    else found[path] = `${permissions} ${new TextDecoder().decode(await files.readFile(path))}`;
  }
  return found;
}

function describeDirectory(root: string, below = ''): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(join(root, below))) {
    const path = join(below, name);
    const full = join(root, path);
    const stats = lstatSync(full);
    if (stats.isDirectory()) Object.assign(found, { [path]: 'directory' }, describeDirectory(root, path));
    else if (stats.isSymbolicLink()) found[path] = `-> ${readlinkSync(full)}`;
    else found[path] = `${(stats.mode & 0o7777).toString(8)} ${readFileSync(full, 'utf8')}`;
  }
  return found;
}

/** Images of the field unpacked, by the library and by umoci: trees that are the same by all that mtree looks at. */
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { blobStore } from '../../src/content/blob-store.ts';
import { Image } from '../../src/image/image.ts';
import { createLayer } from '../../src/layer/create-layer.ts';
import { Layout } from '../../src/layout/layout.ts';
import { directory, extract } from '../../src/node/index.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { NodeStorage } from '../../src/storage/node.ts';
import { archiveNeeds, ingredients } from '../peers/images.ts';
import { type ContainerStore, containerStore, peerTest, run, temporaryDirectory } from '../peers/peers.ts';
import { listTree } from './tree-listing.ts';

/** What is done to the root directory for one layer. */
type Change = (root: string) => unknown;

const tool = { buildah: byBuildah, umoci: byUmoci };

/** Each image by its layers. Some are built by both tools, whose tars differ in order, headers and whiteouts. */
const images: Record<string, { tools: (keyof typeof tool)[]; layers: Change[] }> = {
  'from scratch': { tools: ['buildah', 'umoci'], layers: [(root) => writeFileSync(join(root, 'hello'), 'hello\n')] },
  'without any file': { tools: ['umoci'], layers: [] },
  'of 50 layers': {
    tools: ['umoci'],
    layers: Array.from({ length: 50 }, (_, index) => (root: string) => {
      mkdirSync(join(root, `d${index % 7}`), { recursive: true });
      writeFileSync(join(root, `d${index % 7}/f${index}`), randomBytes(500));
      appendFileSync(join(root, 'log'), `${index}\n`);
      if (index > 10) rmSync(join(root, `d${(index - 10) % 7}/f${index - 10}`));
    }),
  },
  'with whiteouts of files, links, directories and fifos': {
    tools: ['buildah', 'umoci'],
    layers: [
      async (root) => {
        await tree(root, { 'a/file': 'x', 'a/kept': 'k', 'dir/deep/deeper/file': 'x', 'dir/kept': 'k', top: 't' });
        symlinkSync('file', join(root, 'a/link'));
        symlinkSync('../dir', join(root, 'a/directory'));
        await run('mkfifo', [join(root, 'a/fifo')]);
      },
      (root) => {
        for (const path of ['a/file', 'a/link', 'a/directory', 'a/fifo', 'top']) rmSync(join(root, path));
        rmSync(join(root, 'dir/deep'), { recursive: true });
      },
      (root) => tree(root, { 'a/file': 'again', 'dir/deep/new': 'n' }),
    ],
  },
  'with a directory that is removed and made again': {
    tools: ['buildah', 'umoci'],
    layers: [
      (root) => tree(root, { 'd/old': 'o', 'd/sub/old': 'o', 'e/old': 'o' }),
      async (root) => {
        rmSync(join(root, 'd'), { recursive: true });
        await tree(root, { 'd/new': 'n', 'd/sub/new': 'n' });
      },
    ],
  },
  'with files, directories and links that take one another’s place': {
    tools: ['buildah', 'umoci'],
    layers: [
      async (root) => {
        await tree(root, { 'one/f': 'f', two: 'two', 'three/f': 'f', 'four/f': '4' });
        symlinkSync('one', join(root, 'link'));
      },
      async (root) => {
        rmSync(join(root, 'one'), { recursive: true });
        rmSync(join(root, 'two'));
        rmSync(join(root, 'three'), { recursive: true });
        rmSync(join(root, 'link'));
        await tree(root, { one: 'a file', 'two/f': 'a directory', 'link/f': 'a directory' });
        symlinkSync('four', join(root, 'three'));
      },
      async (root) => {
        rmSync(join(root, 'one'));
        rmSync(join(root, 'link'), { recursive: true });
        await tree(root, { 'one/f': 'a directory again' });
        symlinkSync('/nowhere', join(root, 'link'));
      },
    ],
  },
  'with hard links, within a layer and to lower ones': {
    tools: ['buildah', 'umoci'],
    layers: [
      async (root) => {
        await tree(root, { 'a/one': 'one', 'b/two': 'two' });
        for (const path of ['a/again', 'b/again', 'z']) linkSync(join(root, 'a/one'), join(root, path));
        symlinkSync('one', join(root, 'a/link'));
        linkSync(join(root, 'a/link'), join(root, 'b/link'));
      },
      (root) => linkSync(join(root, 'b/two'), join(root, 'two-again')),
      (root) => rmSync(join(root, 'a/one')),
    ],
  },
  'with modes of every kind, owners and old times': {
    tools: ['buildah', 'umoci'],
    layers: [
      async (root) => {
        await tree(root, { suid: 's', sgid: 's', none: 'n', 'sticky/f': 'f', 'closed/f': 'f', 'sgid-dir/f': 'f' });
        const modes = { suid: 0o4755, sgid: 0o2711, none: 0, sticky: 0o1777, closed: 0, 'sgid-dir': 0o2775 };
        for (const [name, mode] of Object.entries(modes)) {
          chownSync(join(root, name), 1000, 65534);
          chmodSync(join(root, name), mode);
        }
        symlinkSync('none', join(root, 'link'));
        lutimesSync(join(root, 'link'), 86400, 86400);
        utimesSync(join(root, 'none'), 1, 1);
        utimesSync(join(root, 'sticky'), 1e9, 1e9);
        chmodSync(root, 0o711);
      },
      (root) => {
        chmodSync(join(root, 'closed'), 0o750);
        chmodSync(join(root, 'suid'), 0o755);
      },
    ],
  },
  'with extended attributes and file capabilities': {
    tools: ['buildah', 'umoci'],
    layers: [
      async (root) => {
        await tree(root, { 'bin/ping': 'ping', 'bin/odd = name\\': 'odd', plain: 'p', doomed: 'd' });
        const capability = '0x0100000200200000000000000000000000000000';
        await setXattr('security.capability', capability, join(root, 'bin/ping'));
        for (const path of ['bin', 'bin/ping', 'bin/odd = name\\', 'doomed']) {
          await setXattr('user.note', '0x00ff0a3d22', join(root, path));
        }
        linkSync(join(root, 'bin/ping'), join(root, 'bin/ping-again'));
      },
      async (root) => {
        await setXattr('user.second', '0x41', join(root, 'plain'));
        rmSync(join(root, 'doomed'));
      },
    ],
  },
  'with device nodes and fifos': {
    tools: ['buildah', 'umoci'],
    layers: [
      async (root) => {
        mkdirSync(join(root, 'dev'));
        await run('mknod', ['-m', '666', join(root, 'dev/null'), 'c', '1', '3']);
        await run('mknod', ['-m', '660', join(root, 'dev/disk'), 'b', '259', '70000']);
        await run('mkfifo', ['-m', '622', join(root, 'dev/pipe with spaces')]);
        chownSync(join(root, 'dev/disk'), 0, 6);
        linkSync(join(root, 'dev/null'), join(root, 'dev/null-again'));
      },
      async (root) => {
        rmSync(join(root, 'dev/pipe with spaces'));
        await run('mknod', [join(root, 'dev/zero'), 'c', '1', '5']);
      },
    ],
  },
  'with names of every kind': {
    tools: ['umoci'],
    layers: [
      async (root) => {
        await tree(root, {
          'größe-文件': 'u',
          'a\nb': 'n',
          ' ': 's',
          '-n': 'o',
          [`${'long'.repeat(60)}`]: 'l',
          'e\u0301': 'd',
          '\u00e9': 'c',
        });
        await tree(root, { [`${'deep/'.repeat(100)}file`]: 'deep', README: '1', readme: '2' });
        writeFileSync(Buffer.concat([Buffer.from(`${root}/latin-`), Buffer.of(0xe9, 0xff)]), 'bytes');
        symlinkSync(Buffer.of(0xe9, 0xff), join(root, 'link'));
      },
    ],
  },
  'whose upper layers go through symlinks of lower ones': {
    tools: ['umoci'],
    layers: [
      async (root) => {
        await tree(root, { 'usr/lib/one': '1' });
        symlinkSync('usr/lib', join(root, 'lib'));
        symlinkSync('/usr/lib', join(root, 'usr/absolute'));
      },
      async (root) => {
        rmSync(join(root, 'lib'));
        renameSync(join(root, 'usr/lib'), join(root, 'lib'));
        symlinkSync('../lib', join(root, 'usr/lib'));
      },
      (root) => tree(root, { 'usr/lib/two': '2' }),
    ],
  },
};

describe('extract gives the tree that umoci unpack gives, of an image', () => {
  for (const [name, { tools, layers }] of Object.entries(images)) {
    for (const by of tools) {
      peerTest(archiveNeeds, `${name}, made by ${by}`, async () => {
        const layout = join(temporaryDirectory(), 'layout');
        await tool[by](layout, layers);
        await compare(layout);
      });
    }
  }

  peerTest(archiveNeeds, 'of three layers, made by buildah, with the program busybox', async () => {
    await compare((await ingredients()).app, 'app:1');
  });

  peerTest(archiveNeeds, 'with an opaque directory, made by umoci insert', async () => {
    await compare((await ingredients()).umoci, 'packed');
  });

  peerTest(archiveNeeds, 'whose layer is a tar of GNU’s, with nanoseconds and sparse files', async () => {
    const root = temporaryDirectory();
    await tree(root, { 'd/plain': 'p', 'holes all over': 'start' });
    truncateSync(join(root, 'holes all over'), 20e6);
    appendFileSync(join(root, 'holes all over'), 'end');
    await tree(root, { 'only a hole': '' });
    truncateSync(join(root, 'only a hole'), 9_000_001);
    symlinkSync('plain', join(root, 'd/link'));
    const before = lstatSync(join(root, 'd/plain'), { bigint: true }).mtimeNs;
    const layout = join(temporaryDirectory(), 'layout');
    await byUmoci(layout, []);
    // The older format is one that umoci does not know.
    await run('tar', ['-C', root, '--sparse', '--format=posix', '-cf', `${layout}.tar`, '.']);
    await run('umoci', ['raw', 'add-layer', '--image', `${layout}:x`, `${layout}.tar`]);
    const ours = await compare(layout);
    expect(lstatSync(join(ours, 'd/plain'), { bigint: true }).mtimeNs / 1000n).toBe(before / 1000n);
    for (const name of ['holes all over', 'only a hole']) {
      const [kept, made] = [join(root, name), join(ours, name)].map((path) => lstatSync(path).blocks);
      expect(made).toBeLessThanOrEqual(kept!);
    }
  });

  peerTest(archiveNeeds, 'in Docker’s schema 2', async () => {
    const { app } = await ingredients();
    const docker = join(temporaryDirectory(), 'docker');
    await run('skopeo', ['copy', '--quiet', '--format', 'v2s2', `oci:${app}:app:1`, `dir:${docker}`]);
    await compare(app, 'app:1', await dockerImage(docker));
  });
});

describe('what directory() packs, extract() gives back', () => {
  peerTest(['root', 'setfattr'], 'with attributes, owners, links and devices', async () => {
    const root = temporaryDirectory();
    await tree(root, { 'd/a b': '1', 'd/n\nl': '2', 'd/ba\\ck': '3', 'd/größe': '4', plain: '5' });
    const latin = Buffer.concat([Buffer.from(`${root}/d/`), Buffer.of(0xe9)]);
    writeFileSync(latin, '6');
    await run('xargs', ['-0', 'setfattr', '-n', 'user.l', '-v', '0x31'], {
      input: Buffer.concat([latin, Buffer.of(0)]),
    });
    for (const path of ['d', 'd/a b', 'd/n\nl', 'd/ba\\ck', 'd/größe']) {
      await setXattr('user.o d\\d', '0x00ff0a3d', join(root, path));
      await setXattr('user.empty', '', join(root, path));
    }
    chownSync(join(root, 'plain'), 7, 8);
    await setXattr('security.capability', '0x0100000200200000000000000000000000000000', join(root, 'plain'));
    linkSync(join(root, 'plain'), join(root, 'plain too'));
    await run('mknod', [join(root, 'null'), 'c', '1', '3']);
    const target = join(temporaryDirectory(), 'target');
    const files = directory(root, { owners: true, xattrs: true });
    await extract([await createLayer(files, { compression: 'none' })], target);
    const timeless = (lines: string[]): string[] => lines.slice(1).map((line) => line.replace(/ time=\S+/, ''));
    const listed = timeless(await listTree(target));
    expect(listed).toEqual(timeless(await listTree(root)));
    expect(listed.filter((line) => line.startsWith('xattrs of'))).toHaveLength(8);
  });
});

async function compare(layout: string, tag = 'x', image?: Image): Promise<string> {
  const directory = temporaryDirectory();
  const warnings: string[] = [];
  const onWarning = (message: string): number => warnings.push(message);
  const opened = image ?? (await Image.from(await Layout.open(new NodeStorage(layout)), tag));
  await extract(opened, join(directory, 'ours'), { onWarning });
  await run('umoci', ['unpack', '--image', `${layout}:${tag}`, join(directory, 'theirs')]);
  const theirs = await listTree(join(directory, 'theirs/rootfs'));
  expect((await listTree(join(directory, 'ours'))).map(toMicroseconds)).toEqual(theirs.map(toMicroseconds));
  expect(warnings).toEqual([]);
  expect(readdirSync(directory).sort()).toEqual(['ours', 'theirs']);
  return join(directory, 'ours');
}

/** No runtime sets times any finer. Only GNU tar's layers have such: buildah's and umoci's are in whole seconds. */
function toMicroseconds(line: string): string {
  return line.replace(/ time=(-?\d+)\d{3}/, ' time=$1');
}

/** Each change as a layer by `buildah commit`. */
async function byBuildah(layout: string, changes: readonly Change[]): Promise<void> {
  const store: ContainerStore = containerStore();
  let from = 'scratch';
  for (const [index, change] of changes.entries()) {
    const container = (await store.buildah(['from', from])).stdout.trim();
    const root = (await store.buildah(['mount', container])).stdout.trim();
    await change(root);
    await store.buildah(['umount', container]);
    from = `localhost/image:${index}`;
    await store.buildah(['commit', '-q', container, from]);
    await store.buildah(['rm', container]);
  }
  await store.buildah(['push', '-q', from, `oci:${layout}:x`]);
}

/** Each change as a layer by `umoci repack`. */
async function byUmoci(layout: string, changes: readonly Change[]): Promise<void> {
  const image = `${layout}:x`;
  const bundle = join(temporaryDirectory(), 'bundle');
  await run('umoci', ['init', '--layout', layout]);
  await run('umoci', ['new', '--image', image]);
  await run('umoci', ['config', '--image', image, '--architecture', 'amd64', '--os', 'linux']);
  await run('umoci', ['unpack', '--image', image, bundle]);
  for (const change of changes) {
    await change(join(bundle, 'rootfs'));
    await run('umoci', ['repack', '--refresh-bundle', '--image', image, bundle]);
  }
}

/** The image that skopeo's `dir:` holds: one file for each blob, and the manifest. */
async function dockerImage(directory: string): Promise<Image> {
  const store = blobStore(new MemoryStorage());
  const manifest = readFileSync(join(directory, 'manifest.json'));
  const { mediaType, config } = JSON.parse(manifest.toString());
  expect(mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json');
  expect(config.mediaType).toBe('application/vnd.docker.container.image.v1+json');
  for (const name of readdirSync(directory)) await store.write(readFileSync(join(directory, name)));
  const descriptor = await store.write(manifest, { mediaType });
  return Image.from({ ...store, resolve: async () => descriptor }, 'x');
}

async function tree(root: string, files: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}

async function setXattr(name: string, value: string, path: string): Promise<void> {
  await run('setfattr', ['-n', name, '-v', value, path]);
}

/** What the library writes is taken by the field's own tools as they would take anyone else's, and runs. */
import { createReadStream, lstatSync, readFileSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { exportDirectory, Image, type LayerFile, Layout, saveTarball } from '../../src/index.ts';
import { layerCompression } from '../../src/oci/media-types.ts';
import { NodeStorage } from '../../src/storage/node.ts';
import type { Need } from './debian.ts';
import { describeLayout, sha256 } from './expected.ts';
import { archive, archiveNeeds, ingredients } from './images.ts';
import { busyboxPath, containerStore, peerTest, run, runWithRunc, temporaryDirectory, writeStream } from './peers.ts';

const tag = 'myapp:1.0';

describe('an archive', () => {
  for (const form of ['gzip', 'none'] as const) {
    const kind = form === 'gzip' ? 'gzip archive' : 'plain archive';

    peerTest(['skopeo', 'busybox'], `skopeo inspects the ${kind} and sees the very manifest`, async () => {
      const image = await program('linux/amd64');
      const path = await save(image, form);
      const source = `oci-archive:${path}:${tag}`;
      expect((await run('skopeo', ['inspect', '--raw', source])).stdout).toBe(text(image.manifestBytes));
      expect((await run('skopeo', ['inspect', '--config', '--raw', source])).stdout).toBe(text(image.configBytes));
      const seen = JSON.parse((await run('skopeo', ['inspect', source])).stdout);
      expect(seen).toMatchObject({
        Digest: image.descriptor.digest,
        Os: 'linux',
        Architecture: 'amd64',
        Layers: image.layers.map((layer) => layer.descriptor.digest),
        Labels: { 'org.opencontainers.image.title': 'peers' },
      });
    });

    peerTest(['skopeo', 'busybox'], `skopeo copies the ${kind} of two platforms to a directory and back`, async () => {
      const path = await save(await platforms(), form);
      await expectSameThere(`oci-archive:${path}:${tag}`);
    });

    peerTest(['root', 'podman', 'busybox'], `podman loads the ${kind} and names it`, async () => {
      const image = await program('linux/amd64');
      const path = await save(image, form);
      const store = containerStore();
      const loaded = (await store.podman(['load', '--quiet', '--input', path])).stdout;
      expect(loaded).toContain(tag);
      const [seen] = JSON.parse((await store.podman(['image', 'inspect', tag])).stdout);
      expect(`sha256:${seen.Id}`).toBe(image.manifest.config.digest);
      expect(seen.RootFS.Layers).toEqual(image.config.rootfs.diff_ids);
      expect(seen.Config.Entrypoint).toEqual(['/bin/busybox']);
    });

    peerTest(
      ['root', 'podman', 'busybox'],
      `podman loads the platform of its machine from the ${kind} of two`,
      async () => {
        const path = await save(await platforms(), form);
        const store = containerStore();
        expect((await store.podman(['load', '--quiet', '--input', path])).stdout).toContain(tag);
        const [seen] = JSON.parse((await store.podman(['image', 'inspect', tag])).stdout);
        expect(seen.Architecture).toBe(process.arch === 'arm64' ? 'arm64' : 'amd64');
      },
    );
  }

  for (const layers of ['gzip', 'none', 'zstd'] as const) {
    peerTest(
      ['skopeo', 'busybox'],
      `skopeo reads it, plain, as a docker archive too, its layers in ${layers}`,
      async () => {
        const image = layers === 'zstd' ? await withZstdLayers() : await program('linux/amd64', layers);
        const path = await save(image, 'none');
        const source = `docker-archive:${path}:${tag}`;
        expect((await run('skopeo', ['inspect', '--config', '--raw', source])).stdout).toBe(text(image.configBytes));
        // On the way to OCI skopeo writes a Docker config anew, so only the layers can be held against ours.
        const copied = join(temporaryDirectory(), 'layout');
        await run('skopeo', ['copy', '--quiet', source, `oci:${copied}:copied`]);
        expect(describeLayout(copied).images).toMatchObject([{ diffIds: image.config.rootfs.diff_ids }]);
      },
    );
  }

  peerTest(
    ['skopeo', 'busybox'],
    'the first platform of a multi-platform archive is what a docker archive reader sees',
    async () => {
      const images = await platforms();
      const path = await save(images, 'none');
      const { stdout } = await run('skopeo', ['inspect', '--config', '--raw', `docker-archive:${path}:${tag}`]);
      expect(stdout).toBe(text(images[0]!.configBytes));
    },
  );

  peerTest(['root', 'buildah', 'busybox'], 'buildah starts from the archive and finds the files', async () => {
    const image = await program('linux/amd64');
    const path = await save(image, 'gzip');
    const store = containerStore();
    const container = (await store.buildah(['from', `oci-archive:${path}`])).stdout.trim();
    const root = (await store.buildah(['mount', container])).stdout.trim();
    expect(readFileSync(join(root, 'etc/message'), 'utf8')).toBe('hello from a file\n');
    expect(lstatSync(join(root, 'bin/busybox')).mode & 0o777).toBe(0o755);
    await store.buildah(['umount', container]);
  });

  peerTest(
    ['root', 'podman', 'skopeo', 'busybox'],
    'podman saves what it loaded with the same config and layers',
    async () => {
      const image = await program('linux/amd64');
      const store = containerStore();
      await store.podman(['load', '--quiet', '--input', await save(image, 'gzip')]);
      const saved = join(temporaryDirectory(), 'saved');
      await store.podman(['save', '--quiet', '--format', 'oci-dir', '--output', saved, tag]);
      expect(describeLayout(saved).images).toMatchObject([
        { configDigest: image.manifest.config.digest, diffIds: image.config.rootfs.diff_ids },
      ]);
    },
  );

  peerTest(['root', 'podman', 'busybox'], 'podman keeps a registry name whole', async () => {
    const store = containerStore();
    const name = 'registry.example.com:5000/team/app:2.1-rc.1';
    await store.podman(['load', '--quiet', '--input', await save(await program('linux/amd64'), 'gzip', name)]);
    expect((await store.podman(['images', '--format', '{{.Repository}}:{{.Tag}}'])).stdout.trim()).toBe(name);
  });

  peerTest(['root', 'podman', 'busybox'], 'podman loads an archive whose tag nobody chose', async () => {
    const image = await program('linux/amd64');
    const path = join(temporaryDirectory(), 'image.tar.gz');
    await writeStream(saveTarball(image), path);
    const store = containerStore();
    await store.podman(['load', '--quiet', '--input', path]);
    const ids = (await store.podman(['images', '--quiet', '--no-trunc'])).stdout.trim();
    expect(ids).toBe(image.manifest.config.digest);
  });

  peerTest(['umoci', 'skopeo', 'runc', 'root', 'busybox'], 'the archived program runs', async () => {
    const path = await save(await platforms(), 'gzip');
    const layout = join(temporaryDirectory(), 'layout');
    await run('skopeo', ['copy', '--quiet', `oci-archive:${path}:${tag}`, `oci:${layout}:copied`]);
    expect(await runWithRunc(layout, 'copied')).toBe(printed);
  });
});

describe('a directory', () => {
  peerTest(['skopeo', 'busybox'], 'skopeo copies it to a directory and back', async () => {
    await expectSameThere(`oci:${await directory(await platforms())}:${tag}`);
    await expectSameThere(`oci:${await directory(await program('linux/arm64/v8'))}:${tag}`);
  });

  for (const compression of ['gzip', 'none'] as const) {
    peerTest(
      ['umoci', 'runc', 'root', 'busybox'],
      `umoci unpacks it and the program runs (layers: ${compression})`,
      async () => {
        const layout = await directory(await program('linux/amd64', compression));
        expect(await runWithRunc(layout, tag)).toBe(printed);
      },
    );
  }

  peerTest(['umoci', 'root', 'busybox', 'setfattr'], 'umoci unpacks every kind of file as it was meant', async () => {
    const bundle = join(temporaryDirectory(), 'bundle');
    const layout = await directory(await program('linux/amd64'));
    const { stderr } = await run('umoci', ['unpack', '--image', `${layout}:${tag}`, bundle]);
    expect(stderr).toBe('');
    const root = join(bundle, 'rootfs');
    const stat = (path: string): Stats => lstatSync(join(root, path));
    expect(readFileSync(join(root, 'etc', longName), 'utf8')).toBe('long\n');
    expect(readFileSync(join(root, 'etc/größe-文件'), 'utf8')).toBe('unicode\n');
    expect(stat('etc/message').ino).toBe(stat('etc/message-link').ino);
    expect(stat('etc/owned')).toMatchObject({ uid: 2_500_000, gid: 3_000_000, mtimeMs: 1_700_000_000_000 });
    expect(stat('etc/setuid').mode & 0o7777).toBe(0o4755);
    expect(stat('run').mode & 0o7777).toBe(0o1777);
    expect(stat('bin/sh').isSymbolicLink()).toBe(true);
    expect(stat('dev/pipe').isFIFO()).toBe(true);
    expect(stat('dev/null')).toMatchObject({ rdev: 259 });
    const attributes = await run('getfattr', ['--encoding=hex', '-n', 'user.binary', join(root, 'etc/message')]);
    expect(attributes.stdout).toContain('user.binary=0x00ff0a00');
  });

  peerTest(['umoci', 'busybox'], 'umoci lists its tags and reads its history', async () => {
    const image = await program('linux/amd64');
    const layout = await directory(image);
    expect((await run('umoci', ['list', '--layout', layout])).stdout.trim()).toBe(tag);
    const { stdout } = await run('umoci', ['stat', '--json', '--image', `${layout}:${tag}`]);
    const history = JSON.parse(stdout).history as { empty_layer?: boolean; layer?: { digest: string } }[];
    const layers = history.flatMap(({ layer }) => (layer === undefined || layer === null ? [] : [layer.digest]));
    expect(layers).toEqual(image.layers.map((layer) => layer.descriptor.digest));
  });
});

describe('a layer', () => {
  for (const lister of ['tar', 'bsdtar'] as const) {
    for (const compression of ['gzip', 'none'] as const) {
      peerTest([lister, 'busybox'], `${lister} lists it without a warning (${compression})`, async () => {
        const image = await program('linux/amd64', compression);
        const layout = await directory(image);
        for (const layer of image.layers) {
          const path = join(layout, 'blobs', layer.descriptor.digest.replace(':', '/'));
          const { stdout, stderr } = await run(lister, ['-tvf', path]);
          expect(stderr).toBe('');
          expect(stdout).not.toBe('');
        }
      });
    }
  }

  peerTest(['tar', 'bsdtar', 'busybox'], 'both list the same names: relative, sorted, hard links last', async () => {
    const image = await program('linux/amd64');
    const layout = await directory(image);
    const path = join(layout, 'blobs', image.layers[1]!.descriptor.digest.replace(':', '/'));
    const names = (await run('tar', ['--quoting-style=literal', '-tf', path])).stdout;
    expect((await run('bsdtar', ['-tf', path])).stdout).toBe(names);
    const listed = names
      .trim()
      .split('\n')
      .map((name) => name.replace(/\/$/, ''));
    expect(listed.pop()).toBe('etc/message-link');
    expect(listed).toEqual([...listed].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
    expect(listed.filter((name) => name.startsWith('/') || name.startsWith('.'))).toEqual([]);
  });

  peerTest(['tar', 'bsdtar', 'busybox'], 'both list the archive around it without a warning', async () => {
    for (const form of ['gzip', 'none'] as const) {
      const path = await save(await platforms(), form);
      for (const lister of ['tar', 'bsdtar']) expect((await run(lister, ['-tvf', path])).stderr).toBe('');
    }
  });
});

describe('an image on a base that another tool made', () => {
  const needs: readonly Need[] = [...archiveNeeds, 'runc'];

  peerTest(needs, 'keeps the layers of the base and runs', async () => {
    const { app } = await ingredients();
    const [base] = describeLayout(app).images;
    const layout = await Layout.open(new NodeStorage(app));
    const image = (await (await Image.from(layout, 'app:1')).copy([{ path: 'new', body: 'new\n' }], '/etc')).cmd([
      '/bin/busybox',
      'cat',
      '/etc/one',
      '/etc/new',
      '/data/dir/b',
    ]);
    expect(image.layers.slice(0, -1).map((layer) => layer.descriptor.digest)).toEqual(base!.layerDigests);
    const written = await directory(image);
    expect(await runWithRunc(written, tag)).toBe('one\nnew\nb\n');
    await expectSameThere(`oci:${written}:${tag}`);
  });

  peerTest(needs, 'is written out again with the digest it came with', async () => {
    const { app, multi, umoci } = await ingredients();
    for (const [path, name] of [
      [app, 'app:1'],
      [umoci, 'packed'],
      [multi, 'multi:1'],
    ] as const) {
      const image = await Image.from(await Layout.open(new NodeStorage(path)), name);
      expect(image.descriptor.digest).toBe(describeLayout(path).images[0]!.manifestDigest);
      const written = await directory(image);
      expect(describeLayout(written).images[0]).toMatchObject({ manifestDigest: image.descriptor.digest });
    }
  });

  peerTest(needs, "stays of Docker's types where the base was, and skopeo and podman take it", async () => {
    const unpacked = temporaryDirectory();
    await run('tar', ['-C', unpacked, '-xf', (await archive('containerd export, Docker media types')).path]);
    const base = await Image.from(await Layout.open(new NodeStorage(unpacked)), '1');
    const image = (await base.copy([{ path: 'new', body: 'new\n' }], '/etc')).cmd(['/bin/busybox', 'cat', '/etc/new']);
    expect(image.descriptor.mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json');
    const path = await save(image, 'gzip');
    // skopeo looks for a name among OCI's types only; without one it takes the archive's single image of any type.
    await expectSameThere(`oci-archive:${path}`);
    const store = containerStore();
    await store.podman(['load', '--quiet', '--input', path]);
    expect((await store.podman(['images', '--quiet', '--no-trunc'])).stdout.trim()).toBe(image.manifest.config.digest);
  });
});

const longName = `${'a-name-past-one-hundred-bytes/'.repeat(4)}${'x'.repeat(200)}`;

const printed = 'arguments: one two\nhello from a file\nGREETING=hello\nin /srv as 1000:1000\n';

/** A busybox image with every kind of file, that prints what its config set. */
async function program(platform: string, compression: 'gzip' | 'none' = 'gzip'): Promise<Image> {
  const files: LayerFile[] = [
    { path: 'bin/sh', type: 'symlink', linkTarget: 'busybox' },
    { path: 'etc/message', body: 'hello from a file\n', xattrs: { 'user.binary': Uint8Array.of(0, 255, 10, 0) } },
    { path: 'etc/message-link', type: 'hardlink', linkTarget: 'etc/message' },
    { path: `etc/${longName}`, body: 'long\n' },
    { path: 'etc/größe-文件', body: 'unicode\n' },
    { path: 'etc/owned', body: 'owned\n', uid: 2_500_000, gid: 3_000_000, mtime: 1_700_000_000 },
    { path: 'etc/setuid', body: 'setuid\n', mode: 0o4755 },
    { path: 'run', type: 'directory', mode: 0o1777 },
    { path: 'srv', type: 'directory', uid: 1000, gid: 1000 },
    { path: 'dev/pipe', type: 'fifo' },
    { path: 'dev/null', type: 'character-device', device: { major: 1, minor: 3 }, mode: 0o666 },
  ];
  const script =
    'echo "arguments: $1 $2"; cat /etc/message; echo "GREETING=$GREETING"; echo "in $PWD as $(id -u):$(id -g)"';
  const busybox = createReadStream(busyboxPath());
  const size = lstatSync(busyboxPath()).size;
  const image = await Image.scratch({ platform }).copy(
    [{ path: 'busybox', body: busybox, size, mode: 0o755 }],
    '/bin',
    {
      compression,
    },
  );
  return (await image.addLayer(files, { compression }))
    .entrypoint(['/bin/busybox'])
    .cmd(['sh', '-c', script, 'name', 'one', 'two'])
    .env({ GREETING: 'hello', PATH: '/bin' })
    .workdir('/srv')
    .user('1000:1000')
    .expose(8080)
    .label('org.opencontainers.image.title', 'peers');
}

/** The program as skopeo compresses it. */
async function withZstdLayers(): Promise<Image> {
  const from = await directory(await program('linux/amd64'));
  const to = temporaryDirectory();
  const compressed = ['--dest-compress', '--dest-compress-format', 'zstd'];
  await run('skopeo', ['copy', '--quiet', ...compressed, `oci:${from}:${tag}`, `oci:${to}:${tag}`]);
  const image = await Image.from(await Layout.open(new NodeStorage(to)), tag);
  expect(image.layers.map(({ descriptor }) => layerCompression(descriptor.mediaType))).toEqual(['zstd', 'zstd']);
  return image;
}

async function platforms(): Promise<Image[]> {
  return [await program('linux/amd64'), await program('linux/arm64/v8')];
}

async function save(images: Image | Image[], compression: 'gzip' | 'none', name: string = tag): Promise<string> {
  const path = join(temporaryDirectory(), compression === 'gzip' ? 'image.tar.gz' : 'image.tar');
  await writeStream(saveTarball(images, { tag: name, compression }), path);
  return path;
}

async function directory(images: Image | Image[]): Promise<string> {
  const path = temporaryDirectory();
  await exportDirectory(images, new NodeStorage(path), { tag });
  return path;
}

/** Copies an image with all its platforms to a `dir:` and from there to a layout: every manifest stays as it was. */
async function expectSameThere(source: string): Promise<void> {
  const there = join(temporaryDirectory(), 'there');
  const back = join(temporaryDirectory(), 'back');
  await run('skopeo', ['copy', '--quiet', '--all', '--preserve-digests', source, `dir:${there}`]);
  await run('skopeo', ['copy', '--quiet', '--all', '--preserve-digests', `dir:${there}`, `oci:${back}:back`]);
  const before = await run('skopeo', ['inspect', '--raw', source]);
  const after = await run('skopeo', ['inspect', '--raw', `oci:${back}`]);
  expect(after.stdout).toBe(before.stdout);
  expect(sha256(readFileSync(join(there, 'manifest.json')))).toBe(sha256(Buffer.from(before.stdout)));
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8');
}

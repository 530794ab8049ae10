/**
 * Real images for the tests: built by buildah and umoci, saved by podman, buildah and skopeo, and, for engines that
 * are not here, put together from those in the shape that the engine writes. Each is made once per test file.
 */
import { randomBytes } from 'node:crypto';
import {
  copyFileSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Need } from './debian.ts';
import { describeArchive, type ExpectedArchive } from './expected.ts';
import {
  writeContainerdExport,
  writeCraneTarball,
  writeDockerSave,
  writeFlatIndex,
  writeModernDockerSave,
} from './forms.ts';
import { busyboxPath, type ContainerStore, containerStore, run, temporaryDirectory } from './peers.ts';

/** What every archive needs to be made. */
export const archiveNeeds: readonly Need[] = [
  'root',
  'skopeo',
  'umoci',
  'podman',
  'buildah',
  'busybox',
  'tar',
  'bsdtar',
  'gzip',
  'pigz',
  'setfattr',
];

/** One archive file, and what is known to be in it without asking the library. */
export interface ImageArchive {
  name: ArchiveName;
  path: string;
  expected: ExpectedArchive;
}

/** The images that the archives are made of. */
export interface Ingredients {
  store: ContainerStore;
  /** Layout directory of a Linux/amd64 image of three layers (whiteouts, hard links, xattrs), tag `app:1`. */
  app: string;
  /** Layout directory with a nested index for linux/amd64 and linux/arm64/v8, tag `multi:1`. */
  multi: string;
  /** Layout directory written by umoci (an opaque whiteout, a device, a fifo), tag `packed`. */
  umoci: string;
  /** Plain docker archive of `app:1` alone, and of `base:1` and `app:1`, unpacked: what docker's own forms are made from. */
  dockerApp: string;
  dockerBoth: string;
}

/** What the program in `app`, `multi` and `umoci` prints when run. */
export const greeting = 'hello from a real image\n';

/** The images, built when first asked for. */
export function ingredients(): Promise<Ingredients> {
  made ??= makeIngredients();
  return made;
}

/** One archive, made when first asked for. */
export function archive(name: ArchiveName): Promise<ImageArchive> {
  let promise = archivesByName.get(name);
  if (promise === undefined) {
    promise = makeArchive(name);
    archivesByName.set(name, promise);
  }
  return promise;
}

const makers = {
  'podman save, oci-archive': ({ store }, path) =>
    store.podman(['save', '-q', '--format', 'oci-archive', '-o', path, 'localhost/app:1']),
  'podman save, docker-archive': ({ store }, path) =>
    store.podman(['save', '-q', '--format', 'docker-archive', '-o', path, 'localhost/app:1']),
  'podman save, docker-archive of two images': ({ store }, path) =>
    store.podman(['save', '-q', '-m', '--format', 'docker-archive', '-o', path, 'localhost/base:1', 'localhost/app:1']),
  'podman save, docker-archive, gzip': async (images, path) => {
    await makers['podman save, docker-archive'](images, path);
    await gzipInPlace(path);
  },
  'buildah push, oci-archive': ({ store }, path) =>
    store.buildah(['push', '-q', 'localhost/app:1', `oci-archive:${path}:app:1`]),
  'buildah manifest push --all, oci-archive': ({ store }, path) =>
    store.buildah(['manifest', 'push', '-q', '--all', 'localhost/multi:1', `oci-archive:${path}:multi:1`]),
  'skopeo, oci-archive': ({ app }, path) => skopeoCopy(`oci:${app}:app:1`, `oci-archive:${path}:app:1`),
  'skopeo, oci-archive without a tag': ({ app }, path) => skopeoCopy(`oci:${app}:app:1`, `oci-archive:${path}`),
  'skopeo, oci-archive, pigz': async (images, path) => {
    await makers['skopeo, oci-archive'](images, path);
    await run('pigz', ['--no-name', path]);
    await run('mv', [`${path}.gz`, path]);
  },
  'skopeo, oci-archive, gzip of two members': async (images, path) => {
    await makers['skopeo, oci-archive'](images, path);
    await gzipAsTwoMembers(path);
  },
  'skopeo --all, oci-archive': ({ multi }, path) =>
    skopeoCopy('--all', `oci:${multi}:multi:1`, `oci-archive:${path}:multi:1`),
  'skopeo, docker-archive': ({ app }, path) => skopeoCopy(`oci:${app}:app:1`, `docker-archive:${path}:app:1`),
  'umoci layout in GNU tar, names with ./': ({ umoci }, path) => run('tar', ['-C', umoci, '-cf', path, '.']),
  'umoci layout in bsdtar, pax headers': ({ umoci }, path) =>
    run('bsdtar', ['-C', umoci, '--format=pax', '-cf', path, 'oci-layout', 'index.json', 'blobs']),
  'layout in GNU tar, blobs first and oci-layout last': ({ multi }, path) =>
    run('tar', ['-C', multi, '--sort=name', '-cf', path, 'blobs', 'index.json', 'oci-layout']),
  'layout in GNU tar, last blob first': ({ app }, path) => {
    const blobs = readdirSync(join(app, 'blobs/sha256')).sort().reverse();
    const names = [...blobs.map((blob) => `blobs/sha256/${blob}`), 'oci-layout', 'index.json'];
    return run('tar', ['-C', app, '-cf', path, ...names]);
  },
  'docker save before 25, two images sharing layers': ({ dockerBoth }, path) => writeDockerSave(dockerBoth, path),
  'docker save before 25, one layer twice': ({ dockerApp }, path) => writeDockerSave(dockerApp, path, { repeat: true }),
  'docker save since 25': ({ dockerApp }, path) => writeModernDockerSave(dockerApp, path),
  'crane, docker tarball of gzip layers': ({ app }, path) => writeCraneTarball(app, path),
  'containerd export, Docker media types': ({ app }, path) => writeContainerdExport(app, path),
  'flat multi-platform index, gzip': async ({ multi }, path) => {
    await writeFlatIndex(multi, path);
    await gzipInPlace(path);
  },
} satisfies Record<string, (images: Ingredients, path: string) => Promise<unknown>>;

export type ArchiveName = keyof typeof makers;

/** Names of all archives, for one test each. */
export const archiveNames: readonly ArchiveName[] = Object.keys(makers) as ArchiveName[];

let made: Promise<Ingredients> | undefined;
const archivesByName = new Map<ArchiveName, Promise<ImageArchive>>();

async function makeArchive(name: ArchiveName): Promise<ImageArchive> {
  const path = join(temporaryDirectory(), 'image.tar');
  await makers[name](await ingredients(), path);
  return { name, path, expected: await describeArchive(path) };
}

async function makeIngredients(): Promise<Ingredients> {
  const store = containerStore();
  await buildBase(store);
  await buildApp(store);
  await buildMulti(store);
  const directory = temporaryDirectory();
  const [app, multi, umoci, dockerApp, dockerBoth] = ['app', 'multi', 'umoci', 'docker-app', 'docker-both'].map(
    (name) => join(directory, name),
  ) as [string, string, string, string, string];
  await store.buildah(['push', '-q', 'localhost/app:1', `oci:${app}:app:1`]);
  await store.buildah(['manifest', 'push', '-q', '--all', 'localhost/multi:1', `oci:${multi}:multi:1`]);
  await buildByUmoci(umoci);
  await saveUnpacked(store, dockerApp, ['localhost/app:1']);
  await saveUnpacked(store, dockerBoth, ['localhost/base:1', 'localhost/app:1']);
  return { store, app, multi, umoci, dockerApp, dockerBoth };
}

/** `base:1`: one layer with the program and every kind of name and link that a layer of files may hold. */
async function buildBase(store: ContainerStore): Promise<void> {
  await buildahCommit(store, 'scratch', 'localhost/base:1', async (root) => {
    for (const name of ['bin', 'etc', 'data/dir', 'empty']) mkdirSync(join(root, name), { recursive: true });
    copyFileSync(busyboxPath(), join(root, 'bin/busybox'));
    symlinkSync('busybox', join(root, 'bin/sh'));
    writeFileSync(join(root, 'etc/one'), 'one\n');
    linkSync(join(root, 'etc/one'), join(root, 'etc/one-link'));
    await run('setfattr', ['-n', 'user.note', '-v', '0x00ff00', join(root, 'etc/one')]);
    writeFileSync(join(root, 'data/doomed'), 'doomed\n');
    writeFileSync(join(root, 'data/dir/a'), 'a\n');
    writeFileSync(join(root, 'data', `${'long-name-'.repeat(20)}end`), 'long\n');
    writeFileSync(join(root, 'data/größe-文件'), 'unicode\n');
    symlinkSync('/etc/one', join(root, 'data/absolute'));
    lutimesSync(join(root, 'data/absolute'), 1e9, 1e9);
  });
}

/** `app:1`: two layers on `base:1`, the first with whiteouts, a replaced directory and a new name for a file below. */
async function buildApp(store: ContainerStore): Promise<void> {
  await buildahCommit(store, 'localhost/base:1', 'localhost/middle:1', async (root) => {
    rmSync(join(root, 'data/doomed'));
    rmSync(join(root, 'data/dir'), { recursive: true });
    mkdirSync(join(root, 'data/dir'));
    writeFileSync(join(root, 'data/dir/b'), 'b\n');
    linkSync(join(root, 'bin/busybox'), join(root, 'bin/echo'));
  });
  await buildahCommit(store, 'localhost/middle:1', 'localhost/app:1', async (root) => {
    writeFileSync(join(root, 'data/noise'), randomBytes(200_000));
  });
}

/** `multi:1`: an index over `app:1` and the same program said to be for arm64. */
async function buildMulti(store: ContainerStore): Promise<void> {
  const arm = ['--os', 'linux', '--arch', 'arm64', '--variant', 'v8'];
  await buildahCommit(
    store,
    'scratch',
    'localhost/arm:1',
    async (root) => {
      mkdirSync(join(root, 'bin'));
      copyFileSync(busyboxPath(), join(root, 'bin/busybox'));
    },
    arm,
  );
  await store.buildah(['manifest', 'create', 'localhost/multi:1']);
  await store.buildah(['manifest', 'add', 'localhost/multi:1', 'localhost/app:1']);
  await store.buildah(['manifest', 'add', ...arm, 'localhost/multi:1', 'localhost/arm:1']);
}

/** Commits what `change` does to the root directory of `from` as one layer; it prints the greeting when run. */
async function buildahCommit(
  store: ContainerStore,
  from: string,
  name: string,
  change: (root: string) => Promise<void>,
  configuration: string[] = [],
): Promise<void> {
  const container = (await store.buildah(['from', from])).stdout.trim();
  const root = (await store.buildah(['mount', container])).stdout.trim();
  if (root === '') throw new Error(`buildah mounted no root directory for ${from}`);
  await change(root);
  await store.buildah(['umount', container]);
  const command = JSON.stringify(['/bin/busybox', 'echo', greeting.trim()]);
  await store.buildah(['config', '--cmd', command, '--env', 'A=b', '--label', 'l=m', ...configuration, container]);
  await store.buildah(['commit', '-q', container, name]);
  await store.buildah(['rm', container]);
}

async function buildByUmoci(layout: string): Promise<void> {
  const bundle = join(temporaryDirectory(), 'bundle');
  const root = join(bundle, 'rootfs');
  const image = `${layout}:packed`;
  await run('umoci', ['init', '--layout', layout]);
  await run('umoci', ['new', '--image', image]);
  await run('umoci', ['unpack', '--image', image, bundle]);
  mkdirSync(join(root, 'bin'));
  mkdirSync(join(root, 'data/deep'), { recursive: true });
  copyFileSync(busyboxPath(), join(root, 'bin/busybox'));
  linkSync(join(root, 'bin/busybox'), join(root, 'bin/echo'));
  writeFileSync(join(root, 'data/deep/file'), 'x\n');
  await run('mkfifo', [join(root, 'data/pipe')]);
  await run('mknod', [join(root, 'data/null'), 'c', '1', '3']);
  await run('umoci', ['repack', '--refresh-bundle', '--image', image, bundle]);
  rmSync(join(root, 'data/deep/file'));
  await run('umoci', ['repack', '--refresh-bundle', '--image', image, bundle]);
  const replacement = join(temporaryDirectory(), 'replacement');
  mkdirSync(replacement);
  writeFileSync(join(replacement, 'other'), 'y\n');
  await run('umoci', ['insert', '--opaque', '--image', image, replacement, '/data/deep']);
  const command = ['/bin/busybox', 'echo', greeting.trim()].flatMap((word) => ['--config.cmd', word]);
  const platform = ['--architecture', 'amd64', '--os', 'linux'];
  await run('umoci', ['config', '--image', image, ...command, ...platform, '--config.env', 'A=b']);
  await run('umoci', ['gc', '--layout', layout]);
}

async function saveUnpacked(store: ContainerStore, directory: string, names: string[]): Promise<void> {
  const path = join(temporaryDirectory(), 'image.tar');
  await store.podman(['save', '-q', '-m', '--format', 'docker-archive', '-o', path, ...names]);
  mkdirSync(directory);
  await run('tar', ['-C', directory, '-xf', path]);
}

function skopeoCopy(...args: string[]): Promise<unknown> {
  return run('skopeo', ['copy', '--quiet', ...args]);
}

async function gzipInPlace(path: string): Promise<void> {
  await run('gzip', ['--no-name', path]);
  await run('mv', [`${path}.gz`, path]);
}

async function gzipAsTwoMembers(path: string): Promise<void> {
  const bytes = readFileSync(path);
  const middle = Math.floor(bytes.length / 2);
  const members: Buffer[] = [];
  for (const part of [bytes.subarray(0, middle), bytes.subarray(middle)]) {
    writeFileSync(path, part);
    await gzipInPlace(path);
    members.push(readFileSync(path));
  }
  writeFileSync(path, Buffer.concat(members));
}

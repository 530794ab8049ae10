/** Layers unpacked to a directory on disk: what an engine would give a container as its root. */
import { lstatSync, readdirSync, readlinkSync } from 'node:fs';
import process from 'node:process';
import type { OnProgress } from '../bytes/progress.ts';
import { pathIn } from '../layer/follow-path.ts';
import type { Layer } from '../layer/layer.ts';
import { type Limits, resolveLimits } from '../limits.ts';
import { diskFailed } from '../storage/node-file.ts';
import { decodeText } from '../tar/decode-text.ts';
import type { TarHeader } from '../tar/entry.ts';
import { LayerApplier } from './apply-layer.ts';
import { Disk } from './disk-file.ts';
import { type DiskNode, DiskTree, type Place } from './disk-tree.ts';
import { finishRoot, finishTree } from './finish-tree.ts';
import { localPath } from './read-file.ts';
import { openStage } from './stage.ts';

export interface ExtractOptions {
  /** Whether files get the owners that the layers say. Default: where this process is root. */
  owners?: boolean;
  /** Whether device files are made, by the system's `mknod`; else a warning says that there are some. Default: as `owners`. */
  devices?: boolean;
  /** Whether extended attributes are set, by the system's `setfattr`. Default `true`; where there is none, a warning says so. */
  xattrs?: boolean;
  /**
   * Applies the layers to what the directory holds already. Default `false`: a directory that is not empty is refused. A failure leaves
   * it half changed, and nobody else may write there meanwhile.
   */
  merge?: boolean;
  /** Told of what could not be taken over but does no harm to the rest. */
  onWarning?: (message: string) => void;
  /** Bounds that hold for all layers together: `tarEntries`, `inflatedBytes`, `indexBytes`; and for each path: `pathBytes`, `pathDepth`. */
  limits?: Partial<Limits>;
  signal?: AbortSignal;
  /** Told of each entry, phase `write`: `transferred` is how far in the uncompressed layer it ends. */
  onProgress?: OnProgress;
}

/**
 * Unpacks an image, or layers from the base up, to a directory: types, modes (whatever the umask), times of change, symlinks, hard links,
 * fifos, extended attributes, and as root owners and devices; whiteouts applied, as layer.md has it. Holes of sparse files stay holes. Times
 * are kept to the microsecond: runtimes take them as a double of seconds, which holds no more.
 *
 * Where the directory is not there, or empty, the layers are unpacked beside it, and renamed to it when all is done: a failure or an aborted
 * `signal` leaves nothing, a crash at most a directory `.name.….part`. Its parent must be there. What is mounted is unpacked to directly.
 * Nothing is brought to the disk by force (fsync).
 *
 * No layer leads out of the directory: symlinks in paths are followed within it, as if it were the root; hard links name files within it; `..`
 * is refused. Directories that no entry names are made with mode 0755, owner 0:0 and time 0.
 *
 * @throws `ARGUMENT_INVALID` where the directory is not empty; `DIGEST_MISMATCH` for a layer that is not what its descriptor or diff ID says; `NOT_FOUND` where its parent is missing; `PATH_INVALID`, `LINK_INVALID`,
 * `LINK_LOOP`, `LIMIT_EXCEEDED`, `TAR_INVALID` and what else reading a layer throws; `PATH_DUPLICATE` for names that the file
 * system takes for one (`README`, `readme`); `STORAGE_FAILED`; `RUNTIME_UNSUPPORTED` where `mknod` or `mkfifo` is missing.
 *
 * @example
 * import { Image, Layout } from 'stowage';
 * import { extract } from 'stowage/node';
 * import { NodeStorage } from 'stowage/storage/node';
 *
 * const image = await Image.from(await Layout.open(new NodeStorage('layout')), 'demo:1.0');
 * await extract(image, 'rootfs');
 */
export async function extract(
  source: { readonly layers: readonly Layer[] } | Iterable<Layer>,
  directory: string | URL,
  options: ExtractOptions = {},
): Promise<void> {
  const { merge = false, signal, onWarning, onProgress, xattrs = true } = options;
  const owners = options.owners ?? process.getuid?.() === 0;
  const devices = options.devices ?? owners;
  const limits = resolveLimits(options.limits);
  // Only who may write to a file may set its attributes, unless it is root.
  const modeOf = (header: TarHeader): number => (header.xattrs && !owners ? header.mode | 0o200 : header.mode);
  signal?.throwIfAborted();
  const stage = await openStage(localPath(directory), merge);
  try {
    const disk = new Disk(stage.directory, owners);
    const tree = new DiskTree(limits, rootNode());
    if (stage.isUsed) {
      try {
        scan(disk, tree);
      } catch (error) {
        throw diskFailed('looking up what is in', stage.directory, error);
      }
    }
    const applier = new LayerApplier(tree, disk, {
      removed: stage.removed,
      modeOf,
      limits,
      onWarning,
      onProgress,
      signal,
    });
    for (const layer of 'layers' in source ? source.layers : source) await applier.apply(layer);
    await finishTree(tree, disk, { owners, devices, xattrs, modeOf, onWarning, signal });
    finishRoot(tree, disk);
    await stage.commit().catch((error: unknown) => {
      throw diskFailed('putting in its place', stage.directory, error);
    });
  } catch (error) {
    await stage.discard();
    throw error;
  }
}

function rootNode(): DiskNode {
  const header: TarHeader = { path: '', type: 'directory', size: 0, mode: 0o755, uid: 0, gid: 0, mtime: 0 };
  return { kind: 'directory', layer: -1, children: new Map(), header, isChanged: true };
}

/** Takes what the directory holds into the tree. */
function scan(disk: Disk, tree: DiskTree): void {
  Object.assign(tree.root, { ...describe(disk, ''), children: tree.root.children });
  const left: Place[] = [{ path: '', node: tree.root }];
  for (let place = left.pop(); place; place = left.pop()) {
    for (const bytes of readdirSync(disk.at(place.path), { encoding: 'buffer' })) {
      const name = decodeText(bytes);
      const path = pathIn(place.path, name);
      tree.weigh(path);
      const node = describe(disk, path);
      place.node.children!.set(name, node);
      if (node.children) left.push({ path, node });
    }
  }
}

function describe(disk: Disk, path: string): DiskNode {
  const found = lstatSync(disk.at(path), { bigint: true });
  const known = { layer: -1, isChanged: false };
  if (found.isSymbolicLink()) {
    const target = decodeText(readlinkSync(disk.at(path), { encoding: 'buffer' }));
    return { ...known, kind: 'symlink', target };
  }
  if (!found.isDirectory()) return { ...known, kind: 'file' };
  const header: TarHeader = {
    path,
    type: 'directory',
    size: 0,
    mode: Number(found.mode) & 0o7777,
    uid: Number(found.uid),
    gid: Number(found.gid),
    mtime: Number(found.mtimeNs / 1_000_000_000n),
    nanoseconds: Number(found.mtimeNs % 1_000_000_000n),
  };
  return { ...known, kind: 'directory', header, children: new Map() };
}

/** What differs between the file systems of two images, as a list and as a layer. */
import { createHasher } from '../bytes/hash.ts';
import { type Changeset, type ReadNamesOptions, readChangeset } from '../layer/changeset.ts';
import type { Layer } from '../layer/layer.ts';
import { type MergedFile, MergedTree } from '../layer/merged-tree.ts';
import type { RewriteLayerOptions } from '../layer/rewrite-layer.ts';
import { diffTrees, type NameChange, type TreeDiff } from '../layer/tree-diff.ts';
import { writeTreeLayer } from '../layer/tree-layer.ts';
import type { Digest } from '../oci/digest.ts';
import type { TarHeader } from '../tar/entry.ts';
import type { Image } from './image.ts';
import { rewriteOptions } from './map-layer.ts';

export interface DiffOptions extends ReadNamesOptions {
  /** Whether a file that differs in its `mtime` alone is changed. Default true. */
  times?: boolean;
}

/** A name that differs, with what either image says of it; `''` is the root. A hard link has the header of its file. */
export interface FileChange<Before = TarHeader, After = TarHeader> {
  path: string;
  before: Before;
  after: After;
}

/** Each list in the order of the names' bytes, parents first. */
export interface ImageDiff {
  added: FileChange<undefined>[];
  /** In content, metadata, type, or in which names are hard links of one another. Names and group names of owners do not count. */
  changed: FileChange[];
  /** With all that lay below a removed directory. */
  removed: FileChange<TarHeader, undefined>[];
}

/**
 * Compares what containers of two images would see. Contents are read only where all else of two files is the same, and
 * not where they come from one layer of both images.
 *
 * @throws what reading layers throws.
 * @example
 * for (const { path } of (await diff(before, after)).changed) console.log(path);
 */
export async function diff(before: Image, after: Image, options: DiffOptions = {}): Promise<ImageDiff> {
  const { added, changed, removed } = await compare(before, after, options);
  const list = (changes: NameChange[]): FileChange<never, never>[] =>
    changes.map(({ path, before: was, after: is }) => ({
      path,
      before: (was && { ...was.header, path }) as never,
      after: (is && { ...is.header, path }) as never,
    }));
  return { added: list(added), changed: list(changed), removed: list(removed) };
}

/**
 * The layer that turns the file system of one image into that of another: what was added and changed, and whiteouts for
 * what is gone. On top of `before`, by `append`, it gives the files of `after`.
 *
 * @throws what reading layers throws.
 */
export async function diffLayer(
  before: Image,
  after: Image,
  options: DiffOptions & RewriteLayerOptions = {},
): Promise<Layer> {
  return writeTreeLayer(await compare(before, after, options), after.layers, rewriteOptions(after, options));
}

async function compare(before: Image, after: Image, options: DiffOptions): Promise<TreeDiff> {
  const shared = sharedLayers(before, after);
  const [was, is] = [await mergeImage(before, shared, options), await mergeImage(after, shared, options)];
  const { times = true } = options;
  const nameOf = (image: Image, file: MergedFile): string => `${image.layers[file.layer]?.diffId} ${file.offset}`;
  const mayBeSame = (one: MergedFile, other: MergedFile): boolean => isAlike(one.header, other.header, times);
  const isOneEntry = (one: MergedFile, other: MergedFile): boolean => nameOf(before, one) === nameOf(after, other);
  const doubtful: [before: Set<MergedFile>, after: Set<MergedFile>] = [new Set(), new Set()];
  for (const { path, node } of is) {
    const other = was.get(path);
    if (other === undefined || node.file.header.type !== 'file' || node.file.header.size === 0) continue;
    if (!mayBeSame(other.file, node.file) || isOneEntry(other.file, node.file)) continue;
    doubtful[0].add(other.file);
    doubtful[1].add(node.file);
  }
  const digests = new Map<MergedFile, Digest>();
  await digestFiles(before.layers, doubtful[0], digests, options);
  await digestFiles(after.layers, doubtful[1], digests, options);
  const isSame = (one: MergedFile, other: MergedFile): boolean => {
    if (!mayBeSame(one, other)) return false;
    if (one.header.type !== 'file' || one.header.size === 0 || isOneEntry(one, other)) return true;
    const digest = digests.get(one);
    return digest !== undefined && digest === digests.get(other);
  };
  return diffTrees(was, is, isSame);
}

/** Changesets of layers that both images have, so that each is read once. */
function sharedLayers(before: Image, after: Image): Map<Digest, Changeset | undefined> {
  const own = new Set(before.layers.map(({ diffId }) => diffId));
  return new Map(after.layers.flatMap(({ diffId }) => (own.has(diffId) ? [[diffId, undefined]] : [])));
}

async function mergeImage(
  image: Image,
  shared: Map<Digest, Changeset | undefined>,
  options: DiffOptions,
): Promise<MergedTree> {
  const tree = new MergedTree(options.limits);
  for (const [number, layer] of image.layers.entries()) {
    const changeset = shared.get(layer.diffId) ?? (await readChangeset(layer, options));
    if (shared.has(layer.diffId)) shared.set(layer.diffId, changeset);
    tree.apply(changeset, number);
  }
  return tree;
}

/** Hashes the contents of these files, each layer in one pass. */
async function digestFiles(
  layers: readonly Layer[],
  files: ReadonlySet<MergedFile>,
  digests: Map<MergedFile, Digest>,
  options: DiffOptions,
): Promise<void> {
  for (const [number, layer] of layers.entries()) {
    const byOffset = new Map([...files].flatMap((file) => (file.layer === number ? [[file.offset, file]] : [])));
    if (byOffset.size === 0) continue;
    for await (const { offset, body } of layer.entries(options)) {
      const file = byOffset.get(offset);
      if (file === undefined) continue;
      const hasher = createHasher();
      for await (const chunk of body) hasher.update(chunk);
      digests.set(file, hasher.digest());
    }
  }
}

/** Whether two headers say the same of a file, but for its name and the names of its owners. */
function isAlike(one: TarHeader, other: TarHeader, times: boolean): boolean {
  const fields = ['type', 'size', 'mode', 'uid', 'gid', 'linkTarget', ...(times ? ['mtime'] : [])] as const;
  return (
    fields.every((field) => one[field as keyof TarHeader] === other[field as keyof TarHeader]) &&
    (!times || (one.nanoseconds ?? 0) === (other.nanoseconds ?? 0)) &&
    one.device?.major === other.device?.major &&
    one.device?.minor === other.device?.minor &&
    haveSameXattrs(one.xattrs ?? {}, other.xattrs ?? {})
  );
}

function haveSameXattrs(one: Record<string, Uint8Array>, other: Record<string, Uint8Array>): boolean {
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => isSameBytes(one[name], other[name]));
}

function isSameBytes(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  return one?.length === other?.length && !!one?.every((byte, index) => byte === other?.[index]);
}

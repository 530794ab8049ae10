/** What differs between the file systems of two images, as a list and as a layer. */
import { load } from '../bytes/load.ts';
import type { ReadNamesOptions } from '../layer/changeset.ts';
import type { Layer } from '../layer/layer.ts';
import type { RewriteLayerOptions } from '../layer/rewrite-layer.ts';
import type { NameChange } from '../layer/tree-diff.ts';
import type { TarHeader } from '../tar/entry.ts';
import type { Image } from './image.ts';
import { rewriteOptions } from './replace-layers.ts';

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
  const { compareImages } = await load(() => import('./compare-images.ts'));
  const { added, changed, removed } = await compareImages(before, after, options);
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
  const { compareImages } = await load(() => import('./compare-images.ts'));
  const { writeTreeLayer } = await load(() => import('../layer/tree-layer.ts'));
  return writeTreeLayer(await compareImages(before, after, options), after.layers, rewriteOptions(after, options));
}

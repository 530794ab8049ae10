/** A difference of trees as a layer: whiteouts, then directories, then what the layers of the second tree hold, then hard links. */
import type { TarHeader } from '../tar/entry.ts';
import type { TarSource } from '../tar/write-tar.ts';
import { whiteoutPath } from './changeset.ts';
import type { Layer } from './layer.ts';
import { asSource, type RewriteLayerOptions } from './rewrite-layer.ts';
import { packLayer } from './store-layer.ts';
import type { PlannedEntry, TreeDiff } from './tree-diff.ts';

/**
 * Writes the layer. `layers` are those of the second tree; each that holds a content which is needed is read once, to its
 * end, and no other. Everything is in the order of the tree, but for files, which are in that of the layers that hold them.
 */
export function writeTreeLayer(
  diff: TreeDiff,
  layers: readonly Layer[],
  options: RewriteLayerOptions = {},
): Promise<Layer> {
  return packLayer(treeSources(diff, layers, options), options);
}

async function* treeSources(
  { whiteouts, entries }: TreeDiff,
  layers: readonly Layer[],
  options: RewriteLayerOptions,
): AsyncGenerator<TarSource> {
  for (const path of whiteouts) yield { ...whiteoutHeader, path: whiteoutPath(path) };
  const files: PlannedEntry[] = [];
  const links: PlannedEntry[] = [];
  for (const entry of entries) {
    if (entry.linkTarget !== undefined) links.push(entry);
    else if (entry.file.header.type === 'directory') yield named(entry);
    else files.push(entry);
  }
  const byLayer = new Map<number, PlannedEntry[]>();
  for (const entry of files) {
    const known = byLayer.get(entry.file.layer);
    if (known === undefined) byLayer.set(entry.file.layer, [entry]);
    else known.push(entry);
  }
  for (const [layer, wanted] of [...byLayer].sort(([a], [b]) => a - b)) {
    wanted.sort((a, b) => a.file.offset - b.file.offset);
    if (wanted.some(({ file }) => file.header.size > 0)) yield* withBodies(wanted, layers[layer]!, options);
    else for (const entry of wanted) yield named(entry);
  }
  for (const entry of links) {
    const { xattrs: _, device: __, ...header } = named(entry);
    yield { ...header, type: 'hardlink', size: 0, linkTarget: entry.linkTarget! };
  }
}

async function* withBodies(
  wanted: readonly PlannedEntry[],
  layer: Layer,
  options: RewriteLayerOptions,
): AsyncGenerator<TarSource> {
  const byOffset = new Map(wanted.map((entry) => [entry.file.offset, entry]));
  for await (const { offset, body } of layer.entries(options)) {
    const entry = byOffset.get(offset);
    if (entry !== undefined) yield asSource(named(entry), body);
  }
}

const whiteoutHeader: Omit<TarHeader, 'path'> = { type: 'file', size: 0, mode: 0o644, uid: 0, gid: 0, mtime: 0 };

function named({ path, file }: PlannedEntry): TarHeader {
  return { ...file.header, path: path === '' ? '.' : path };
}

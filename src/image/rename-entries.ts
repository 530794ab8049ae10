/** The work of giving names: each layer planned from the trees of names before and after it. Loaded when files are renamed or left out. */
import { StowageError } from '../errors.ts';
import {
  type Changeset,
  type LayerChange,
  normalizeEntryPath,
  readChangeset,
  readWhiteout,
  whiteoutPath,
} from '../layer/changeset.ts';
import type { Layer } from '../layer/layer.ts';
import { type MergedFile, MergedTree } from '../layer/merged-tree.ts';
import { readBody } from '../layer/read-body.ts';
import { type LayerEntry, type RewriteLayerOptions, rewriteLayer } from '../layer/rewrite-layer.ts';
import { isNonDistributable } from '../oci/media-types.ts';
import type { TarHeader } from '../tar/entry.ts';
import type { Image } from './image.ts';
import { replaceLayers, rewriteOptions } from './replace-layers.ts';

/** The new name of what has this one; none leaves it out. */
type NameOf = (path: string, header: TarHeader) => string | undefined;

/** New names, each with an old one, and those of them that are no directories. */
interface Names {
  all: ReadonlyMap<string, string>;
  files: ReadonlySet<string>;
}

/** What becomes of an entry; none is left out. */
interface NewEntry {
  path: string;
  linkTarget?: string;
  /** The content of a lower layer's file, for a link that has lost what it named. */
  content?: MergedFile;
}

interface LayerPlan {
  /** Paths, in the new image. */
  whiteouts: string[];
  /** By the offset of the old entry. */
  entries: ReadonlyMap<number, NewEntry>;
}

/** The image with the names that `nameOf` gives. */
export async function rewriteNames(image: Image, nameOf: NameOf, options: RewriteLayerOptions): Promise<Image> {
  const settings = rewriteOptions(image, options);
  const tree = new MergedTree(options.limits);
  const ask: NameOf = (path, header) => (path === '' ? path : nameOf(path, { ...header, path }));
  let names: Names = { all: new Map(), files: new Set() };
  return replaceLayers(image, async (layer, number) => {
    const changeset = await readChangeset(layer, settings);
    const before = names;
    const wasTouched = whiteoutsTouch(changeset, tree, ask);
    tree.apply(changeset, number);
    names = newNames(tree, ask);
    if (isNonDistributable(layer.descriptor.mediaType)) return layer;
    const gone = missing(before, names);
    const entries = planEntries(changeset, number, tree, ask);
    const isSame = ({ path, header, offset }: LayerChange): boolean => {
      const entry = entries.get(offset);
      return entry?.path === path && (header.type !== 'hardlink' || entry.linkTarget === header.linkTarget);
    };
    const isRight =
      !wasTouched && !whiteoutsHide(changeset, names) && gone.every((name) => before.all.get(name) === name);
    if (isRight && changeset.changes.every(isSame)) return layer;
    const plan: LayerPlan = { whiteouts: tops(gone, names), entries };
    return rewriteLayer(layer, (read) => renamed(read, plan, image.layers, settings), settings);
  });
}

/** Whether a whiteout removes what has another name now, or none. */
function whiteoutsTouch({ whiteouts }: Changeset, below: MergedTree, nameOf: NameOf): boolean {
  return whiteouts.some(({ path, kind }) => {
    const top = below.resolve(path, kind === 'opaque');
    if (top === undefined) return nameOf(path, whiteoutHeader(path)) !== path;
    if (nameOf(top.path, top.node.file.header) !== top.path) return true;
    for (const { path: each, node } of below.walk(top.path)) if (nameOf(each, node.file.header) !== each) return true;
    return false;
  });
}

/** Whether a whiteout would hide what has been moved to below its path. */
function whiteoutsHide({ whiteouts }: Changeset, names: Names): boolean {
  if (whiteouts.length === 0) return false;
  const moved = [...names.all].flatMap(([name, path]) => (name === path ? [] : [name]));
  const hidden = parentsOf(moved);
  for (const name of moved) hidden.add(name);
  return whiteouts.some(({ path }) => hidden.has(path) || (path === '' && moved.length > 0));
}

/** All names that the image has at this height, and the old ones that they come from. */
function newNames(tree: MergedTree, nameOf: NameOf): Names {
  const names = new Map<string, string>();
  const files = new Set<string>();
  for (const { path, node } of tree) {
    const name = nameOf(path, node.file.header);
    if (name === undefined) continue;
    const other = names.get(name);
    if (node.children === undefined) {
      if (other !== undefined) throw duplicate(path, other, name);
      files.add(name);
    } else if (files.has(name)) {
      throw duplicate(path, other!, name);
    }
    // Of directories that are made one, any is as good, but for one that has kept its name.
    if (other === undefined || path !== name) names.set(name, path);
  }
  for (const parent of parentsOf(names.keys())) {
    if (files.has(parent)) throw duplicate(names.get(parent)!, 'a directory', parent);
  }
  return { all: names, files };
}

/** The names that are gone, but for directories in which there still is something. */
function missing(before: Names, after: Names): string[] {
  const gone = [...before.all.keys()].filter((name) => !after.all.has(name));
  if (gone.length === 0) return gone;
  const parents = parentsOf(after.all.keys());
  return gone.filter((name) => !parents.has(name));
}

/** Of what is in a directory that goes as a whole, only that; nothing of what is in one that a file takes the place of. */
function tops(gone: readonly string[], { files }: Names): string[] {
  const all = new Set(gone);
  return gone.filter((name) => !ancestors(name).some((parent) => all.has(parent) || files.has(parent)));
}

function planEntries(
  { changes }: Changeset,
  number: number,
  tree: MergedTree,
  nameOf: NameOf,
): ReadonlyMap<number, NewEntry> {
  const entries = new Map<number, NewEntry>();
  /** New names of files that lost the name which links know them by. */
  const heirs = new Map<MergedFile, string>();
  for (const { path, header, offset } of changes) {
    const file = header.type === 'hardlink' ? tree.resolve(path, false)?.node.file : undefined;
    const name = nameOf(path, file?.header ?? header);
    if (name === undefined) continue;
    if (header.type !== 'hardlink' || file === undefined) {
      entries.set(offset, { path: name, ...(header.linkTarget !== undefined && { linkTarget: header.linkTarget }) });
      continue;
    }
    const target = nameOf(header.linkTarget!, file.header) ?? ownName(file, tree, nameOf) ?? heirs.get(file);
    if (target !== undefined) {
      entries.set(offset, { path: name, linkTarget: target });
      continue;
    }
    heirs.set(file, name);
    if (file.layer === number) entries.set(file.offset, { path: name });
    else entries.set(offset, { path: name, content: file });
  }
  return entries;
}

/** What a file is called by its own entry, if it is so still. */
function ownName(file: MergedFile, tree: MergedTree, nameOf: NameOf): string | undefined {
  const path = normalizeEntryPath(file.header.path);
  return tree.get(path)?.file === file ? nameOf(path, file.header) : undefined;
}

async function* renamed(
  entries: AsyncIterable<LayerEntry>,
  plan: LayerPlan,
  layers: readonly Layer[],
  options: RewriteLayerOptions,
): AsyncGenerator<LayerEntry> {
  for (const path of plan.whiteouts) yield whiteoutHeader(whiteoutPath(path));
  for await (const entry of entries) {
    const next = plan.entries.get(entry.offset!);
    if (next === undefined) continue;
    const { path, linkTarget, content } = next;
    if (content !== undefined) {
      yield { ...content.header, path, body: readBody(layers[content.layer]!, content.offset, options) };
      continue;
    }
    // What keeps its name keeps the form of it.
    const isHardLink = entry.type === 'hardlink' && linkTarget !== normalizeEntryPath(entry.linkTarget ?? '');
    const isMoved = path !== normalizeEntryPath(entry.path);
    yield { ...entry, ...(isMoved && { path }), ...(isHardLink && linkTarget !== undefined && { linkTarget }) };
  }
}

function whiteoutHeader(path: string): TarHeader {
  return { path, type: 'file', size: 0, mode: 0o644, uid: 0, gid: 0, mtime: 0 };
}

function ancestors(path: string): string[] {
  const parents: string[] = [];
  for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1))
    parents.push(path.slice(0, slash));
  return parents;
}

function parentsOf(names: Iterable<string>): Set<string> {
  const parents = new Set<string>();
  for (const name of names) {
    for (const parent of ancestors(name)) {
      if (parents.has(parent)) break;
      parents.add(parent);
    }
  }
  return parents;
}

/** @throws `PATH_INVALID` for what cannot be the name of a file. */
export function checkName(before: string, after: unknown): string {
  const name = typeof after === 'string' ? normalizeEntryPath(after) : '';
  if (name === '' || readWhiteout(name) !== undefined) {
    throw new StowageError(
      'PATH_INVALID',
      `${JSON.stringify(before)} was renamed to ${JSON.stringify(after)}, which is no name for a file. Give a path, or filter the file out.`,
      { path: before, name: after },
    );
  }
  return name;
}

function duplicate(path: string, other: string, name: string): StowageError {
  return new StowageError(
    'PATH_DUPLICATE',
    `${JSON.stringify(path)} and ${JSON.stringify(other)} were both renamed to ${JSON.stringify(name)}. Give each file a name of its own.`,
    { path: name, from: [path, other] },
  );
}

/** What turns one tree of files into another: names added, changed and removed, and the changeset that says so in a layer. */
import type { MergedFile, MergedNode, MergedTree } from './merged-tree.ts';

/** One name, in the trees that have it. */
export interface NameChange {
  /** `''` is the root. */
  path: string;
  before?: MergedFile;
  after?: MergedFile;
}

/** An entry of the layer to be written: a file of the second tree, or one more name for it. */
export interface PlannedEntry {
  path: string;
  file: MergedFile;
  /** The name that a hard link is to: in the lower layers, or earlier in this one. */
  linkTarget?: string;
}

/** Each list is in the order of the tree: parents first, then the bytes of the names. */
export interface TreeDiff {
  added: NameChange[];
  changed: NameChange[];
  removed: NameChange[];
  /** Paths to be whited out: of what is removed, only the tops, and only where nothing takes their place. */
  whiteouts: string[];
  entries: PlannedEntry[];
}

/**
 * Compares two trees. `isSame` is asked of files and of directories, and of what is in files too. Hard links count: names of
 * one file that become names of two are changed, though nothing else of them is.
 */
export function diffTrees(
  before: MergedTree,
  after: MergedTree,
  isSame: (before: MergedFile, after: MergedFile) => boolean,
): TreeDiff {
  const diff: TreeDiff = { added: [], changed: [], removed: [], whiteouts: [], entries: [] };
  const kept = matchFiles(before, after, isSame);
  const names = new Map<MergedFile, string>();
  for (const [file, { path }] of kept) names.set(file, path);
  const visit = (path: string, node: MergedNode, was: MergedNode | undefined): void => {
    const { file } = node;
    const isDirectory = node.children !== undefined;
    if (was !== undefined) {
      if (isDirectory && was.children !== undefined && isSame(was.file, file)) return;
      if (!isDirectory && kept.get(file)?.was === was.file) return;
    }
    if (was === undefined) diff.added.push({ path, after: file });
    else diff.changed.push({ path, before: was.file, after: file });
    const linkTarget = isDirectory ? undefined : names.get(file);
    if (linkTarget === undefined) names.set(file, path);
    diff.entries.push({ path, file, ...(linkTarget !== undefined && { linkTarget }) });
  };
  // A root that no layer describes is what an engine makes it.
  if (after.root.file.layer !== -1) visit('', after.root, before.root);
  for (const { path, node } of after) visit(path, node, before.get(path));
  for (const { path, node } of before) {
    if (after.get(path) !== undefined) continue;
    diff.removed.push({ path, before: node.file });
    const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    if (after.get(parent)?.children !== undefined) diff.whiteouts.push(path);
  }
  return diff;
}

/**
 * Which files of the first tree live on as which of the second. One can do so only as one, and only under names that it
 * has in both; all other names of the second are links to these.
 */
function matchFiles(
  before: MergedTree,
  after: MergedTree,
  isSame: (before: MergedFile, after: MergedFile) => boolean,
): Map<MergedFile, { was: MergedFile; path: string }> {
  const kept = new Map<MergedFile, { was: MergedFile; path: string }>();
  const taken = new Set<MergedFile>();
  for (const { path, node } of after) {
    if (node.children !== undefined || kept.has(node.file)) continue;
    const was = before.get(path);
    if (was === undefined || was.children !== undefined || taken.has(was.file) || !isSame(was.file, node.file))
      continue;
    taken.add(was.file);
    kept.set(node.file, { was: was.file, path });
  }
  return kept;
}

/**
 * The layers of an image from the top down, each read only when a question reaches it: what a layer settles (a file, a
 * whiteout, an opaque directory, a file where a directory was) is not asked of those below.
 */
import { type Changeset, type LayerChange, type ReadNamesOptions, readChangeset } from '../layer/changeset.ts';
import { PathWalk, pathIn } from '../layer/follow-path.ts';
import type { Layer } from '../layer/layer.ts';
import { type MergedNode, MergedTree, type Resolved, targetOf } from '../layer/merged-tree.ts';
import { resolveLimits } from '../limits.ts';

/** A stack of layers, the base first. What it has read of a layer it keeps: names, no bodies. */
export class LayerStack {
  readonly layers: readonly Layer[];
  readonly #options: ReadNamesOptions;
  readonly #changesets: (Promise<Changeset> | undefined)[] = [];
  readonly #views: (LayerView | undefined)[] = [];
  /** The lowest layers, merged as far as somebody needed them. */
  readonly #tree: MergedTree;
  #merged = 0;
  #merging: Promise<void> = Promise.resolve();

  constructor(layers: readonly Layer[], options: ReadNamesOptions) {
    this.layers = layers;
    this.#options = options;
    this.#tree = new MergedTree(options.limits);
  }

  /** The merged view of all layers. */
  async merge(): Promise<MergedTree> {
    await this.#mergeBelow(this.layers.length);
    return this.#tree;
  }

  /**
   * What a path leads to, by the path that was asked for, unless that has `..` in it. Of a file that the uppermost layer
   * names in so many words, that layer alone is read.
   */
  async lookUp(path: string, followLast: boolean): Promise<Resolved | undefined> {
    const segments = path.split('/').filter(isName);
    if (segments.includes('..')) return this.resolve(path, followLast);
    const asked = segments.join('/');
    const named = await this.#findOnTop(asked);
    if (named !== undefined && !(followLast && targetOf(named) !== undefined)) return { path: asked, node: named };
    const found = await this.resolve(path, followLast);
    return found && { path: asked, node: found.node };
  }

  /** Where a path leads, as `MergedTree.resolve` has it. */
  async resolve(path: string, followLast: boolean): Promise<Resolved | undefined> {
    if (this.#merged === this.layers.length) return this.#tree.resolve(path, followLast);
    const walk = new PathWalk<MergedNode>(path, undefined, resolveLimits(this.#options.limits));
    for (let name = walk.next(); name !== undefined; name = walk.next()) {
      const node = await this.#find(pathIn(walk.path, name));
      walk.steps.push({ name, node });
      const target = node && targetOf(node);
      if (target !== undefined && (followLast || !walk.isDone)) walk.follow(target);
    }
    // The root is looked for only where a path leads there.
    const node = walk.path === '' ? await this.#find('') : walk.last.node;
    return node && { path: walk.path, node };
  }

  /** The node of a path, none of whose parents is a symlink. */
  async #find(path: string): Promise<MergedNode | undefined> {
    for (let number = this.layers.length - 1; number >= this.#merged; number--) {
      const view = await this.#view(number);
      if (!view.isPlain) {
        await this.#mergeBelow(number + 1);
        break;
      }
      const found = view.find(path);
      if (found !== undefined) return found ?? undefined;
    }
    return this.#tree.get(path);
  }

  /** A file that the uppermost layer with any content names in so many words. */
  async #findOnTop(path: string): Promise<MergedNode | undefined> {
    for (let number = this.layers.length - 1; number >= this.#merged; number--) {
      const view = await this.#view(number);
      if (!view.isEmpty) return view.named(path);
    }
    return undefined;
  }

  async #view(number: number): Promise<LayerView> {
    this.#views[number] ??= new LayerView(await this.#changeset(number), number, this.#options);
    return this.#views[number];
  }

  #changeset(number: number): Promise<Changeset> {
    let reading = this.#changesets[number];
    if (reading === undefined) {
      reading = readChangeset(this.layers[number]!, this.#options);
      this.#changesets[number] = reading;
      // Whatever failed may go well the next time.
      reading.catch(() => delete this.#changesets[number]);
    }
    return reading;
  }

  /** Merges the lowest `count` layers. One call goes after another, so that each layer is applied once. */
  #mergeBelow(count: number): Promise<void> {
    const merge = async (): Promise<void> => {
      while (this.#merged < count) {
        const reading = this.#changeset(this.#merged);
        // One layer ahead: while one waits for its bytes to be inflated, the other's names are read.
        if (this.#merged + 1 < count) this.#changeset(this.#merged + 1);
        const changeset = await reading;
        this.#tree.apply(changeset, this.#merged);
        // From here on the tree answers for this layer.
        delete this.#changesets[this.#merged];
        delete this.#views[this.#merged];
        this.#merged++;
      }
    };
    const merging = this.#merging.catch(() => {}).then(merge);
    this.#merging = merging;
    return merging;
  }
}

/** One layer by itself, as far as what it says can be told without the layers below. */
class LayerView {
  readonly isEmpty: boolean;
  /**
   * Whether each entry comes after those of all its parents, and each hard link after its target, as most layers have it.
   * In any other layer a name may lie below a symlink of a lower layer, and so be that of a file elsewhere.
   */
  readonly isPlain: boolean;
  readonly #tree: MergedTree;
  readonly #hidden = new Set<string>();
  readonly #opaque = new Set<string>();
  /** Of a layer that is not plain. */
  readonly #nameFiles: () => Map<string, MergedNode>;
  #named: Map<string, MergedNode> | undefined;

  constructor(changeset: Changeset, number: number, { limits }: ReadNamesOptions) {
    const { changes, whiteouts } = changeset;
    this.isEmpty = changes.length === 0 && whiteouts.length === 0;
    this.isPlain = isPlain(changeset);
    this.#tree = new MergedTree(limits);
    this.#nameFiles = () => namedFiles(changes, number);
    if (!this.isPlain) return;
    for (const { kind, path } of whiteouts) (kind === 'opaque' ? this.#opaque : this.#hidden).add(path);
    this.#tree.apply({ ...changeset, whiteouts: [] }, number);
  }

  /** The node; `null` where the layer says that there is none; `undefined` where that is for the layers below to say. */
  find(path: string): MergedNode | null | undefined {
    let node = this.#tree.root;
    if (path === '') return node.file.layer === -1 ? undefined : node;
    let isHidden = this.#opaque.has('');
    for (let end = path.indexOf('/'), start = 0; ; end = path.indexOf('/', start)) {
      const isLast = end === -1;
      const prefix = isLast ? path : path.slice(0, end);
      const child = node.children!.get(prefix.slice(start));
      isHidden ||= this.#hidden.has(prefix);
      if (child === undefined) return isHidden ? null : undefined;
      if (isLast) return child;
      if (child.children === undefined) return null;
      isHidden ||= this.#opaque.has(prefix);
      node = child;
      start = end + 1;
    }
  }

  /** A file, no directory, whose entry has this very path. */
  named(path: string): MergedNode | undefined {
    if (this.isPlain) {
      const node = this.#tree.get(path);
      return node?.children === undefined ? node : undefined;
    }
    this.#named ??= this.#nameFiles();
    return this.#named.get(path);
  }
}

function isPlain({ changes, whiteouts }: Changeset): boolean {
  const directories = new Set(['']);
  const files = new Set<string>();
  for (const { path, header } of changes) {
    if (!directories.has(parentOf(path))) return false;
    if (header.type === 'directory') {
      if (files.has(path)) return false;
      directories.add(path);
    } else {
      if (directories.has(path)) return false;
      if (header.type === 'hardlink' && !files.has(header.linkTarget!)) return false;
      files.add(path);
    }
  }
  return whiteouts.every(({ kind, path }) => directories.has(kind === 'opaque' ? path : parentOf(path)));
}

/**
 * Files that are what they are called, wherever that is: even below a symlink, following it leads to the entry again. A
 * layer that gives one file two names by way of such symlinks contradicts itself; which of the two is right is open.
 */
function namedFiles(changes: readonly LayerChange[], number: number): Map<string, MergedNode> {
  const named = new Map<string, MergedNode>();
  const unclear = new Set<string>();
  for (const { path, header, offset } of changes) {
    if (header.type === 'directory' || header.type === 'hardlink') unclear.add(path);
    else named.set(path, { file: { header, layer: number, offset }, children: undefined });
  }
  const links = new Set(changes.filter(({ header }) => header.type === 'hardlink').map(({ path }) => path));
  for (const { path } of changes) {
    // Of a file and what lies below it, which stays depends on more than the names.
    for (let parent = parentOf(path); parent !== ''; parent = parentOf(parent)) {
      if (named.has(parent) || links.has(parent)) unclear.add(path).add(parent);
    }
  }
  for (const path of unclear) named.delete(path);
  return named;
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

function isName(segment: string): boolean {
  return segment !== '' && segment !== '.';
}

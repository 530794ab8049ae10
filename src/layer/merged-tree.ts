/**
 * What a stack of layers amounts to: the tree of files that an engine would unpack, as an index of names. Layers are applied
 * from the base up, each as layer.md's "Applying Changesets" has it: whiteouts first, wherever they stand, then entries.
 */
import { StowageError } from '../errors.ts';
import { type Limits, limitExceeded, resolveLimits } from '../limits.ts';
import type { TarHeader } from '../tar/entry.ts';
import { type Changeset, type LayerChange, nodeWeight, weightOf } from './changeset.ts';
import { findBelow, followPath, pathIn, pathOf, type Step } from './follow-path.ts';
import { compareBytewise } from './path-order.ts';

/** A file as a file system has it: one, however many names hard links give it. */
export interface MergedFile {
  /** Of the entry that made it; its `path` is the one there. Never `hardlink`: a hard link is a further name of a file. */
  readonly header: TarHeader;
  /** Number of the layer whose entry made it, 0 for the base; -1 for a directory that no entry names. */
  readonly layer: number;
  /** Where that entry's header starts in the uncompressed layer; -1 for a directory that no entry names. */
  readonly offset: number;
}

/** A name in the tree. Two names of one file have the same `file` object. */
export interface MergedNode {
  file: MergedFile;
  /** Of a directory, by name, in no order; `undefined` for all else. */
  children: Map<string, MergedNode> | undefined;
}

/** Where a path leads. */
export interface Resolved {
  /** The path without any symlink in it; `''` is the root. */
  path: string;
  node: MergedNode;
}

/** A tree that changesets are applied to. Iterates depth first, the children of a directory in the order of their bytes. */
export class MergedTree implements Iterable<Resolved> {
  readonly root: MergedNode;
  readonly #limits: Limits;
  #weight = 0;

  constructor(limits?: Partial<Limits>) {
    this.#limits = resolveLimits(limits);
    this.root = impliedDirectory('');
  }

  /**
   * Applies the next layer. Entries below a symlink of a lower layer go where it points, within the image, as containerd and
   * umoci unpack them; parents that no entry names are made up (0755, 0:0, of time 0); an entry below what is no directory
   * takes its place. A tree whose `apply` threw is half applied: give it up.
   *
   * @throws `LINK_INVALID` for a hard link to nothing or to a directory, `LINK_LOOP` for an entry below symlinks in a circle,
   * `LIMIT_EXCEEDED` (`indexBytes`).
   */
  apply(changeset: Changeset, layer: number): void {
    const removed = this.#applyWhiteouts(changeset);
    for (const change of changeset.changes) this.#put(change, layer, changeset.what, removed);
  }

  /** All names but the root's own. The tree must not be changed meanwhile. */
  *[Symbol.iterator](): Generator<Resolved, void, void> {
    yield* this.walk('');
  }

  /** The names below a directory, that of the directory itself left out. `path` must be without symlinks, as `resolve` gives it. */
  *walk(path: string): Generator<Resolved, void, void> {
    const node = this.get(path);
    const stack: Iterator<Resolved>[] = node === undefined ? [] : [sortedChildren({ path, node })];
    while (stack.length > 0) {
      const { done, value } = stack.at(-1)!.next();
      if (done) {
        stack.pop();
        continue;
      }
      yield value;
      if (value.node.children !== undefined) stack.push(sortedChildren(value));
    }
  }

  /** The node of exactly this path, no symlink followed. */
  get(path: string): MergedNode | undefined {
    let node: MergedNode | undefined = this.root;
    if (path === '') return node;
    for (const name of path.split('/')) {
      node = node.children?.get(name);
      if (node === undefined) return undefined;
    }
    return node;
  }

  /**
   * Where a path leads when the symlinks in it are followed, the last one only if `followLast`. Nothing leads out of the
   * tree: `/` is its root, and `..` of the root is the root. `undefined` where nothing is there.
   *
   * @throws `LINK_LOOP` past `limits.linkHops`.
   */
  resolve(path: string, followLast: boolean): Resolved | undefined {
    const found = this.#follow(path, followLast);
    const node = found.at(-1)!.node;
    return node === undefined ? undefined : { path: pathOf(found), node };
  }

  /** As far as a path leads; what lies past the last directory gets steps without a node. */
  #follow(path: string, followLast: boolean, isMoot?: (path: string) => boolean): Step<MergedNode>[] {
    return followPath(this.root, path, { targetOf, followLast, isMoot, limits: this.#limits });
  }

  /** Gives what was removed by name, as hard links of the same layer may name it still: tars put either first. */
  #applyWhiteouts({ whiteouts, changes, what }: Changeset): Map<string, { node: MergedNode }> {
    const removed = new Map<string, { node: MergedNode }>();
    if (whiteouts.length === 0) return removed;
    const directories = new Set<string>();
    for (const { path, header } of changes) if (header.type === 'directory') directories.add(path);
    // Where the layer itself puts a directory in a symlink's place, its whiteouts mean what is below that directory: nothing.
    const isMoot = (path: string): boolean => directories.has(path);
    for (const { kind, path, offset } of whiteouts) {
      const found = naming(what, path, offset, () => this.#follow(path, kind === 'opaque', isMoot));
      const node = found.at(-1)!.node;
      if (node === undefined) continue;
      const resolved = pathOf(found);
      if (kind === 'opaque') {
        for (const [name, child] of node.children ?? []) removed.set(pathIn(resolved, name), { node: child });
        node.children?.clear();
      } else if (found.length > 1) {
        removed.set(resolved, { node });
        found.at(-2)!.node!.children!.delete(found.at(-1)!.name);
      }
    }
    return removed;
  }

  #put(change: LayerChange, layer: number, what: string, removed: ReadonlyMap<string, { node: MergedNode }>): void {
    const { path, header, offset } = change;
    if (path === '') {
      // The root is a directory whatever an entry says: an engine has made it before it reads any layer.
      if (header.type === 'directory') this.root.file = { header, layer, offset };
      return;
    }
    const slash = path.lastIndexOf('/');
    const name = path.slice(slash + 1);
    const parent =
      slash === -1 ? this.root : naming(what, path, offset, () => this.#makeDirectory(path.slice(0, slash)));
    const known = parent.children!.get(name);
    this.#weigh(weightOf(header), what);
    if (header.type === 'directory') {
      const children = known?.children ?? new Map<string, MergedNode>();
      parent.children!.set(name, { file: { header, layer, offset }, children });
    } else if (header.type === 'hardlink') {
      const file = this.#linked(header.linkTarget!, removed);
      if (file === undefined) throw linkInvalid(what, change);
      parent.children!.set(name, { file, children: undefined });
    } else {
      parent.children!.set(name, { file: { header, layer, offset }, children: undefined });
    }
  }

  /** The directory that a path leads to; made, with its parents, where there is none. */
  #makeDirectory(path: string): MergedNode {
    // Most entries come after that of their parent, which is no symlink.
    const plain = this.get(path);
    if (plain?.children !== undefined) return plain;
    let node = this.root;
    let made = '';
    for (const { name } of this.#follow(path, true).slice(1)) {
      made = pathIn(made, name);
      let child = node.children!.get(name);
      if (child?.children === undefined) {
        this.#weigh(nodeWeight + 2 * made.length);
        child = impliedDirectory(made);
        node.children!.set(name, child);
      }
      node = child;
    }
    return node;
  }

  #linked(target: string, removed: ReadonlyMap<string, { node: MergedNode }>): MergedFile | undefined {
    const here = this.resolve(target, false)?.node ?? findBelow(removed, target)?.node;
    return here === undefined || here.children !== undefined ? undefined : here.file;
  }

  #weigh(bytes: number, what = 'the image'): void {
    this.#weight += bytes;
    if (this.#weight > this.#limits.indexBytes) {
      throw limitExceeded('indexBytes', this.#limits, `${what}: the index of all names`);
    }
  }
}

/** What a directory holds, by name, in the order of their bytes. */
export function* sortedChildren({ path, node: { children } }: Resolved): Generator<Resolved, void, void> {
  for (const name of [...(children?.keys() ?? [])].sort(compareBytewise)) {
    yield { path: pathIn(path, name), node: children!.get(name)! };
  }
}

/** Where a symlink points; `undefined` for all else. */
export function targetOf({ file: { header } }: MergedNode): string | undefined {
  return header.type === 'symlink' ? (header.linkTarget ?? '') : undefined;
}

function impliedDirectory(path: string): MergedNode {
  const header: TarHeader = { path, type: 'directory', size: 0, mode: 0o755, uid: 0, gid: 0, mtime: 0 };
  return { file: { header, layer: -1, offset: -1 }, children: new Map() };
}

/** Runs what may find a loop, and says in whose entry. */
function naming<T>(what: string, path: string, offset: number, task: () => T): T {
  try {
    return task();
  } catch (error) {
    if (!(error instanceof StowageError) || error.code !== 'LINK_LOOP') throw error;
    const message = `${what}: entry ${JSON.stringify(path)} at byte ${offset}: ${error.message}`;
    throw new StowageError('LINK_LOOP', message, { ...error.details, entry: path, offset }, { cause: error });
  }
}

function linkInvalid(what: string, { path, header, offset }: LayerChange): StowageError {
  return new StowageError(
    'LINK_INVALID',
    `${what}: entry ${JSON.stringify(path)} at byte ${offset} is a hard link to ${JSON.stringify(header.linkTarget)}, which is no file at that point. Build the layer anew.`,
    { path, entry: path, target: header.linkTarget, offset },
  );
}

/**
 * What lies in the directory that layers are unpacked into, held in memory. Symlinks are resolved here and never by the kernel: every
 * directory on the way of a path that is handed to it is one that is known to be a directory, as nobody else writes there.
 */
import { nodeWeight, weightOf } from '../layer/changeset.ts';
import { followPath, pathIn, pathOf, type Step } from '../layer/follow-path.ts';
import { type Limits, limitExceeded } from '../limits.ts';
import type { EntryType, TarHeader } from '../tar/entry.ts';

/** One name. */
export interface DiskNode {
  kind: Exclude<EntryType, 'hardlink'>;
  /** Number of the last layer that put it, or something below it; -1 for what was there before. */
  layer: number;
  /** Of a directory, by name. */
  children?: Map<string, DiskNode>;
  /** Where a symlink points. */
  target?: string;
  /** Of a directory: its attributes, which are set last. */
  header?: TarHeader;
  /** Of a directory: whether it or a name in it was changed, so that its attributes are to be set. */
  isChanged?: boolean;
  /** Of all else: what is left to be done at the end. All names of one file share it. */
  left?: LeftOver;
}

/** A device or fifo, which is made at the end, or a file with extended attributes, which are set at the end. */
export interface LeftOver {
  header: TarHeader;
}

/** Where a path leads. */
export interface Place {
  /** Without any symlink in it; `''` is the root. */
  path: string;
  node: DiskNode;
}

/** The tree, from the root down. */
export class DiskTree {
  readonly root: DiskNode;
  readonly #limits: Limits;
  #weight = 0;
  #lastParent: (Place & { asked: string; layer: number }) | undefined;

  constructor(limits: Limits, root: DiskNode) {
    this.#limits = limits;
    this.root = root;
  }

  /** Where a path leads within the tree, the last symlink followed only if `followLast`; `undefined` where nothing is there. */
  find(path: string, followLast: boolean): Place | undefined {
    const steps = this.#follow(path, followLast);
    const node = steps.at(-1)!.node;
    return node && { path: pathOf(steps), node };
  }

  /** The directory that a path leads to: those that are missing, or stand where something else does, are made by `make`. */
  directory(path: string, layer: number, make: (path: string, parent: Place) => DiskNode): Place {
    const last = this.#lastParent;
    if (last?.asked === path && last.layer === layer) return last;
    let place: Place = { path: '', node: this.root };
    this.root.layer = layer;
    for (const { name } of path === '' ? [] : this.#follow(path, true).slice(1)) {
      const child = place.node.children!.get(name);
      const below = pathIn(place.path, name);
      place = { path: below, node: child?.children ? child : make(below, place) };
      place.node.layer = layer;
    }
    this.#lastParent = { ...place, asked: path, layer };
    return place;
  }

  /** To be called when a directory or symlink goes: paths may lead elsewhere now. */
  forget(): void {
    this.#lastParent = undefined;
  }

  /** Counts what a name costs to hold. */
  weigh(header: TarHeader | string): void {
    this.#weight += typeof header === 'string' ? nodeWeight + 2 * header.length : weightOf(header);
    if (this.#weight > this.#limits.indexBytes) {
      throw limitExceeded('indexBytes', this.#limits, 'The index of all names');
    }
  }

  /** All names below the root, directories after what they hold. */
  *[Symbol.iterator](): Generator<Place, void, void> {
    const stack = [{ path: '', node: this.root, left: this.root.children!.entries() }];
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const { done, value } = top.left.next();
      if (done) {
        stack.pop();
        if (stack.length > 0) yield { path: top.path, node: top.node };
        continue;
      }
      const [name, node] = value;
      const path = pathIn(top.path, name);
      if (node.children) stack.push({ path, node, left: node.children.entries() });
      else yield { path, node };
    }
  }

  /** As far as it leads; what lies past the last name that is there gets steps without a node. */
  #follow(path: string, followLast: boolean): Step<DiskNode>[] {
    const steps = followPath(this.root, path, { targetOf, followLast, limits: this.#limits });
    if (steps.length > this.#limits.pathDepth + 1)
      throw limitExceeded('pathDepth', this.#limits, 'The path, its symlinks followed');
    return steps;
  }
}

/** Whether it is a device or a fifo. */
export function isSpecial({ kind }: DiskNode): boolean {
  return kind === 'fifo' || kind === 'character-device' || kind === 'block-device';
}

/** Whether it is not on disk before the end. */
export function isMadeLate(node: DiskNode): boolean {
  return node.left !== undefined && isSpecial(node);
}

function targetOf({ target }: DiskNode): string | undefined {
  return target;
}

/** A path followed through the symlinks of a tree, never out of it: `/` is the tree's root, and `..` of the root is the root. */
import { StowageError } from '../errors.ts';
import type { Limits } from '../limits.ts';

/** A name on the way, and what was found there; nothing where the path leads past what is there. */
export interface Step<Node> {
  name: string;
  node: Node | undefined;
}

/** A path on its way: it asks for one name after another, and whoever knows the tree answers, at once or later. */
export class PathWalk<Node> {
  /** From the root, whose name is empty, without any symlink that was followed. */
  readonly steps: Step<Node>[];
  readonly #asked: string;
  readonly #limits: Limits;
  readonly #left: string[];
  #hops = 0;

  constructor(path: string, root: Node | undefined, limits: Limits) {
    this.#asked = path;
    this.#limits = limits;
    this.#left = path.split('/').reverse();
    this.steps = [{ name: '', node: root }];
  }

  /** The last step. */
  get last(): Step<Node> {
    return this.steps.at(-1)!;
  }

  /** The path so far; `''` is the root. */
  get path(): string {
    return pathOf(this.steps);
  }

  /** Whether no name is left to be asked for. */
  get isDone(): boolean {
    return !this.#left.some((name) => name !== '' && name !== '.');
  }

  /** The next name to look for in what `last` found; `undefined` at the end. */
  next(): string | undefined {
    for (let name = this.#left.pop(); name !== undefined; name = this.#left.pop()) {
      if (name === '' || name === '.') continue;
      if (name !== '..') return name;
      if (this.steps.length > 1) this.steps.pop();
    }
    return undefined;
  }

  /**
   * Goes where the symlink points that is the last step.
   *
   * @throws `LINK_LOOP` past `limits.linkHops`.
   */
  follow(target: string): void {
    this.steps.length = target.startsWith('/') ? 1 : this.steps.length - 1;
    this.#left.push(...target.split('/').reverse());
    // A link may be short and name the next one twice over: what waits is bounded as a path is.
    if (++this.#hops <= this.#limits.linkHops && this.#left.length <= this.#limits.pathBytes) return;
    throw new StowageError(
      'LINK_LOOP',
      `${JSON.stringify(this.#asked)} leads through more than ${this.#limits.linkHops} symlinks, so it leads nowhere. Look at them with readlink.`,
      { path: this.#asked },
    );
  }
}

/**
 * The steps of a path through a tree in memory. `targetOf` says where a symlink points; the last name is followed only if
 * `followLast`, and none of which `isMoot` says that it will be no symlink.
 *
 * @throws `LINK_LOOP`
 */
export function followPath<Node extends { children?: ReadonlyMap<string, Node> | undefined }>(
  root: Node,
  path: string,
  options: {
    targetOf: (node: Node) => string | undefined;
    followLast: boolean;
    isMoot?: (path: string) => boolean;
    limits: Limits;
  },
): Step<Node>[] {
  const { targetOf, followLast, isMoot, limits } = options;
  const walk = new PathWalk(path, root, limits);
  for (let name = walk.next(); name !== undefined; name = walk.next()) {
    const node = walk.last.node?.children?.get(name);
    walk.steps.push({ name, node });
    const target = node && targetOf(node);
    if (target === undefined || (!followLast && walk.isDone) || isMoot?.(walk.path)) continue;
    walk.follow(target);
  }
  return walk.steps;
}

/** What a path names in trees that were taken out of a larger one, by the paths of their tops: the top's, and the rest from there on. */
export function findBelow<Node extends { children?: ReadonlyMap<string, Node> | undefined }>(
  tops: ReadonlyMap<string, { node: Node }>,
  path: string,
): { node: Node; top: string; rest: string } | undefined {
  for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
    const top = path.slice(0, end);
    let node = tops.get(top)?.node;
    if (node === undefined) continue;
    const rest = path.slice(end + 1);
    for (const name of rest === '' ? [] : rest.split('/')) node = node?.children?.get(name);
    return node && { node, top, rest };
  }
  return undefined;
}

/** The path that these steps make. */
export function pathOf(steps: readonly Step<unknown>[]): string {
  return steps
    .slice(1)
    .map(({ name }) => name)
    .join('/');
}

/** The path of a name in a directory, `''` being the root. */
export function pathIn(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`;
}

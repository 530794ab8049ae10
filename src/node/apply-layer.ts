/** Layers applied to a directory, entry by entry as they are read (layer.md, "Applying Changesets"). */
import { closeSync, mkdirSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import type { OnProgress } from '../bytes/progress.ts';
import { StowageError } from '../errors.ts';
import { isAbsent, type LayerChange, readChange, type Whiteout } from '../layer/changeset.ts';
import { findBelow, pathIn } from '../layer/follow-path.ts';
import type { Layer } from '../layer/layer.ts';
import { layerEntries } from '../layer/layer-entries.ts';
import { type Limits, limitExceeded } from '../limits.ts';
import type { TarHeader } from '../tar/entry.ts';
import type { TarEntry } from '../tar/read-tar.ts';
import { isHole } from '../tar/sparse.ts';
import { checkName, type Disk, diskPath, type EntryPlace, failedAt, linksSymlinks, shown } from './disk-file.ts';
import { type DiskNode, type DiskTree, isMadeLate, isSpecial, type Place } from './disk-tree.ts';
import { removeTree } from './stage.ts';

export interface ApplyOptions {
  /** A free name on the same file system, for a directory of what a layer removes while it is applied. */
  removed: string;
  /** Of a file, the mode that it gets at once. */
  modeOf: (header: TarHeader) => number;
  limits: Limits;
  onWarning: ((message: string) => void) | undefined;
  onProgress: OnProgress | undefined;
  signal: AbortSignal | undefined;
}

/** Applies layers, one after another. After a failure the directory is half changed. */
export class LayerApplier {
  readonly #tree: DiskTree;
  readonly #disk: Disk;
  readonly #options: ApplyOptions;
  #layer = -1;
  #what = '';
  /** What this layer's whiteouts removed, by path, as hard links of the same layer may name it still: tars put either first. */
  #removed = new Map<string, Removed>();
  #removals = 0;
  #entries = 0;
  #bytes = 0;

  constructor(tree: DiskTree, disk: Disk, options: ApplyOptions) {
    this.#tree = tree;
    this.#disk = disk;
    this.#options = options;
  }

  /** Applies the next layer. A non-distributable one that is not held is passed over. */
  async apply(layer: Layer): Promise<void> {
    const { limits, onWarning, onProgress, signal } = this.#options;
    this.#layer++;
    this.#what = `layer ${layer.descriptor.digest}`;
    let written = 0;
    let turns = 0;
    try {
      const entries = layerEntries(layer, { limits, onWarning, signal, diffId: layer.diffId });
      for await (const entry of entries) {
        const { header, offset } = entry;
        if (++this.#entries > limits.tarEntries) throw limitExceeded('tarEntries', limits, 'The layers, all entries');
        const change = readChange(header, offset, this.#what, limits);
        const place: EntryPlace = { layer: this.#what, entry: header.path, offset };
        if (change === undefined) onWarning?.(`${shown(place)} lies in a whiteout. It was passed over.`);
        const file = change && this.#take(change, place);
        if (file !== undefined) written += await this.#fill(file, entry, place);
        onProgress?.({
          phase: 'write',
          descriptor: layer.descriptor,
          path: header.path,
          transferred: offset + header.size,
        });
        // Synchronous as it all is, others get their turn.
        if (++turns % 512 === 0 || written > 8 * 1024 * 1024) {
          written = 0;
          await setImmediate();
          signal?.throwIfAborted();
        }
      }
    } catch (error) {
      if (!isAbsent(error, layer)) throw error;
      onWarning?.(`${this.#what} is non-distributable and not held here. Its files were passed over.`);
    }
    this.#removed.clear();
    if (this.#removals > 0) await removeTree(this.#options.removed);
    this.#removals = 0;
  }

  /** Makes what an entry says; of a file, gives its descriptor. */
  #take(change: LayerChange | Whiteout, place: EntryPlace): number | undefined {
    try {
      if (!('kind' in change)) return this.#put(change);
      this.#whiteOut(change);
    } catch (error) {
      throw failedAt(error, place);
    }
    return undefined;
  }

  #whiteOut({ kind, path }: Whiteout): void {
    const slash = path.lastIndexOf('/');
    const parent = this.#tree.find(kind === 'opaque' ? path : path.slice(0, Math.max(slash, 0)), true);
    if (parent?.node.children === undefined) return;
    if (kind === 'opaque') {
      this.#removeLower(parent);
      return;
    }
    const name = path.slice(slash + 1);
    const node = parent.node.children.get(name);
    if (node === undefined) return;
    if (node.layer < this.#layer) this.#remove(parent, name, node, true);
    else if (node.children) this.#removeLower({ path: pathIn(parent.path, name), node });
  }

  /** Removes what this layer has not put there: whiteouts hide lower layers only, wherever in the tar they stand. */
  #removeLower(directory: Place): void {
    for (const [name, node] of [...directory.node.children!]) {
      if (node.layer < this.#layer) this.#remove(directory, name, node, true);
      else if (node.children) this.#removeLower({ path: pathIn(directory.path, name), node });
    }
  }

  /** Takes a name away. What a hard link may still name is moved aside until the layer ends. */
  #remove(parent: Place, name: string, node: DiskNode, isWhiteout: boolean): void {
    const path = pathIn(parent.path, name);
    if (!isMadeLate(node)) {
      if (node.children?.size === 0) this.#disk.removeEmpty(path);
      else if (!isWhiteout && !node.children) this.#disk.unlink(path);
      else this.#moveOut(path, node);
    } else if (isWhiteout) {
      this.#removed.set(path, { node, at: '' });
    }
    parent.node.children!.delete(name);
    parent.node.isChanged = true;
    if (node.children || node.target !== undefined) this.#tree.forget();
  }

  #moveOut(path: string, node: DiskNode): void {
    const { removed } = this.#options;
    if (this.#removals === 0) mkdirSync(removed, 0o700);
    const at = `${removed}/${this.#removals++}`;
    this.#disk.moveOut(path, at);
    this.#removed.set(path, { node, at });
  }

  #put(change: LayerChange): number | undefined {
    const { path, header } = change;
    if (path === '') {
      // The root is a directory whatever an entry says.
      if (header.type === 'directory') Object.assign(this.#tree.root, { header, isChanged: true, layer: this.#layer });
      return undefined;
    }
    checkName(path);
    this.#tree.weigh(header);
    const slash = path.lastIndexOf('/');
    const name = path.slice(slash + 1);
    const parent = this.#tree.directory(slash === -1 ? '' : path.slice(0, slash), this.#layer, this.#makeParent);
    const known = parent.node.children!.get(name);
    parent.node.isChanged = true;
    if (header.type === 'hardlink') {
      this.#link(change, parent, name, known);
      return undefined;
    }
    if (header.type === 'directory') {
      if (known?.children === undefined) this.#makeDirectory(parent, name, known);
      Object.assign(parent.node.children!.get(name)!, { header, isChanged: true, layer: this.#layer });
      return undefined;
    }
    if (known) this.#remove(parent, name, known, false);
    const at = pathIn(parent.path, name);
    const node: DiskNode = { kind: header.type, layer: this.#layer };
    if (isSpecial(node) || header.xattrs) node.left = { header };
    let file: number | undefined;
    if (header.type === 'file') {
      file = this.#disk.create(at);
    } else if (header.type === 'symlink') {
      node.target = header.linkTarget ?? '';
      this.#disk.makeSymlink(at, header);
    }
    parent.node.children!.set(name, node);
    return file;
  }

  /** A directory that no entry names yet, or that takes the place of what is none. */
  readonly #makeParent = (path: string, parent: Place): DiskNode => {
    const name = path.slice(path.lastIndexOf('/') + 1);
    this.#tree.weigh(path);
    const node = this.#makeDirectory(parent, name, parent.node.children!.get(name));
    parent.node.isChanged = true;
    return node;
  };

  #makeDirectory(parent: Place, name: string, known: DiskNode | undefined): DiskNode {
    if (known) this.#remove(parent, name, known, false);
    const path = pathIn(parent.path, name);
    this.#disk.makeDirectory(path);
    const header: TarHeader = { path, type: 'directory', size: 0, mode: 0o755, uid: 0, gid: 0, mtime: 0 };
    const node: DiskNode = { kind: 'directory', layer: this.#layer, children: new Map(), header, isChanged: true };
    parent.node.children!.set(name, node);
    return node;
  }

  #link(change: LayerChange, parent: Place, name: string, known: DiskNode | undefined): void {
    const target = change.header.linkTarget!;
    const here = this.#tree.find(target, false);
    const there = here ?? this.#findRemoved(target);
    if (there === undefined || there.node.children) throw linkInvalid(change);
    const { node } = there;
    if (node === known) {
      node.layer = this.#layer;
      return;
    }
    const path = pathIn(parent.path, name);
    const below = known?.children && here?.path.startsWith(`${path}/`) ? here.path.slice(path.length + 1) : undefined;
    if (known) this.#remove(parent, name, known, false);
    if (!isMadeLate(node)) {
      const moved = below === undefined ? undefined : `${this.#removed.get(path)!.at}/${below}`;
      const from = moved ?? (here ? this.#disk.at(here.path) : (there as Removed).at);
      if (node.target !== undefined && !linksSymlinks) {
        this.#disk.makeSymlink(path, { ...change.header, linkTarget: node.target });
      } else {
        this.#disk.link(typeof from === 'string' ? diskPath(from) : from, path);
      }
    }
    parent.node.children!.set(name, { ...node, layer: this.#layer });
  }

  #findRemoved(path: string): Removed | undefined {
    const found = findBelow(this.#removed, path);
    if (found === undefined) return undefined;
    const { at } = this.#removed.get(found.top)!;
    return { node: found.node, at: found.rest === '' ? at : `${at}/${found.rest}` };
  }

  async #fill(file: number, { header, body, sparse }: TarEntry, place: EntryPlace): Promise<number> {
    let isOpen = true;
    try {
      if (header.size > 0) {
        this.#bytes += header.size;
        if (this.#bytes > this.#options.limits.inflatedBytes) {
          throw limitExceeded('inflatedBytes', this.#options.limits, `${shown(place)}: all files of the layers`);
        }
        let position = 0;
        for await (const bytes of body) {
          // What the archive left out of a sparse file stays a hole on disk.
          if (!isHole(bytes)) this.#disk.write(file, bytes, position);
          position += bytes.length;
        }
        if (sparse) this.#disk.lengthen(file, header.size);
      }
      isOpen = false;
      this.#disk.finish(file, header, this.#options.modeOf(header));
    } catch (error) {
      throw error instanceof StowageError ? error : failedAt(error, place);
    } finally {
      if (isOpen) closeSync(file);
    }
    return header.size;
  }
}

/** What was moved aside: its node, and where it lies now. */
interface Removed {
  node: DiskNode;
  at: string;
}

function linkInvalid({ path, header }: LayerChange): StowageError {
  return new StowageError(
    'LINK_INVALID',
    `It is a hard link to ${JSON.stringify(header.linkTarget)}, which is no file at that point. Build the layer anew.`,
    { path, target: header.linkTarget },
  );
}

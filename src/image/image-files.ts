/** The file system of an image, to look into: what a container would see, read out of the layers without unpacking them. */
import { readBytes, toStream } from '../bytes/byte-source.ts';
import { StowageError } from '../errors.ts';
import type { ReadNamesOptions } from '../layer/changeset.ts';
import type { Layer } from '../layer/layer.ts';
import { type MergedNode, type Resolved, sortedChildren } from '../layer/merged-tree.ts';
import { type ReadBodyOptions, readBody } from '../layer/read-body.ts';
import { defaultLimits } from '../limits.ts';
import type { EntryType, TarHeader } from '../tar/entry.ts';
import { compileGlob } from './glob.ts';
import { LayerStack } from './layer-stack.ts';

/** `signal` ends whatever is read for the index of names, and bodies too. */
export type ImageFilesOptions = ReadNamesOptions;

/** What the image says of one file. */
export interface FileStat extends Omit<TarHeader, 'path' | 'type'> {
  /** Relative to the image's root, whose own path is `''`. */
  path: string;
  /** A hard link is one of a file's names, and its `type` that of the file. */
  type: Exclude<EntryType, 'hardlink'>;
  /** Number of the layer that the file is of, 0 for the base; -1 for a directory that no layer names (0755, 0:0). */
  layer: number;
}

export interface OpenFileOptions {
  /**
   * Whether the layer's blob is read to its end, so that its digest vouches for the content: the last chunk comes only
   * then. Default true. When it was indexed the blob was verified, so turn this off where it cannot have changed since.
   */
  verify?: boolean;
  signal?: AbortSignal;
}

export interface ReadFileOptions extends OpenFileOptions {
  /** Bytes that the file may have at most. Default `limits.bufferedBytes`, 16 MiB. */
  maximum?: number;
}

/**
 * The merged view of an image's layers (layer.md, "Applying Changesets"). Paths may begin with `/` or not; symlinks are
 * followed within the image, and `..` of its root is its root.
 *
 * Layers are read from the top down, once, and only when a question reaches them: a file that an upper layer settles is
 * found without those below. Names alone are kept. `list`, `walk` and `glob` read all layers. A layer that leaves out the
 * entries of parent directories can be understood only with all below it, but for files that the top layer names itself.
 *
 * @throws from every method: what reading a layer throws (`TAR_INVALID`, `DIGEST_MISMATCH`, `PATH_INVALID`, …), and
 * `LINK_LOOP` for a path through symlinks in a circle.
 * @example
 * const files = await image.files();
 * console.log(new TextDecoder().decode(await files.readFile('/etc/os-release')));
 */
export class ImageFiles {
  readonly #stack: LayerStack;
  readonly #options: ImageFilesOptions;

  /** Base layers first. `image.files()` is the way to get one. */
  constructor(layers: readonly Layer[], options: ImageFilesOptions = {}) {
    this.#stack = new LayerStack(layers, options);
    this.#options = options;
  }

  /** What is there, symlinks followed; `undefined` where nothing is. */
  async stat(path: string): Promise<FileStat | undefined> {
    const found = await this.#stack.lookUp(path, true);
    return found && toStat(found);
  }

  /** What is there, be it a symlink; `undefined` where nothing is. */
  async lstat(path: string): Promise<FileStat | undefined> {
    const found = await this.#stack.lookUp(path, false);
    return found && toStat(found);
  }

  /** The path without any symlink in it. Throws `NOT_FOUND`. */
  async realpath(path: string): Promise<string> {
    return (await this.#resolve(path)).path;
  }

  /** Where a symlink points, as it says itself. Throws `NOT_FOUND` where none is. */
  async readlink(path: string): Promise<string> {
    const node = (await this.#stack.lookUp(path, false))?.node;
    if (node?.file.header.type === 'symlink') return node.file.header.linkTarget ?? '';
    throw notFound(path, node, 'symlink');
  }

  /** A file's content as a stream. Throws `NOT_FOUND`. */
  async open(path: string, options: OpenFileOptions = {}): Promise<ReadableStream<Uint8Array>> {
    const node = await this.#findFile(path);
    return toStream(this.#read(node, options));
  }

  /** A file's content in memory. Throws `NOT_FOUND`, and `LIMIT_EXCEEDED` past `maximum`. */
  async readFile(path: string, options: ReadFileOptions = {}): Promise<Uint8Array> {
    const { maximum = this.#options.limits?.bufferedBytes ?? defaultLimits.bufferedBytes } = options;
    const node = await this.#findFile(path);
    const { size } = node.file.header;
    if (size > maximum) {
      throw new StowageError(
        'LIMIT_EXCEEDED',
        `${JSON.stringify(path)} has ${size} bytes, more than maximum = ${maximum}. Read it as a stream with open(), or raise { maximum: … }.`,
        { limit: 'bufferedBytes', maximum, size, path },
      );
    }
    return readBytes(this.#read(node, options), { maximum, what: JSON.stringify(path) });
  }

  /** What a directory holds, by name, in the order of their bytes. Throws `NOT_FOUND` where no directory is. */
  async list(path = '/'): Promise<FileStat[]> {
    const directory = await this.#resolveDirectory(path);
    return Array.from(sortedChildren(directory), toStat);
  }

  /** All that lies below a directory, each before what lies below it; symlinks are not followed. Throws `NOT_FOUND`. */
  async *walk(path = '/'): AsyncGenerator<FileStat, void, void> {
    const { path: real } = await this.#resolveDirectory(path);
    for (const found of (await this.#stack.merge()).walk(real)) yield toStat(found);
  }

  /**
   * All files and directories whose path fits: `*`, `?`, `[a-z]` within a name, `**` for any directories, `{a,b}`. A leading
   * `/` means nothing; symlinks are not followed. Throws `ARGUMENT_INVALID` for a pattern that is none.
   */
  async *glob(pattern: string): AsyncGenerator<FileStat, void, void> {
    const fits = compileGlob(pattern);
    for await (const file of this.walk()) if (fits(file.path)) yield file;
  }

  async #resolve(path: string): Promise<Resolved> {
    const found = await this.#stack.resolve(path, true);
    if (found !== undefined) return found;
    throw notFound(path, undefined, 'file');
  }

  async #resolveDirectory(path: string): Promise<Resolved> {
    await this.#stack.merge();
    const found = await this.#resolve(path);
    if (found.node.children !== undefined) return found;
    throw notFound(path, found.node, 'directory');
  }

  async #findFile(path: string): Promise<MergedNode> {
    const node = (await this.#stack.lookUp(path, true))?.node;
    if (node?.file.header.type === 'file') return node;
    throw notFound(path, node, 'file');
  }

  #read({ file }: MergedNode, { verify, signal = this.#options.signal }: OpenFileOptions): AsyncIterable<Uint8Array> {
    const options: ReadBodyOptions = { verify, signal, limits: this.#options.limits };
    return readBody(this.#stack.layers[file.layer]!, file.offset, options);
  }
}

function toStat({ path, node }: Resolved): FileStat {
  const { header, layer } = node.file;
  return { ...header, type: header.type as FileStat['type'], path, layer };
}

function notFound(path: string, node: MergedNode | undefined, wanted: string): StowageError {
  const type = node?.file.header.type;
  const there = type === undefined ? 'nothing is there' : `a ${type} is there`;
  return new StowageError(
    'NOT_FOUND',
    `The image has no ${wanted} ${JSON.stringify(path)}: ${there}. See what it has with list() or glob().`,
    { path, type },
  );
}

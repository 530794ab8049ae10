/** File systems of images as plain values, to be compared, and random ones to be compared with. */
import fc from 'fast-check';
import { createLayer, Image, type Layer, type LayerFile } from '../../src/index.ts';
import { mergeLayers } from '../layer/raw-layer.ts';

/** All that a container sees: a line of metadata, content and fellow names for each path. */
export async function view(image: Pick<Image, 'layers'>): Promise<Record<string, unknown>> {
  const contents = new Map<string, string>();
  for (const [number, layer] of image.layers.entries()) {
    for await (const { header, offset, body } of layer.entries()) {
      if (header.type !== 'file' || header.size === 0) continue;
      let text = '';
      for await (const chunk of body) text += new TextDecoder().decode(chunk);
      contents.set(`${number} ${offset}`, text);
    }
  }
  const names = new Map<unknown, string>();
  const seen: Record<string, unknown> = {};
  for (const { path, node } of await mergeLayers(image.layers)) {
    const { header, layer, offset } = node.file;
    const first = names.get(node.file) ?? path;
    names.set(node.file, first);
    const { path: _, uname: __, gname: ___, xattrs, ...said } = header;
    const attributes = Object.entries(xattrs ?? {}).map(([name, value]) => `${name}=${[...value]}`);
    seen[path] = { ...said, attributes, first, content: contents.get(`${layer} ${offset}`) ?? '' };
  }
  return seen;
}

/** A path of few names, so that trees meet. */
export const randomPath: fc.Arbitrary<string> = fc
  .array(fc.constantFrom('a', 'b', 'c', 'ü'), { minLength: 1, maxLength: 3 })
  .map((names) => names.join('/'));

const randomFile = fc.record({
  path: randomPath,
  kind: fc.constantFrom('file', 'file', 'directory', 'symlink', 'hardlink', 'fifo', 'device'),
  content: fc.constantFrom('', 'x', 'y', 'longer'),
  mode: fc.constantFrom(0o644, 0o755, 0o4755),
  uid: fc.constantFrom(0, 0, 1000),
  mtime: fc.constantFrom(0, 0, 1, 1.5),
  pick: fc.nat(20),
  note: fc.constantFrom(undefined, undefined, 1, 2),
});

/** Files that can be packed together: nothing below what is no directory, and hard links to files that are there. */
export const randomTree: fc.Arbitrary<LayerFile[]> = fc.array(randomFile, { maxLength: 14 }).map((drawn) => {
  const files = new Map<string, LayerFile>();
  for (const { path, kind, content, mode, uid, mtime, pick, note } of drawn) {
    const parents = path.split('/').map((_, index, all) => all.slice(0, index).join('/'));
    if (files.has(path) || parents.some((parent) => (files.get(parent)?.type ?? 'directory') !== 'directory')) continue;
    if (kind !== 'directory' && [...files.keys()].some((other) => other.startsWith(`${path}/`))) continue;
    const owned = { path, mode, uid, mtime, ...(note && { xattrs: { 'user.note': Uint8Array.of(note, 0, 255) } }) };
    const linkable = [...files.values()].filter(({ type }) => type !== 'directory' && type !== 'hardlink');
    if (kind === 'file') files.set(path, { ...owned, type: 'file', body: content });
    else if (kind === 'symlink') files.set(path, { ...owned, type: 'symlink', linkTarget: content || '../a' });
    else if (kind === 'device')
      files.set(path, { ...owned, type: 'character-device', device: { major: 1, minor: pick } });
    else if (kind !== 'hardlink') files.set(path, { ...owned, type: kind as 'directory' | 'fifo' });
    else if (linkable.length > 0)
      files.set(path, { path, type: 'hardlink', linkTarget: linkable[pick % linkable.length]!.path });
  }
  return [...files.values()];
});

/** One layer of these files. */
export function plainLayer(files: LayerFile[]): Promise<Layer> {
  return createLayer(files, { compression: 'none', nanoseconds: true });
}

/** An image of layers, base first. */
export function imageOf(...layers: Layer[]): Image {
  return layers.reduce((image, layer) => image.append(layer), Image.scratch());
}

/** The layer, but for its blob, which nobody may read. */
export function unreadable(layer: Layer): Layer {
  const fail = (): never => {
    throw new Error(`layer ${layer.descriptor.digest} was read`);
  };
  return { descriptor: layer.descriptor, diffId: layer.diffId, open: fail, entries: fail };
}

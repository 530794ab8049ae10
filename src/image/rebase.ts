/** An image moved from one base to another, by exchanging the names of layers: none is read. */
import { StowageError } from '../errors.ts';
import { annotationKeys } from '../oci/annotations.ts';
import type { History } from '../oci/image-config.ts';
import { formatPlatform, normalizePlatform, type Platform } from '../oci/platform.ts';
import { completeHistory, layerPositions } from './history.ts';
import type { Image } from './image.ts';

export interface RebaseOptions {
  /** The reference of the new base, for the annotation `org.opencontainers.image.base.name`. */
  baseName?: string;
}

/**
 * The image on another base: layers and history of the new base, and upon them those that the image has over the old one. The
 * container's configuration is the image's own; version and features of the operating system are the new base's. An image
 * annotated with its base (annotations.md, `base.digest`) gets the new one's digest, and its name only from the options.
 *
 * Nothing checks that the upper layers make sense on the new base: it should be the old one's successor.
 *
 * @throws `BASE_MISMATCH` where the layers of `oldBase` are not the lowest of the image, by their diff IDs, or where the
 * platforms of image and new base differ.
 * @example
 * const patched = rebase(app, await Image.from(layout, 'base:1.0'), await Image.from(layout, 'base:1.1'));
 */
export function rebase(image: Image, oldBase: Image, newBase: Image, options: RebaseOptions = {}): Image {
  checkBase(image, oldBase);
  checkPlatform(image.platform, newBase.platform);
  const height = oldBase.layers.length;
  const { config, manifest } = image;
  const isTold = config.history !== undefined || newBase.config.history !== undefined;
  const history = [...completeHistory(newBase.config), ...historyAbove(image, oldBase)];
  const { 'os.version': version, 'os.features': features } = newBase.config;
  const { 'os.version': _version, 'os.features': _features, ...kept } = config;
  const annotations = baseAnnotations(manifest.annotations, newBase, options);
  return image.with({
    layers: [...newBase.layers, ...image.layers.slice(height)],
    config: {
      ...kept,
      ...(version !== undefined && { 'os.version': version }),
      ...(features !== undefined && { 'os.features': features }),
      ...(isTold && { history }),
    },
    ...(annotations && { manifest: { ...manifest, annotations } }),
  });
}

function checkBase(image: Image, oldBase: Image): void {
  const differs = oldBase.layers.findIndex((layer, index) => layer.diffId !== image.layers[index]?.diffId);
  if (differs === -1) return;
  const { diffId } = oldBase.layers[differs]!;
  const actual = image.layers[differs]?.diffId;
  throw new StowageError(
    'BASE_MISMATCH',
    `The image is not built on ${oldBase.descriptor.digest}: that one's layer ${differs} is ${diffId}, the image's is ${actual ?? 'missing'}. Give the very base that it was built on.`,
    { layer: differs, expected: diffId, actual },
  );
}

function checkPlatform(own: Platform, base: Platform): void {
  const names = [own, base].map((platform) => {
    const { os, architecture, variant } = normalizePlatform(platform);
    return formatPlatform({ os, architecture, ...(variant !== undefined && { variant }) });
  });
  if (names[0] === names[1]) return;
  throw new StowageError(
    'BASE_MISMATCH',
    `The image is for ${names[0]}, the new base for ${names[1]}. Give the base for the image's own platform.`,
    { expected: names[0], actual: names[1] },
  );
}

/** What the image's history says of its own steps: the base's are at its beginning, with those after its last layer. */
function historyAbove(image: Image, oldBase: Image): History[] {
  const history = completeHistory(image.config);
  const below = oldBase.config.history ?? [];
  if (below.every((entry, index) => JSON.stringify(entry) === JSON.stringify(history[index]))) {
    const rest = history.slice(below.length);
    if (layerPositions(rest).length === image.layers.length - oldBase.layers.length) return rest;
  }
  const last = layerPositions(history)[oldBase.layers.length - 1];
  return last === undefined ? history : history.slice(last + 1);
}

function baseAnnotations(
  before: Record<string, string> | undefined,
  newBase: Image,
  { baseName }: RebaseOptions,
): Record<string, string> | undefined {
  const { [annotationKeys.baseDigest]: digest, [annotationKeys.baseName]: name, ...others } = before ?? {};
  if (digest === undefined && name === undefined && baseName === undefined) return undefined;
  return {
    ...others,
    [annotationKeys.baseDigest]: newBase.descriptor.digest,
    ...(baseName !== undefined && { [annotationKeys.baseName]: baseName }),
  };
}

/** Layers of an image rewritten one by one, or taken out. */
import { StowageError } from '../errors.ts';
import type { Layer } from '../layer/layer.ts';
import {
  type LayerEntry,
  type RewriteLayerOptions,
  type RewrittenEntries,
  rewriteLayer,
} from '../layer/rewrite-layer.ts';
import { completeHistory, layerPositions } from './history.ts';
import type { Image } from './image.ts';
import { replaceLayers, rewriteOptions } from './replace-layers.ts';

/** Which layers: a number, 0 for the base and -1 for the top, or a question asked of each. */
export type WhichLayers = number | ((layer: Layer, index: number) => boolean);

/** What becomes of a layer's entries. Whiteouts are among them, as files called `.wh.…`. */
export type MapEntries = (entries: AsyncIterable<LayerEntry>, layer: Layer, index: number) => RewrittenEntries;

/**
 * The image with layers rewritten in their places: `map` takes their entries, in the order of the tar, and gives those of
 * the new layer. One pass, streaming; the other layers are not read. The history stays, but for diff IDs that it names.
 * Layers go to the image's `store` unless the options name another, compressed with gzip unless told.
 *
 * @throws `ARGUMENT_INVALID` for a number that no layer has; what reading layers and `createLayer` throw.
 * @example
 * const stripped = await mapLayer(image, -1, async function* (entries) {
 *   for await (const entry of entries) if (!entry.path.endsWith('.map')) yield { ...entry, uid: 0, gid: 0 };
 * });
 */
export async function mapLayer(
  image: Image,
  which: WhichLayers,
  map: MapEntries,
  options: RewriteLayerOptions = {},
): Promise<Image> {
  const chosen = chooseLayers(image, which);
  return replaceLayers(image, (layer, index) =>
    chosen.has(index)
      ? rewriteLayer(layer, (entries) => map(entries, layer, index), rewriteOptions(image, options))
      : layer,
  );
}

/**
 * The image without some layers, and without their history entries. What upper layers say of files of a removed one
 * (whiteouts, hard links) stays as it is. Reads no layer.
 *
 * @throws `ARGUMENT_INVALID` for a number that no layer has.
 */
export function removeLayer(image: Image, which: WhichLayers): Image {
  const removed = chooseLayers(image, which);
  if (removed.size === 0) return image;
  const { config } = image;
  const layers = image.layers.filter((_, index) => !removed.has(index));
  if (config.history === undefined) return image.with({ layers });
  const history = completeHistory(config);
  const positions = layerPositions(history);
  const gone = new Set([...removed].map((index) => positions[index]));
  return image.with({ layers, config: { ...config, history: history.filter((_, index) => !gone.has(index)) } });
}

function chooseLayers({ layers }: Image, which: WhichLayers): ReadonlySet<number> {
  if (typeof which === 'function') {
    return new Set([...layers.keys()].filter((index) => which(layers[index]!, index)));
  }
  return new Set([layerNumber({ layers }, which)]);
}

/** The number of a layer counted from 0 for the base, or from -1 for the top. Throws `ARGUMENT_INVALID` where none is. */
export function layerNumber({ layers }: Pick<Image, 'layers'>, which: number): number {
  const index = which < 0 ? layers.length + which : which;
  if (Number.isInteger(which) && layers[index] !== undefined) return index;
  throw new StowageError(
    'ARGUMENT_INVALID',
    `There is no layer ${which}: the image has ${layers.length}, counted from 0 for the base, or from -1 for the top.`,
    { layer: which, layers: layers.length },
  );
}

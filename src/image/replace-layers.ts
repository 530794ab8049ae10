/** What all rewriting of layers ends in: an image with others in their places, and a history that tells of them. */
import type { Layer } from '../layer/layer.ts';
import type { RewriteLayerOptions } from '../layer/rewrite-layer.ts';
import type { History } from '../oci/image-config.ts';
import { layerPositions } from './history.ts';
import type { Image } from './image.ts';

/** The image with other layers in the places of those that `replace` gives others for, one after another from the base up. */
export async function replaceLayers(
  image: Image,
  replace: (layer: Layer, index: number) => Layer | Promise<Layer>,
): Promise<Image> {
  const layers: Layer[] = [];
  for (const [index, layer] of image.layers.entries()) layers.push(await replace(layer, index));
  if (layers.every((layer, index) => layer === image.layers[index])) return image;
  const { config } = image;
  const history = retold(config.history, image.layers, layers);
  return image.with({ layers, ...(history !== config.history && { config: { ...config, history } }) });
}

/** The history with the new diff IDs of layers that entries call by the old ones, as those of `Image.append` do. */
function retold(
  history: History[] | undefined,
  before: readonly Layer[],
  after: readonly Layer[],
): History[] | undefined {
  const positions = layerPositions(history ?? []);
  let changed = history;
  for (const [index, { diffId }] of before.entries()) {
    const position = positions[index] ?? -1;
    const said = changed?.[position]?.created_by;
    if (changed === undefined || after[index]!.diffId === diffId || !said?.includes(diffId)) continue;
    changed = changed.with(position, {
      ...changed[position],
      created_by: said.replaceAll(diffId, after[index]!.diffId),
    });
  }
  return changed;
}

/** The image's own store and time, where the options name none. */
export function rewriteOptions(image: Image, options: RewriteLayerOptions): RewriteLayerOptions {
  return { ...options, store: options.store ?? image.store, mtime: options.mtime ?? new Date(image.timeOfChange) };
}

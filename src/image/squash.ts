/** Several layers made into one that has the same effect. */
import { load } from '../bytes/load.ts';
import type { RewriteLayerOptions } from '../layer/rewrite-layer.ts';
import type { History } from '../oci/image-config.ts';
import { completeHistory, layerPositions } from './history.ts';
import type { Image } from './image.ts';
import { layerNumber } from './map-layer.ts';

export interface SquashOptions extends RewriteLayerOptions {
  /** The lowest layer to be squashed: counted from 0 for the base (default), or from -1 for the top. */
  from?: number;
}

/**
 * The image with its layers, or those from one up, made into one: what was overwritten or removed in between is gone, and
 * whiteouts are kept for what the layers below hold. The merged view stays the same. The history keeps its steps, as
 * `empty_layer`, and gets one more for the new layer. A single layer stays as it is.
 *
 * Names are held in memory, bounded by `limits.indexBytes`; contents stream from layer to layer. The layers below are
 * read too, for their names, but stay as they are.
 *
 * @throws `ARGUMENT_INVALID` for a number that no layer has, `MEDIA_TYPE_UNSUPPORTED` for non-distributable layers,
 * `LINK_INVALID`, and what reading layers throws.
 */
export async function squash(image: Image, options: SquashOptions = {}): Promise<Image> {
  const from = image.layers.length === 0 ? 0 : layerNumber(image, options.from ?? 0);
  const count = image.layers.length - from;
  if (count < 2) return image;
  const history = completeHistory(image.config);
  const first = layerPositions(history)[from]!;
  const kept = history.map((entry, index) => (index < first ? entry : { ...entry, empty_layer: true }));
  const { mergeFrom } = await load(() => import('./merge-layers.ts'));
  return mergeFrom(image, from, [...kept, step(image, 'squash', count)], options);
}

/**
 * The image as a single layer of what a container would see, without whiteouts, and with a history of one entry: nothing
 * tells how it was made.
 *
 * @throws as `squash` does.
 */
export async function flatten(image: Image, options: RewriteLayerOptions = {}): Promise<Image> {
  if (image.layers.length === 0) return image;
  const { mergeFrom } = await load(() => import('./merge-layers.ts'));
  return mergeFrom(image, 0, [step(image, 'flatten', image.layers.length)], options);
}

function step(image: Image, verb: string, count: number): History {
  return { created: image.timeOfChange, created_by: `${verb} of ${count} layers`, comment: 'stowage' };
}

/** Several layers made into one that has the same effect. */
import { StowageError } from '../errors.ts';
import { type Changeset, readChangeset } from '../layer/changeset.ts';
import { type MergedFile, MergedTree } from '../layer/merged-tree.ts';
import type { RewriteLayerOptions } from '../layer/rewrite-layer.ts';
import { diffTrees } from '../layer/tree-diff.ts';
import { writeTreeLayer } from '../layer/tree-layer.ts';
import type { History } from '../oci/image-config.ts';
import { isNonDistributable } from '../oci/media-types.ts';
import { completeHistory, layerPositions } from './history.ts';
import type { Image } from './image.ts';
import { layerNumber, rewriteOptions } from './map-layer.ts';

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
  return mergeFrom(image, 0, [step(image, 'flatten', image.layers.length)], options);
}

async function mergeFrom(image: Image, from: number, history: History[], options: RewriteLayerOptions): Promise<Image> {
  const foreign = image.layers.find(({ descriptor }) => isNonDistributable(descriptor.mediaType));
  if (foreign !== undefined) {
    throw new StowageError(
      'MEDIA_TYPE_UNSUPPORTED',
      `Layer ${foreign.descriptor.digest} is non-distributable: it must neither be made part of another nor passed over. Squash images without such layers only.`,
      { digest: foreign.descriptor.digest },
    );
  }
  const settings = rewriteOptions(image, options);
  const below = new MergedTree(options.limits);
  const all = new MergedTree(options.limits);
  for (const [number, layer] of image.layers.entries()) {
    const changeset: Changeset = await readChangeset(layer, settings);
    if (number < from) below.apply(changeset, number);
    all.apply(changeset, number);
  }
  const layer = await writeTreeLayer(diffTrees(below, all, isOneEntry), image.layers, settings);
  const layers = [...image.layers.slice(0, from), layer];
  return image.with({ layers, config: { ...image.config, history } });
}

/** The layers below are the same, so what comes from one of them is. */
function isOneEntry(before: MergedFile, after: MergedFile): boolean {
  return before.layer === after.layer && before.offset === after.offset;
}

function step(image: Image, verb: string, count: number): History {
  return { created: image.timeOfChange, created_by: `${verb} of ${count} layers`, comment: 'stowage' };
}

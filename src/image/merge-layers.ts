/** The work of squashing: layers from one up merged, as trees of names, into one layer. Loaded when an image is squashed. */
import { StowageError } from '../errors.ts';
import { type Changeset, readChangeset } from '../layer/changeset.ts';
import { type MergedFile, MergedTree } from '../layer/merged-tree.ts';
import type { RewriteLayerOptions } from '../layer/rewrite-layer.ts';
import { diffTrees } from '../layer/tree-diff.ts';
import { writeTreeLayer } from '../layer/tree-layer.ts';
import type { History } from '../oci/image-config.ts';
import { isNonDistributable } from '../oci/media-types.ts';
import type { Image } from './image.ts';
import { rewriteOptions } from './replace-layers.ts';

/** The image with its layers from `from` up as one, and with this history. */
export async function mergeFrom(
  image: Image,
  from: number,
  history: History[],
  options: RewriteLayerOptions,
): Promise<Image> {
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

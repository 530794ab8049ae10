/** One time for all that an image dates: files, config and history, so that two builds of the same files are the same image. */
import type { Layer } from '../layer/layer.ts';
import { type RewriteLayerOptions, rewriteLayer } from '../layer/rewrite-layer.ts';
import { resolveTimestamp, type Timestamp } from '../layer/timestamp.ts';
import { isNonDistributable } from '../oci/media-types.ts';
import type { TarHeader } from '../tar/entry.ts';
import { formatTime } from './history.ts';
import type { Image } from './image.ts';
import { replaceLayers, rewriteOptions } from './replace-layers.ts';

/**
 * The image with this time, to the millisecond, on every entry of every layer, as `created` of its config, and on each
 * entry of its history. A layer whose entries have it already stays as it is; so do non-distributable ones.
 *
 * @throws `ARGUMENT_INVALID` for what is no time; what reading layers throws.
 * @example
 * const reproducible = await setTimestamps(image, new Date('2026-01-01T00:00:00Z'));
 */
export async function setTimestamps(image: Image, time: Timestamp, options: RewriteLayerOptions = {}): Promise<Image> {
  const created = formatTime(time);
  const seconds = resolveTimestamp(time);
  const mtime = Math.floor(seconds);
  const nanoseconds = Math.round((seconds - mtime) * 1000) * 1e6;
  const rewritten = await replaceLayers(image, async (layer) => {
    if (isNonDistributable(layer.descriptor.mediaType) || (await allHave(layer, mtime, nanoseconds, options)))
      return layer;
    const settings = { ...rewriteOptions(image, options), mtime: time };
    return rewriteLayer(
      layer,
      async function* (entries) {
        for await (const entry of entries) yield { ...entry, mtime, nanoseconds };
      },
      settings,
    );
  });
  const { config } = rewritten;
  const history = config.history?.map((entry) => ({ ...entry, created }));
  return rewritten.with({ config: { ...config, ...(history && { history }) }, created: time });
}

async function allHave(
  layer: Layer,
  mtime: number,
  nanoseconds: number,
  options: RewriteLayerOptions,
): Promise<boolean> {
  const isRight = (header: TarHeader): boolean => header.mtime === mtime && (header.nanoseconds ?? 0) === nanoseconds;
  for await (const { header } of layer.entries(options)) if (!isRight(header)) return false;
  return true;
}

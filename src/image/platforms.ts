/** Images of several platforms rewritten as one: an index mapped, filtered, and given or rid of images. */
import { load } from '../bytes/load.ts';
import type { ContentSource } from '../content/content.ts';
import { StowageError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { isIndex } from '../oci/media-types.ts';
import { formatPlatform, matchesPlatform, type Platform, parsePlatforms } from '../oci/platform.ts';
import { toDocker } from './formats.ts';
import { type FromOptions, Image } from './image.ts';
import type { ImageContent } from './image-content.ts';
import { isDocker } from './media-family.ts';

export interface PlatformsOptions {
  limits?: Partial<Limits>;
  signal?: AbortSignal;
}

/** For the images that `mapPlatforms` reads: their time of change, and where layers go. */
export type MapPlatformsOptions = PlatformsOptions & Pick<FromOptions, 'created' | 'store'>;

/** A platform, `linux/amd64`, several with commas, or a question. */
export type WhichPlatforms = string | readonly Platform[] | ((platform: Platform) => boolean);

/**
 * Rewrites the images of an index, those in nested indexes too, and gives the new index with all that it names, to be copied
 * anywhere: `copy(await mapPlatforms(…), layout, { references: ['app:1'] })`. `map` gets each image and gives another, the
 * same, or `undefined` to leave it out. What is unchanged keeps its descriptor; what is no image stays.
 *
 * An attestation (`vnd.docker.reference.digest`), or anything else with a `subject`, goes with the manifest that it speaks
 * of: it is kept while that is, unchanged, and dropped where that has changed or gone. What it says is of a digest, signed
 * perhaps, and would be untrue of another.
 *
 * @param reference a tag or digest, or a descriptor; that of a single image is one of one platform.
 * @throws `NOT_FOUND` for a reference that the source lacks, and where no image is left; what reading images and `map` throw.
 * @example
 * const labelled = await mapPlatforms(layout, 'app:1', (image) => image.label('org.example.team', 'web'));
 * await copy(labelled, layout, { references: ['app:1'] });
 */
export async function mapPlatforms(
  source: ContentSource,
  reference: string | Descriptor,
  map: (image: Image, descriptor: Descriptor) => Image | undefined | Promise<Image | undefined>,
  options: MapPlatformsOptions = {},
): Promise<ImageContent> {
  const { IndexRewriter } = await load(() => import('./rewrite-index.ts'));
  const rewriter = new IndexRewriter(source, options);
  return rewriter.rewrite(reference, async (descriptor) => {
    if (!(await rewriter.isImage(descriptor))) return descriptor;
    const image = await Image.from(source, descriptor, options);
    const mapped = await map(image, descriptor);
    if (mapped === undefined) return undefined;
    return mapped.descriptor.digest === descriptor.digest ? descriptor : rewriter.hold(mapped, image, descriptor);
  });
}

/**
 * The index with only these platforms, and what attests them. What has no platform and is no image stays. Reads no layer,
 * and of images only those of which the index does not state the platform.
 *
 * @throws `NOT_FOUND` for a platform that the index does not hold, and where no image is left.
 */
export async function filterPlatforms(
  source: ContentSource,
  reference: string | Descriptor,
  which: WhichPlatforms,
  options: PlatformsOptions = {},
): Promise<ImageContent> {
  return select(source, reference, which, true, options);
}

/**
 * The index without these platforms, and without what attests them.
 *
 * @throws as `filterPlatforms` does.
 */
export async function removePlatform(
  source: ContentSource,
  reference: string | Descriptor,
  which: WhichPlatforms,
  options: PlatformsOptions = {},
): Promise<ImageContent> {
  return select(source, reference, which, false, options);
}

/**
 * The index with one image more, at its end; a single image becomes an index of two. In a manifest list of Docker's the
 * image is converted to Docker's types.
 *
 * @throws `ARGUMENT_INVALID` where there is an image for that platform already: replace it with `mapPlatforms`.
 */
export async function addPlatform(
  source: ContentSource,
  reference: string | Descriptor,
  image: Image,
  options: PlatformsOptions = {},
): Promise<ImageContent> {
  const { addToIndex, IndexRewriter } = await load(() => import('./rewrite-index.ts'));
  const rewriter = new IndexRewriter(source, options);
  const content = await rewriter.rewrite(reference, async (descriptor) => {
    const platform = await rewriter.platformOf(descriptor);
    if (platform === undefined || formatPlatform(platform) !== formatPlatform(image.platform)) return descriptor;
    throw new StowageError(
      'ARGUMENT_INVALID',
      `There is an image for ${formatPlatform(platform)} already, ${descriptor.digest}. Replace it with mapPlatforms(), or remove it first.`,
      { platform: formatPlatform(platform), digest: descriptor.digest },
    );
  });
  const isList = isIndex(content.root.mediaType) && isDocker(content.root.mediaType);
  return addToIndex(content, isList ? toDocker(image) : image, options);
}

async function select(
  source: ContentSource,
  reference: string | Descriptor,
  which: WhichPlatforms,
  keeps: boolean,
  options: PlatformsOptions,
): Promise<ImageContent> {
  const wanted = typeof which === 'function' ? undefined : typeof which === 'string' ? parsePlatforms(which) : which;
  const missing = new Set(wanted);
  const offered: string[] = [];
  const isMeant = (platform: Platform): boolean => {
    if (typeof which === 'function') return which(platform);
    const matching = wanted!.filter((each) => matchesPlatform(platform, each));
    for (const each of matching) missing.delete(each);
    return matching.length > 0;
  };
  const { IndexRewriter } = await load(() => import('./rewrite-index.ts'));
  const rewriter = new IndexRewriter(source, options);
  const content = await rewriter.rewrite(reference, async (descriptor) => {
    const platform = await rewriter.platformOf(descriptor);
    if (platform === undefined) return descriptor;
    offered.push(formatPlatform(platform));
    return isMeant(platform) === keeps ? descriptor : undefined;
  });
  for (const platform of missing) {
    throw new StowageError(
      'NOT_FOUND',
      `The index holds no ${formatPlatform(platform)}. It holds: ${offered.join(', ') || 'no platforms'}.`,
      { platform: formatPlatform(platform) },
    );
  }
  return content;
}

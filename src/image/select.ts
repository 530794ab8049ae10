/** Which image of an index is meant. */
import type { BlobSource } from '../content/content.ts';
import { readDocument } from '../content/graph.ts';
import { StowageError } from '../errors.ts';
import { type Limits, limitExceeded, resolveLimits } from '../limits.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { imageIndex } from '../oci/image-index.ts';
import { isIndex, isManifest } from '../oci/media-types.ts';
import { bestMatch, formatPlatform, type Platform } from '../oci/platform.ts';

interface SelectOptions {
  platform?: Platform;
  limits?: Partial<Limits>;
  signal?: AbortSignal;
}

/** Manifests of images that an index and those nested in it list, in order, without attestations (`unknown/unknown`). */
export async function listImages(
  source: BlobSource,
  root: Descriptor,
  options: Omit<SelectOptions, 'platform'> = {},
  depth = 0,
): Promise<Descriptor[]> {
  if (!isIndex(root.mediaType)) return isManifest(root.mediaType) ? [root] : [];
  const limits = resolveLimits(options.limits);
  if (depth > limits.indexDepth) throw limitExceeded('indexDepth', limits, `Index ${root.digest} nests others`);
  const index = imageIndex.parse(await readDocument(source, root, options), { limits });
  const found: Descriptor[] = [];
  for (const child of index.manifests) {
    if (child.platform?.os === 'unknown' && child.platform.architecture === 'unknown') continue;
    found.push(...(await listImages(source, child, options, depth + 1)));
    if (found.length > limits.graphNodes) throw limitExceeded('graphNodes', limits, `The images of ${root.digest}`);
  }
  return found;
}

/** The manifest itself, or the one of an index that fits the platform best. Without a platform: the only one, else `linux/amd64`. */
export async function selectImage(source: BlobSource, root: Descriptor, options: SelectOptions): Promise<Descriptor> {
  if (!isIndex(root.mediaType)) return root;
  const images = await listImages(source, root, options);
  if (options.platform === undefined && images.length === 1) return images[0] as Descriptor;
  const platform = options.platform ?? { os: 'linux', architecture: 'amd64' };
  const best = bestMatch(images, platform);
  if (best) return best;
  const offered = images.map((image) => (image.platform ? formatPlatform(image.platform) : 'one of no platform'));
  throw new StowageError(
    'NOT_FOUND',
    `Index ${root.digest} holds no ${formatPlatform(platform)}. It holds: ${offered.join(', ') || 'no image'}. Choose one with the platform option.`,
    { digest: root.digest, platform: formatPlatform(platform) },
  );
}

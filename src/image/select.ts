/** Which image of an index is meant. */
import type { BlobSource } from '../content/content.ts';
import { checkDepth, readDocument } from '../content/graph.ts';
import { StowageError } from '../errors.ts';
import { type Limits, limitExceeded, resolveLimits } from '../limits.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { imageIndex } from '../oci/image-index.ts';
import { isIndex, isManifest } from '../oci/media-types.ts';
import { formatPlatform, type Platform } from '../oci/platform.ts';
import { bestMatch } from './best-match.ts';

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
): Promise<Descriptor[]> {
  const limits = resolveLimits(options.limits);
  const found: Descriptor[] = [];
  // An index that is named again says nothing new; read again at each level, a few could keep a reader busy for ever.
  const seen = new Set<Digest>();
  let documentBytes = 0;
  const visit = async (descriptor: Descriptor, depth: number): Promise<void> => {
    if (isManifest(descriptor.mediaType)) found.push(descriptor);
    if (!isIndex(descriptor.mediaType) || seen.has(descriptor.digest)) return;
    seen.add(descriptor.digest);
    checkDepth(descriptor, depth, limits);
    const bytes = await readDocument(source, descriptor, options);
    documentBytes += bytes.length;
    if (documentBytes > limits.documentBytes)
      throw limitExceeded('documentBytes', limits, `The indexes of ${root.digest}`);
    const index = imageIndex.parse(bytes, { limits, what: `index ${descriptor.digest}` });
    for (const child of index.manifests) {
      if (child.platform?.os === 'unknown' && child.platform.architecture === 'unknown') continue;
      await visit(child, depth + 1);
    }
    if (found.length > limits.graphNodes) throw limitExceeded('graphNodes', limits, `The images of ${root.digest}`);
  };
  await visit(root, 0);
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

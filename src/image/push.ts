/** Images into any place of content, as one image or one index of several platforms. */
import type { ContentStore } from '../content/content.ts';
import { type CopyOptions, copy } from '../content/copy.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Image } from './image.ts';
import { imageContent } from './image-content.ts';

export interface PushOptions extends Omit<CopyOptions, 'references' | 'platforms'> {
  /** Names for it, at the cost of one upload. Default: none, so that its digest alone names it. */
  tags?: readonly string[];
}

/**
 * Writes an image to a registry's repository or a layout, several as one index, and gives what names it. What the store holds is skipped, and layers
 * that are in another repository of the same registry are mounted from there.
 *
 * @example
 * await push([amd64, arm64], new RemoteRepository('ghcr.io/team/app', { credentials }), { tags: ['1.0', 'latest'] });
 * @throws `ARGUMENT_INVALID` for no images, or two for one platform; what `copy` throws.
 */
export async function push(
  images: Image | readonly Image[],
  to: ContentStore,
  options: PushOptions = {},
): Promise<Descriptor> {
  const { tags = [], ...rest } = options;
  const content = imageContent(images);
  const { root } = content;
  const names = tags.length > 0 ? tags : [root.digest];
  await copy(content, to, { ...rest, references: names.map((name) => [root.digest, name] as const) });
  return root;
}

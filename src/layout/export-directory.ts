/** Images out into a layout, which is a directory or any other storage. */
import { copyGraph } from '../content/copy.ts';
import type { Image } from '../image/image.ts';
import { imageContent } from '../image/image-content.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { checkRefName } from '../oci/image-layout.ts';
import type { Storage } from '../storage/storage.ts';
import { Layout } from './layout.ts';
import type { ExportOptions } from './save-tarball.ts';

export interface ExportDirectoryOptions extends ExportOptions {
  /** Blobs under way at once. Default 4. */
  concurrency?: number;
}

/**
 * Writes an image, or the images of several platforms as one index, into a layout: a new one, or over one that is there,
 * whose other tags stay. Returns what the tag names.
 *
 * @example
 * await exportDirectory(image, new NodeStorage('./myimage'), { tag: 'myapp:1.0' });
 */
export async function exportDirectory(
  images: Image | readonly Image[],
  storage: Storage,
  options: ExportDirectoryOptions = {},
): Promise<Descriptor> {
  const { tag = 'latest', ...copyOptions } = options;
  checkRefName(tag);
  const content = imageContent(images);
  const layout = await Layout.create(storage);
  await copyGraph(content, layout, [content.root], copyOptions);
  await layout.tag(content.root, tag, options);
  return content.root;
}

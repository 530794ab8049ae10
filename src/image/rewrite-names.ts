/**
 * Files of an image left out or given other names, in every layer. What a container sees afterwards is what it saw before,
 * with each name left out or changed: whiteouts and hard links are made to fit, and layers that nothing changes stay.
 */
import { load } from '../bytes/load.ts';
import type { RewriteLayerOptions } from '../layer/rewrite-layer.ts';
import type { TarHeader } from '../tar/entry.ts';
import type { Image } from './image.ts';

/**
 * The image without the files for which `keep` says false. It is asked of each entry of each layer, directories too, by
 * its path without a leading `/`, and its header; a hard link is shown as the file that it names. Leaving out a directory
 * leaves out its metadata, not what is in it: ask of the path's beginning for that. If a file goes that a hard link names,
 * its content goes on under the link's name.
 *
 * Each layer is read for its names, and those that change a second time to be written. Non-distributable layers stay.
 *
 * @throws what reading layers and `keep` throw.
 * @example
 * const slim = await filterFiles(image, (path) => !/^usr\/share\/(doc|man)\//.test(path));
 */
export async function filterFiles(
  image: Image,
  keep: (path: string, header: TarHeader) => boolean,
  options: RewriteLayerOptions = {},
): Promise<Image> {
  const { rewriteNames } = await load(() => import('./rename-entries.ts'));
  return rewriteNames(image, (path, header) => (keep(path, header) ? path : undefined), options);
}

/**
 * The image with other names for its files: `rename` is asked as `keep` of `filterFiles` is, and gives the new path or the
 * same. It must give a directory's new path as well as those of the files in it. Hard links follow what they name;
 * symlinks keep their targets as they are. Directories may be made one; other files may not.
 *
 * @throws `PATH_DUPLICATE` where two files get one name, `PATH_INVALID` for what is no path; what reading layers throws.
 * @example
 * const merged = await renameFiles(image, (path) => path.replace(/^bin(?=\/|$)/, 'usr/bin'));
 */
export async function renameFiles(
  image: Image,
  rename: (path: string, header: TarHeader) => string,
  options: RewriteLayerOptions = {},
): Promise<Image> {
  const { checkName, rewriteNames } = await load(() => import('./rename-entries.ts'));
  return rewriteNames(image, (path, header) => checkName(path, rename(path, header)), options);
}

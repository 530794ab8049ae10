/** Files moved under a directory of the image. */
import type { TarFileItem } from 'nanotar';
import type { LayerFile, LayerFiles } from '../layer/file.ts';
import { normalizePath } from '../layer/path.ts';

/** The same files, each under `destination`. Hard links name files of the same set, and move with them. */
export async function* placed(files: LayerFiles, destination: string): AsyncGenerator<LayerFile | TarFileItem> {
  // Relative to the root even where it begins with none, as images have no current directory to be relative to.
  const directory = normalizePath(`/${destination}`, 'destination');
  const under = (path: string): string => {
    normalizePath(path);
    return directory === '' ? path : `${directory}/${path}`;
  };
  for await (const file of files) {
    if ('name' in file) yield { ...file, name: under(file.name) };
    else if (file.type === 'hardlink' && file.linkTarget)
      yield { ...file, path: under(file.path), linkTarget: under(file.linkTarget) };
    else yield { ...file, path: under(file.path) };
  }
}

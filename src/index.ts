/** stowage: build, read and rewrite OCI container images in any JavaScript runtime. These are all its portable names. */
export type { ByteSource } from './bytes/byte-source.ts';
export type { GzipOptions } from './bytes/gzip.ts';
export { pmapBounded } from './bytes/pmap-bounded.ts';
export type { OnProgress, Progress } from './bytes/progress.ts';
export { blobStore } from './content/blob-store.ts';
export type { BlobSource, BlobStore, ContentSource, ContentStore, ReadBlobOptions } from './content/content.ts';
export { type CopyOptions, copy } from './content/copy.ts';
export { type ErrorCode, StowageError } from './errors.ts';
export { bestMatch } from './image/best-match.ts';
export { type DiffOptions, diff, diffLayer, type FileChange, type ImageDiff } from './image/diff.ts';
export { toDocker, toOci } from './image/formats.ts';
export { type FromOptions, Image, type ImageChanges, type ScratchOptions } from './image/image.ts';
export { type ImageContent, imageContent } from './image/image-content.ts';
export type {
  FileStat,
  ImageFiles,
  ImageFilesOptions,
  OpenFileOptions,
  ReadFileOptions,
} from './image/image-files.ts';
export { type MapEntries, mapLayer, removeLayer, type WhichLayers } from './image/map-layer.ts';
export {
  addPlatform,
  filterPlatforms,
  type MapPlatformsOptions,
  mapPlatforms,
  type PlatformsOptions,
  removePlatform,
  type WhichPlatforms,
} from './image/platforms.ts';
export { type PushOptions, push } from './image/push.ts';
export { type RebaseOptions, rebase } from './image/rebase.ts';
export { type RecompressOptions, recompress } from './image/recompress.ts';
export { filterFiles, renameFiles } from './image/rewrite-names.ts';
export { setTimestamps } from './image/set-timestamps.ts';
export { flatten, type SquashOptions, squash } from './image/squash.ts';
export { type ConfigPatch, withConfig } from './image/with-config.ts';
export type { ReadNamesOptions } from './layer/changeset.ts';
export { createLayer } from './layer/create-layer.ts';
export type { CreateLayerOptions, LayerFile, LayerFiles } from './layer/file.ts';
export type { Layer } from './layer/layer.ts';
export type { LayerEntriesOptions } from './layer/layer-entries.ts';
export type { LayerEntry, RewriteLayerOptions, RewrittenEntries } from './layer/rewrite-layer.ts';
export type { StoreLayerOptions } from './layer/store-layer.ts';
export type { Timestamp } from './layer/timestamp.ts';
export { type ExportDirectoryOptions, exportDirectory } from './layout/export-directory.ts';
export { buildConfigBlob, buildLayerDescriptors } from './layout/image-parts.ts';
export { Layout, type LayoutOptions, type Tag } from './layout/layout.ts';
export {
  type LoadedImage,
  type LoadedTarball,
  type LoadTarballOptions,
  loadTarballForPush,
} from './layout/load-tarball.ts';
export { type ImageArchive, type OpenArchiveOptions, openArchive } from './layout/open-archive.ts';
export { type ExportOptions, type SaveTarballOptions, saveTarball } from './layout/save-tarball.ts';
export type { LayoutReport } from './layout/verify.ts';
export { defaultLimits, type Limits } from './limits.ts';
export { descriptorData } from './oci/descriptor.ts';
export { checkRefName, refNameGrammar } from './oci/image-layout.ts';
export * from './oci/index.ts';
export { parsePlatforms } from './oci/platform.ts';
export { MemoryStorage } from './storage/memory.ts';
export type { ByteRange, CreateOptions, PendingFile, Storage } from './storage/storage.ts';
export type { EntryType, TarHeader } from './tar/entry.ts';
export type { TarEntry } from './tar/read-tar.ts';

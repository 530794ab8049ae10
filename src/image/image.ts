/** The image as a value: a config, a manifest and layers that are read when someone asks for them. Changing one gives another. */
import { digestOf } from '../bytes/hash.ts';
import { load } from '../bytes/load.ts';
import type { BlobStore, ContentSource } from '../content/content.ts';
import { createLayer } from '../layer/create-layer.ts';
import type { CreateLayerOptions, LayerFiles } from '../layer/file.ts';
import type { Layer } from '../layer/layer.ts';
import { normalizePath } from '../layer/path.ts';
import type { Timestamp } from '../layer/timestamp.ts';
import type { Limits } from '../limits.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { type ContainerConfig, type History, type ImageConfig, serializeImageConfig } from '../oci/image-config.ts';
import { type Manifest, serializeManifest } from '../oci/manifest.ts';
import { mediaTypes } from '../oci/media-types.ts';
import { normalizePlatform, type Platform, parsePlatform } from '../oci/platform.ts';
import { portKey, sorted, withKeys, withVariables } from './container-config.ts';
import { placed } from './files.ts';
import { addHistory, changeTime, formatTime } from './history.ts';
import type { ImageFiles, ImageFilesOptions } from './image-files.ts';
import { inFamily } from './media-family.ts';

export interface ScratchOptions {
  /** Default `linux/amd64`. */
  platform?: Platform | string;
  /** Time of creation, of history entries, and of files without one. Default `SOURCE_DATE_EPOCH`, else the epoch. */
  created?: Timestamp;
  /** Where layers that this image is given go. Default: memory. */
  store?: BlobStore;
}

export interface FromOptions {
  /** Which image of an index. Default: the only one, else `linux/amd64`. */
  platform?: Platform | string;
  /** Time of changes. Default `SOURCE_DATE_EPOCH`, else the time that the image has. */
  created?: Timestamp;
  /** Where layers that this image is given go. Default: memory. Those it has stay where they are. */
  store?: BlobStore;
  limits?: Partial<Limits>;
  signal?: AbortSignal;
}

/** What an image is made of. `configBytes` and `manifestBytes` are what was read, as long as nothing has changed. */
interface ImageState {
  config: ImageConfig;
  manifest: Manifest;
  layers: readonly Layer[];
  configBytes?: Uint8Array;
  manifestBytes?: Uint8Array;
  created: Timestamp | undefined;
  store: BlobStore | undefined;
}

/** What `Image.with` changes. */
export interface ImageChanges {
  /** Its diff IDs are taken from the layers. Where `created` is as it was, it becomes the time of changes. */
  config?: ImageConfig;
  /** Its `config` and `layers` are written anew. */
  manifest?: Manifest;
  /** All of the new image's, base first. Those that are new to it get media types that suit its manifest. */
  layers?: readonly Layer[];
  /** The time of creation, and of changes from here on. */
  created?: Timestamp;
}

/**
 * An immutable image for one platform. Each method returns a new image; what takes bytes is async.
 *
 * @example
 * const image = (await Image.scratch().copy([{ path: 'server', body: program, mode: 0o755 }], '/app'))
 *   .entrypoint(['/app/server'])
 *   .env({ PORT: '8080' });
 */
export class Image {
  readonly #state: ImageState;
  readonly #configBytes: Uint8Array;
  readonly #manifestBytes: Uint8Array;
  /** The manifest's media type, digest and size, with the platform, as an index lists it. */
  readonly descriptor: Descriptor;

  private constructor(state: ImageState) {
    this.#configBytes = state.configBytes ?? serializeImageConfig(state.config);
    if (state.manifestBytes) {
      this.#manifestBytes = state.manifestBytes;
    } else {
      const config = { ...state.manifest.config, digest: digestOf(this.#configBytes), size: this.#configBytes.length };
      delete config.data;
      state = {
        ...state,
        manifest: { ...state.manifest, config, layers: state.layers.map((layer) => layer.descriptor) },
      };
      this.#manifestBytes = serializeManifest(state.manifest);
    }
    this.#state = state;
    this.descriptor = {
      mediaType: state.manifest.mediaType ?? mediaTypes.manifest,
      digest: digestOf(this.#manifestBytes),
      size: this.#manifestBytes.length,
      platform: this.platform,
    };
  }

  /** An image without layers. */
  static scratch(options: ScratchOptions = {}): Image {
    const platform = toPlatform(options.platform ?? 'linux/amd64');
    const { architecture, os, variant } = platform;
    const config: ImageConfig = {
      created: changeTime(options.created, undefined),
      architecture,
      os,
      ...(variant !== undefined && { variant }),
      ...(platform['os.version'] !== undefined && { 'os.version': platform['os.version'] }),
      ...(platform['os.features'] !== undefined && { 'os.features': platform['os.features'] }),
      config: {},
      rootfs: { type: 'layers', diff_ids: [] },
      history: [],
    };
    const manifest: Manifest = {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      config: { mediaType: mediaTypes.config, digest: '', size: 0 },
      layers: [],
    };
    return new Image({ config, manifest, layers: [], created: options.created, store: options.store });
  }

  /**
   * An image that a layout, an archive or a registry holds. Reads its manifest and config; layers stay unread. Written out
   * unchanged it keeps its digest, and every field that is not known here.
   *
   * @throws `NOT_FOUND` for a reference or platform that the source lacks; `MEDIA_TYPE_UNSUPPORTED` for what is no image;
   * `MANIFEST_INVALID`, `CONFIG_INVALID`, `DIGEST_MISMATCH`.
   */
  static async from(source: ContentSource, reference: string | Descriptor, options: FromOptions = {}): Promise<Image> {
    const { platform, created, store } = options;
    const wanted = platform === undefined ? undefined : toPlatform(platform);
    // Loaded when asked for: whoever starts from scratch does not pay for what reads documents.
    const { readImage } = await load(() => import('./read-image.ts'));
    return new Image({ ...(await readImage(source, reference, { ...options, platform: wanted })), created, store });
  }

  /** The image config (config.md). Plain data; do not change it. */
  get config(): ImageConfig {
    return this.#state.config;
  }

  /** The image manifest (manifest.md). Plain data; do not change it. */
  get manifest(): Manifest {
    return this.#state.manifest;
  }

  /** The bytes that the config's digest is of. */
  get configBytes(): Uint8Array {
    return this.#configBytes;
  }

  /** The bytes that `descriptor.digest` is of. */
  get manifestBytes(): Uint8Array {
    return this.#manifestBytes;
  }

  /** Base layers first. */
  get layers(): readonly Layer[] {
    return this.#state.layers;
  }

  /** What the config says it runs on. */
  get platform(): Platform {
    const { config } = this.#state;
    return {
      architecture: config.architecture,
      os: config.os,
      ...(config['os.version'] !== undefined && { 'os.version': config['os.version'] }),
      ...(config['os.features'] !== undefined && { 'os.features': config['os.features'] }),
      ...(config.variant !== undefined && { variant: config.variant }),
    };
  }

  /** A layer of these files on top. See `createLayer` for the options and errors. */
  async addLayer(files: LayerFiles, options: CreateLayerOptions = {}): Promise<Image> {
    return this.#addFiles(files, '/', options);
  }

  /** A layer of these files, each under the directory `destination` of the image, on top. */
  async copy(files: LayerFiles, destination: string, options: CreateLayerOptions = {}): Promise<Image> {
    return this.#addFiles(placed(files, destination), destination, options);
  }

  /** A finished layer on top. `history` may say how it came about. */
  append(layer: Layer, history: History = {}): Image {
    const { config, layers } = this.#state;
    const diffIds = [...config.rootfs.diff_ids, layer.diffId];
    const entry: History = {
      created: this.#time(),
      created_by: `ADD ${layer.diffId} /`,
      comment: 'stowage',
      ...history,
    };
    return this.#with({
      config: { ...config, rootfs: { ...config.rootfs, diff_ids: diffIds }, history: addHistory(config, entry) },
      layers: [...layers, inFamily(layer, this.#state.manifest.mediaType)],
    });
  }

  /** The program and its first arguments, as an argument vector. An empty list removes it. A `cmd` from the base stays. */
  entrypoint(command: readonly string[]): Image {
    return this.#configure('Entrypoint', [...command], `ENTRYPOINT ${JSON.stringify(command)}`);
  }

  /** Default arguments for the entrypoint, or the program itself where there is none. An empty list removes them. */
  cmd(command: readonly string[]): Image {
    return this.#configure('Cmd', [...command], `CMD ${JSON.stringify(command)}`);
  }

  /**
   * Environment variables over those that are there: a name that is set already keeps its place and gets the new value.
   * None at all changes nothing.
   */
  env(variables: Readonly<Record<string, string>>): Image {
    if (Object.keys(variables).length === 0) return this;
    const said = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
    return this.#configure('Env', withVariables(this.#container.Env, variables), `ENV ${said.join(' ')}`);
  }

  /** The directory in which the program starts. */
  workdir(path: string): Image {
    return this.#configure('WorkingDir', path, `WORKDIR ${path}`);
  }

  /** Who runs the program: `user`, `uid`, `user:group`, `uid:gid`. */
  user(user: string): Image {
    return this.#configure('User', user, `USER ${user}`);
  }

  /** Ports that the program listens on: `8080` (TCP) or `53/udp`. */
  expose(...ports: (number | string)[]): Image {
    const keys = ports.map(portKey);
    return this.#configure('ExposedPorts', withKeys(this.#container.ExposedPorts, keys), `EXPOSE ${keys.join(' ')}`);
  }

  /** Directories that the program keeps data in. */
  volume(...paths: string[]): Image {
    return this.#configure('Volumes', withKeys(this.#container.Volumes, paths), `VOLUME ${paths.join(' ')}`);
  }

  /** The signal that asks the program to end: `SIGTERM`, `SIGRTMIN+3`, `15`. */
  stopSignal(signal: string): Image {
    return this.#configure('StopSignal', signal, `STOPSIGNAL ${signal}`);
  }

  /** A label of the config, read by engines. */
  label(key: string, value: string): Image {
    return this.#configure('Labels', sorted({ ...this.#container.Labels, [key]: value }), `LABEL ${key}=${value}`);
  }

  /** An annotation of the manifest, read by registries and tools (annotations.md). */
  annotation(key: string, value: string): Image {
    const { manifest } = this.#state;
    return this.#with({ manifest: { ...manifest, annotations: sorted({ ...manifest.annotations, [key]: value }) } });
  }

  /** Name and address of who made the image. */
  author(author: string): Image {
    return this.#with({ config: { ...this.#state.config, author } });
  }

  /** The image's time of creation, and that of changes from here on. */
  created(time: Timestamp): Image {
    return this.#with({ config: { ...this.#state.config, created: formatTime(time) }, created: time });
  }

  /** One more history entry that made no layer. */
  history(entry: History): Image {
    const { config } = this.#state;
    return this.#with({ config: { ...config, history: addHistory(config, { ...entry, empty_layer: true }) } });
  }

  /**
   * What a container of this image would see, to look into: files, directories and links, merged out of all layers. Reads
   * nothing yet. The file system belongs to this image: one with a layer more has one of its own.
   *
   * @example
   * const files = await image.files();
   * for await (const { path, size } of files.glob('usr/bin/*')) console.log(path, size);
   */
  async files(options: ImageFilesOptions = {}): Promise<ImageFiles> {
    // Loaded when asked for: whoever only builds images does not pay for what reads them.
    const { ImageFiles } = await load(() => import('./image-files.ts'));
    return new ImageFiles(this.layers, options);
  }

  /**
   * The image with other parts, from which all functions that rewrite images are made. Layers are not read. The history
   * is the caller's to keep true.
   */
  with(changes: ImageChanges): Image {
    const { config: before, layers: held, manifest } = this.#state;
    const { mediaType } = changes.manifest ?? manifest;
    const layers = (changes.layers ?? held).map((layer) => (held.includes(layer) ? layer : inFamily(layer, mediaType)));
    const diffIds = layers.map((layer) => layer.diffId);
    let config = changes.config ?? before;
    if (diffIds.join() !== config.rootfs.diff_ids.join()) {
      config = { ...config, rootfs: { ...config.rootfs, diff_ids: diffIds } };
    }
    const { created } = changes;
    return this.#with({
      layers,
      ...(changes.manifest && { manifest: changes.manifest }),
      ...((config !== before || created !== undefined) && { config }),
      ...(created !== undefined && { config: { ...config, created: formatTime(created) }, created }),
    });
  }

  /** The time that is put down for changes of this image: the option `created`, else `SOURCE_DATE_EPOCH`, else its own. */
  get timeOfChange(): string {
    return this.#time();
  }

  /** Where layers that this image is given go, if it was said. */
  get store(): BlobStore | undefined {
    return this.#state.store;
  }

  get #container(): ContainerConfig {
    return this.#state.config.config ?? {};
  }

  #time(): string {
    return changeTime(this.#state.created, this.#state.config.created);
  }

  async #addFiles(files: LayerFiles, destination: string, options: CreateLayerOptions): Promise<Image> {
    const { created, store } = this.#state;
    const layer = await createLayer(files, { store, mtime: created, ...options });
    return this.append(layer, { created_by: `COPY . /${normalizePath(`/${destination}`)}` });
  }

  #configure<K extends keyof ContainerConfig>(field: K, value: ContainerConfig[K], createdBy: string): Image {
    const { config } = this.#state;
    const container: ContainerConfig = { ...config.config, [field]: value };
    if (Array.isArray(value) && value.length === 0) delete container[field];
    const entry = { created: this.#time(), created_by: createdBy, comment: 'stowage', empty_layer: true };
    return this.#with({ config: { ...config, config: container, history: addHistory(config, entry) } });
  }

  /** Whatever changes the config or manifest makes the bytes that were read void. */
  #with(changes: Partial<ImageState>): Image {
    const state = { ...this.#state, ...changes, manifestBytes: undefined };
    if (changes.config) {
      state.configBytes = undefined;
      state.config = {
        ...changes.config,
        created:
          changes.created === undefined && changes.config.created === this.#state.config.created
            ? this.#time()
            : changes.config.created,
      };
    }
    return new Image(state);
  }
}

function toPlatform(platform: Platform | string): Platform {
  return typeof platform === 'string' ? parsePlatform(platform) : normalizePlatform(platform);
}

/** Image configurations, how a container of an image is run and what it was made of: image-spec's config.md. */
import { annotations } from './annotations.ts';
import { boolean, dateTime, integer, list, literal, map, object, record, string } from './check.ts';
import { type Digest, digest } from './digest.ts';
import { type DocumentKind, writeDocument } from './document.ts';
import type { Platform } from './platform.ts';

/** The document. Where the specification lets an optional field be null, `parseImageConfig` leaves it out. */
export interface ImageConfig extends Platform {
  /** RFC 3339. */
  created?: string;
  author?: string;
  config?: ContainerConfig;
  rootfs: {
    type: 'layers';
    /** Digests of the layers' uncompressed archives, the base layer first. */
    diff_ids: Digest[];
    [unknown: string]: unknown;
  };
  history?: History[];
  [unknown: string]: unknown;
}

/** The defaults of a container that is run from the image. */
export interface ContainerConfig {
  /** `user`, `uid`, `user:group`… */
  User?: string;
  /** Keys `8080/tcp`, `53/udp` or `80`; values are empty objects. */
  ExposedPorts?: Record<string, Record<string, unknown>>;
  /** `NAME=value`. */
  Env?: string[];
  Entrypoint?: string[];
  Cmd?: string[];
  /** Keys are paths; values are empty objects. */
  Volumes?: Record<string, Record<string, unknown>>;
  WorkingDir?: string;
  Labels?: Record<string, string>;
  /** `SIGTERM`, `SIGRTMIN+3`… */
  StopSignal?: string;
  /** Deprecated; Windows images of Docker have it. */
  ArgsEscaped?: boolean;
  /** Docker's, as are those below: reserved by the specification. */
  Memory?: number;
  MemorySwap?: number;
  CpuShares?: number;
  Healthcheck?: Record<string, unknown>;
  [unknown: string]: unknown;
}

/** What one step of the build did. */
export interface History {
  /** RFC 3339. */
  created?: string;
  author?: string;
  created_by?: string;
  comment?: string;
  /** True where the step made no layer. */
  empty_layer?: boolean;
  [unknown: string]: unknown;
}

/** Checks as `parseImageConfig` does, and writes compact JSON in the key order of the specification's example. */
export function serializeImageConfig(config: ImageConfig): Uint8Array {
  return writeDocument(config, imageConfigKind);
}

const strings = list(string);
const set = map(object);

/** What a configuration is checked by. */
export const imageConfigKind: DocumentKind<ImageConfig> = {
  name: 'image config',
  code: 'CONFIG_INVALID',
  fields: record(
    {
      created: dateTime,
      author: string,
      architecture: string,
      os: string,
      'os.version': string,
      'os.features': strings,
      variant: string,
      config: record({
        User: string,
        ExposedPorts: set,
        Env: strings,
        Entrypoint: strings,
        Cmd: strings,
        Volumes: set,
        WorkingDir: string,
        Labels: annotations,
        StopSignal: string,
        ArgsEscaped: boolean,
        Memory: integer,
        MemorySwap: integer,
        CpuShares: integer,
        Healthcheck: object,
      }),
      rootfs: record({ diff_ids: list(digest), type: literal('layers') }, ['type', 'diff_ids']),
      history: list(
        record({ created: dateTime, author: string, created_by: string, comment: string, empty_layer: boolean }),
      ),
    },
    ['architecture', 'os', 'rootfs'],
  ),
};

/** The bounds that hostile input runs into. Every reader takes `limits` to change some of them. */
import { StowageError } from './errors.ts';

/** Upper bounds, each generous for honest images. Passing one throws `LIMIT_EXCEEDED`, whose `limit` names the field. */
export interface Limits {
  /** Bytes of one JSON document (manifest, index, config). Default 4 MiB, what registries take. */
  jsonBytes: number;
  /** Indexes nested in indexes. Default 8. */
  indexDepth: number;
  /** Documents and blobs that one walk of a graph may reach. Default 100,000. */
  graphNodes: number;
  /** Bytes of all manifests and indexes of one graph together; they are held while it is walked. Default 64 MiB. */
  documentBytes: number;
  /** Entries of one tar archive. Default 2,000,000. */
  tarEntries: number;
  /** Bytes of one path or link target. Default 4,096 (Linux `PATH_MAX`). */
  pathBytes: number;
  /** Segments of one path in a layer. Default 256. */
  pathDepth: number;
  /** Bytes of memory, estimated, that an index of a layer's or an image's files may take: some 500 for each. Default 1 GiB. */
  indexBytes: number;
  /** Symlinks followed to find one file. Default 40, as Linux has it; past it the code is `LINK_LOOP`. */
  linkHops: number;
  /** Bytes of the PAX records or GNU long name before one entry; a file's xattrs count here. Default 1 MiB. */
  paxBytes: number;
  /** Data extents of one sparse file. Default 100,000. */
  sparseExtents: number;
  /** Bytes that one archive or layer may inflate to. Default 64 GiB. */
  inflatedBytes: number;
  /** Output per input byte of a gzip or zstd stream, asked once the output passes 1 GiB. Default 500; DEFLATE ends at 1,032. */
  inflateRatio: number;
  /** Bytes of a zstd frame's window; they are held while it is read. Default 128 MiB, what `zstd --ultra` asks for at most. */
  windowBytes: number;
  /** Bytes of a body of unknown size that may be held in memory to learn its size. Default 16 MiB. */
  bufferedBytes: number;
  /** Bytes of one blob that a server takes from a client. Default 64 GiB. */
  blobBytes: number;
  /** Chunks in which one blob may be uploaded to a server. Default 10,000. */
  uploadParts: number;
}

/** Apart from the others, so that who only reads documents need not load those. */
export const defaultJsonBytes: number = 4 * 1024 * 1024;

// No `**`: a bundler takes it for a call, and keeps what nobody asks for.
export const defaultLimits: Readonly<Limits> = {
  jsonBytes: defaultJsonBytes,
  indexDepth: 8,
  graphNodes: 100_000,
  documentBytes: 64 * 1024 * 1024,
  tarEntries: 2_000_000,
  pathBytes: 4096,
  pathDepth: 256,
  indexBytes: 1024 * 1024 * 1024,
  linkHops: 40,
  paxBytes: 1024 * 1024,
  sparseExtents: 100_000,
  inflatedBytes: 64 * 1024 * 1024 * 1024,
  inflateRatio: 500,
  windowBytes: 128 * 1024 * 1024,
  bufferedBytes: 16 * 1024 * 1024,
  blobBytes: 64 * 1024 * 1024 * 1024,
  uploadParts: 10_000,
};

/** The defaults with the caller's changes over them. */
export function resolveLimits(changes: Partial<Limits> = {}): Limits {
  return { ...defaultLimits, ...changes };
}

/** The error for a passed limit: `what` is the sentence's subject, as in `layer sha256:… inflates`. */
export function limitExceeded(
  limit: keyof Limits,
  limits: Partial<Limits>,
  what: string,
  details: Record<string, unknown> = {},
): StowageError {
  return new StowageError(
    'LIMIT_EXCEEDED',
    `${what}: past the limit ${limit} = ${limits[limit]}. If you trust this input, raise it with { limits: { ${limit}: … } }.`,
    { limit, maximum: limits[limit], ...details },
  );
}

/** The golden digests, read from vectors.json. */
import json from './vectors.json' with { type: 'json' };

export interface Vectors {
  /** Digests of uncompressed layers: diff ID and blob alike. */
  layers: Record<string, string>;
  images: Record<string, string>;
  /** Digests of the same layers in gzip of the portable engine, at its default level. */
  gzip: Record<string, string>;
}

export const vectors: Vectors = json;

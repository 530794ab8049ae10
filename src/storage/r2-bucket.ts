/**
 * The part of a Cloudflare R2 binding that the storage uses, so that the published types need none of Cloudflare's. An
 * `R2Bucket` of a Worker's environment is one.
 */

/** An R2 bucket as a Worker is given it. */
export interface R2BucketBinding {
  head(key: string): Promise<R2ObjectFacts | null>;
  get(
    key: string,
    options?: { range?: { offset: number; length: number } },
  ): Promise<(R2ObjectFacts & { body: ReadableStream }) | null>;
  /** `null` where the condition does not hold. */
  put(key: string, value: Uint8Array | string, options?: { onlyIf?: R2Condition }): Promise<R2ObjectFacts | null>;
  delete(keys: string | string[]): Promise<void>;
  list(options?: { prefix?: string; cursor?: string }): Promise<{
    objects: R2ObjectFacts[];
    truncated: boolean;
    cursor?: string;
  }>;
  createMultipartUpload(key: string): Promise<R2Upload>;
}

/** What R2 tells of an object. */
export interface R2ObjectFacts {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
  readonly uploaded: Date;
}

/** When a put may go through, by the object's ETag; `*` stands for any. */
export interface R2Condition {
  etagMatches?: string;
  etagDoesNotMatch?: string;
}

/** A multipart upload under way. Parts have 5 MiB at least, all the same size, but for the last. */
export interface R2Upload {
  uploadPart(partNumber: number, value: Uint8Array): Promise<R2Part>;
  complete(parts: R2Part[]): Promise<unknown>;
  abort(): Promise<void>;
}

/** What R2 gives for a part, to be handed back on completion. */
export interface R2Part {
  partNumber: number;
  etag: string;
}

/** One upload session of a registry: opened by POST, filled by PATCH, closed by PUT, and found again after a fault (distribution-spec, Push). */
import { StowageError } from '../errors.ts';
import { limitExceeded } from '../limits.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';
import { followLocation, withParameter } from './address.ts';
import { type Answer, broken } from './failure.ts';
import { checkStored } from './manifests.ts';
import type { Registry } from './registry.ts';
import { pauseBefore, Transient } from './retry.ts';
import { repositoryScope } from './scope.ts';
import type { Sending } from './transport.ts';

/** An upload that cannot be gone on with; another may be begun. Never leaves the room: `failure` is what is thrown where none can be. */
export class UploadLost extends Error {
  readonly failure: StowageError;

  constructor(failure: StowageError) {
    super(failure.message);
    this.failure = failure;
  }
}

/** A registry, or what stands before it, that takes nothing of a streamed request. It may take chunks. Never leaves the room. */
export class StreamRefused extends Error {}

/** What is sent in one request, and what is left of it in another after a fault. */
export interface UploadPart {
  size: number;
  /** The part's bytes from an offset in it on: in memory, or opened when they are sent. */
  from(offset: number): Uint8Array | (() => AsyncIterable<Uint8Array>);
}

/** A blob that the registry is to take from another of its repositories. */
export interface Mount {
  digest: Digest;
  /** The other repository's name. */
  from: string;
}

export class UploadSession {
  readonly #registry: Registry;
  readonly #name: string;
  #url: URL;
  /** Bytes that the registry has acknowledged. */
  #stored = 0;
  /** Bytes that each chunk but the last must have: `OCI-Chunk-Min-Length`. */
  readonly minimum: number;

  private constructor(registry: Registry, name: string, answer: Answer) {
    this.#registry = registry;
    this.#name = name;
    this.#url = followLocation(answer.url, answer.headers.get('location'), 'An upload');
    const minimum = answer.headers.get('oci-chunk-min-length') ?? '';
    this.minimum = /^\d{1,15}$/.test(minimum) ? Number(minimum) : 0;
  }

  /** A new session; `undefined` where the registry had the blob to `mount`. */
  static async open(
    registry: Registry,
    name: string,
    options: { digest?: Digest; mount?: Mount; signal?: AbortSignal },
  ): Promise<UploadSession | undefined> {
    const { digest, mount, signal } = options;
    let url = new URL(`/v2/${name}/blobs/uploads/`, registry.origin);
    const scopes = [repositoryScope(name, 'push')];
    if (mount !== undefined) {
      url = withParameter(withParameter(url, 'mount', mount.digest), 'from', mount.from);
      scopes.push(repositoryScope(mount.from, 'pull'));
    } else if (digest !== undefined && parseDigest(digest).algorithm !== 'sha256') {
      url = withParameter(url, 'digest-algorithm', parseDigest(digest).algorithm);
    }
    // Safe to repeat: a session that nobody uses expires.
    const accept = mount === undefined ? [202] : [201, 202];
    const answer = await registry.call({ method: 'POST', url, scopes, accept, signal });
    if (answer.status === 202) return new UploadSession(registry, name, answer);
    checkStored(url, answer.headers, mount!.digest);
    return undefined;
  }

  /** Throws `LIMIT_EXCEEDED` where the registry wants larger chunks than may be held in memory. */
  chunkSize(): number {
    const { chunkSize, limits, host } = this.#registry;
    if (this.minimum > Math.max(chunkSize, limits.bufferedBytes))
      throw limitExceeded('bufferedBytes', limits, `${host} wants chunks of ${this.minimum} bytes`);
    return Math.max(chunkSize, this.minimum);
  }

  /**
   * Appends a part of the blob. After a fault the registry is asked how much of it arrived, and gets the rest.
   *
   * @throws UploadLost where the session is gone, or has what was not sent.
   * @throws StreamRefused where nothing arrives of what is streamed.
   */
  async send(part: UploadPart, signal?: AbortSignal): Promise<void> {
    const start = this.#stored;
    const end = start + part.size;
    for (let failures = 0; this.#stored < end; ) {
      const offset = this.#stored;
      const body = part.from(offset - start);
      const isStreamed = typeof body === 'function';
      try {
        const answer = await this.#call('PATCH', this.#url, [202, 201, 204], {
          body,
          headers: {
            'Content-Type': 'application/octet-stream',
            'Content-Range': `${offset}-${end - 1}`,
            // Of a stream nobody else knows it, and not every runtime lets it be said.
            ...(isStreamed && { 'Content-Length': String(end - offset) }),
          },
          signal,
        });
        const stored = this.#goOn(answer) ?? end;
        if (stored === end) this.#stored = end;
        else throw new Transient(this.#incomplete(answer, stored, end));
      } catch (error) {
        const failure = mended(error);
        await pauseBefore(failure, failures++, this.#registry.retrying, signal);
        this.#stored = await this.#recover(start, end, signal);
        if (isStreamed && this.#stored === offset) throw new StreamRefused();
        // A connection that brings something each time may break often, on the way of a large blob.
        if (this.#stored - offset >= 1024 * 1024) failures = 0;
      }
    }
  }

  /**
   * Closes the session: what was sent, and `body` where that is all, is the blob `digest`.
   *
   * @throws UploadLost, also where the registry finds another digest: something was altered on the way.
   */
  async close(digest: Digest, body: Uint8Array | undefined, signal?: AbortSignal): Promise<void> {
    try {
      const answer = await this.#call('PUT', withParameter(this.#url, 'digest', digest), [201, 200, 204], {
        body,
        headers: body && { 'Content-Type': 'application/octet-stream' },
        patience: 5,
        signal,
      });
      checkStored(answer.url, answer.headers, digest);
    } catch (error) {
      if (error instanceof StowageError && isAboutUpload(error)) throw new UploadLost(error);
      throw error;
    }
  }

  /** Bytes that the registry holds; `undefined` where the session is gone. */
  async status(signal?: AbortSignal): Promise<number | undefined> {
    const request = { method: 'GET' as const, url: this.#url, scopes: [repositoryScope(this.#name, 'pull')], signal };
    try {
      const answer = await this.#registry.call({ ...request, accept: [204, 200, 202] });
      return this.#goOn(answer) ?? 0;
    } catch (error) {
      if (error instanceof StowageError && isAboutUpload(error)) return undefined;
      throw error;
    }
  }

  /** Tells the registry that nothing more comes. What it thinks of that is of no concern. */
  async cancel(): Promise<void> {
    try {
      const scopes = [`${repositoryScope(this.#name, 'push')},delete`];
      const accept = [200, 202, 204, 404];
      const signal = AbortSignal.timeout(5000);
      await this.#registry.call({ method: 'DELETE', url: this.#url, scopes, accept, repeat: false, signal });
    } catch {
      // Sessions expire.
    }
  }

  async #recover(start: number, end: number, signal: AbortSignal | undefined): Promise<number> {
    const stored = await this.status(signal);
    const lost = (problem: string): UploadLost =>
      new UploadLost(broken(this.#url, `lost an upload: ${problem}`, { expected: end, actual: stored }));
    if (stored === undefined) throw lost('the session is gone');
    // Registries say "0-0" for nothing as well as for one byte, so that nobody knows what to send next.
    if (stored === 1) throw lost('it does not say whether it has a byte');
    if (stored < start) throw lost(`of ${start} bytes that it acknowledged it has ${stored}`);
    if (stored > end) throw lost(`it has ${stored} bytes where ${end} were sent`);
    return stored;
  }

  /** The session's next URL and how much it holds, as an answer says. */
  #goOn(answer: Answer): number | undefined {
    const location = answer.headers.get('location');
    if (location !== null) this.#url = followLocation(answer.url, location, 'An upload');
    const range = /^(?:bytes=)?0-(-1|\d{1,15})$/.exec(answer.headers.get('range') ?? '');
    return range ? Number(range[1]) + 1 : undefined;
  }

  #incomplete(answer: Answer, stored: number, sent: number): StowageError {
    return broken(answer.url, `acknowledged a chunk, but stored ${stored} of ${sent} bytes`, {
      expected: sent,
      actual: stored,
    });
  }

  #call(
    method: 'PATCH' | 'PUT',
    url: URL,
    accept: readonly number[],
    more: { body?: Sending['body']; headers?: Record<string, string>; patience?: number; signal?: AbortSignal },
  ): Promise<Answer> {
    return this.#registry.call({
      ...more,
      method,
      url,
      accept,
      scopes: [repositoryScope(this.#name, 'push')],
      repeat: false,
    });
  }
}

/** A refusal that concerns the session and what was sent in it, not who asks or for what. */
function isAboutUpload({ details }: StowageError): boolean {
  const { status, registryCodes } = details as { status?: number; registryCodes?: string[] };
  if (status === 400) return registryCodes?.some((code) => uploadCodes.includes(code)) ?? false;
  return [404, 409, 410, 416].includes(status as number);
}

/** The last is none of the specification's, but distribution's. */
const uploadCodes = ['BLOB_UPLOAD_INVALID', 'BLOB_UPLOAD_UNKNOWN', 'DIGEST_INVALID', 'SIZE_INVALID', 'RANGE_INVALID'];

/** A chunk out of place is mended as one that was lost is; other refusals of it end the session. */
function mended(error: unknown): unknown {
  if (!(error instanceof StowageError)) return error;
  if (error.details.status === 416) return new Transient(error);
  return isAboutUpload(error) ? new UploadLost(error) : error;
}

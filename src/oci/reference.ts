/** References, `registry/repository:tag@digest`, with the grammar and the short forms that container engines share. */
import { StowageError } from '../errors.ts';
import { show } from './check.ts';
import { type Digest, parseDigest } from './digest.ts';

/** The name of an image in a registry. */
export interface Reference {
  /** Host, and port where there is one: `docker.io`, `localhost:5000`, `[::1]:5000`. */
  registry: string;
  /** Path within the registry, lower-case, up to 255 characters: `library/alpine`. */
  repository: string;
  /** Up to 128 characters. */
  tag?: string;
  digest?: Digest;
}

/**
 * Reads a reference. What stands before the first `/` is a registry if it is `localhost` or has a dot, a colon or a
 * bracket; else the registry is Docker Hub, `docker.io`, where a name without `/` lies in `library/`. The tag is `latest`
 * where neither tag nor digest is given, and only there.
 *
 * @example
 * parseReference('alpine'); // { registry: 'docker.io', repository: 'library/alpine', tag: 'latest' }
 * @throws `REFERENCE_INVALID`, which says what is wrong.
 */
export function parseReference(text: string): Reference {
  const invalid = (problem: string, cause?: unknown): StowageError =>
    new StowageError('REFERENCE_INVALID', `Reference ${show(text)}: ${problem}.`, { reference: show(text) }, { cause });
  if (typeof text !== 'string' || !text) throw invalid('must be a string such as alpine:3.20');
  if (text.includes('://')) throw invalid('has a scheme; leave it out');
  if (/^[a-f\d]{64}$/.test(text)) throw invalid('is a bare digest; write repository@sha256:…');

  const [named, encoded] = cut(text, text.indexOf('@'));
  const colon = named.lastIndexOf(':');
  const [name, tag] = cut(named, colon > named.lastIndexOf('/') ? colon : -1);
  const slash = name.indexOf('/');
  const host = name.slice(0, Math.max(slash, 0));
  const isHost = host === 'localhost' || /[.:[]/.test(host);
  const registry = !isHost || host === 'index.docker.io' ? hub : host;
  let repository = isHost ? name.slice(slash + 1) : name;
  if (!repository) throw invalid('has no repository');
  if (registry === hub && !repository.includes('/')) repository = `library/${repository}`;

  if (registry.length > 255 || !hostPattern.test(registry))
    throw invalid(`${show(registry)} is not a host, or host:port`);
  if (repository.length > 255) throw invalid(`the repository has ${repository.length} characters; 255 are allowed`);
  if (/[A-Z]/.test(repository))
    throw invalid(`the repository ${show(repository)} must be lower-case (a host has a dot or a port)`);
  if (!repositoryPattern.test(repository))
    throw invalid(`the repository ${show(repository)} must be words of a-z and 0-9, joined by one of . _ __ - and /`);
  const reference: Reference = { registry, repository };
  if (tag !== undefined) {
    if (!/^\w[\w.-]{0,127}$/.test(tag))
      throw invalid(`the tag ${show(tag)} must be 1 to 128 of letters, digits, _ . -, and not start with . or -`);
    reference.tag = tag;
  }
  if (encoded !== undefined) {
    try {
      parseDigest(encoded);
    } catch (cause) {
      throw invalid((cause as Error).message.slice(0, -1), cause);
    }
    reference.digest = encoded;
  }
  if (tag === undefined && encoded === undefined) reference.tag = 'latest';
  return reference;
}

/** The canonical form, which `parseReference` reads back to the same: `docker.io/library/alpine:latest`. */
export function formatReference({ registry, repository, tag, digest }: Reference): string {
  return `${registry}/${repository}${tag ? `:${tag}` : ''}${digest ? `@${digest}` : ''}`;
}

/** The short form that people write: `alpine` for `docker.io/library/alpine:latest`. */
export function familiarReference(reference: Reference): string {
  const { digest, tag } = reference;
  return formatReference({ ...reference, tag: tag === 'latest' && !digest ? undefined : tag }).replace(
    /^docker\.io\/(?:library\/(?=[^/]+$))?/,
    '',
  );
}

const hub = 'docker.io';
const hostPattern = /^(?:[a-z\d]+(?:-+[a-z\d]+)*(?:\.[a-z\d]+(?:-+[a-z\d]+)*)*|\[[a-f\d:]+\])(?::\d{1,5})?$/i;
const repositoryPattern = /^[a-z\d]+(?:(?:[._/]|__|-+)[a-z\d]+)*$/;

/** The text before and after one position; nothing after where it is -1. */
function cut(text: string, at: number): [before: string, after?: string] {
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

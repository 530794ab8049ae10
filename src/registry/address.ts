/** Where requests may go, and with what: origins, loopback, redirects, upload locations, and URLs fit to be shown. */
import { StowageError } from '../errors.ts';

/** Hosts that are this very machine: `localhost`, `*.localhost`, 127.0.0.0/8 and `[::1]`, with or without a port. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, '').toLowerCase();
  return name === '[::1]' || /^(.+\.)?localhost\.?$/.test(name) || /^127(\.\d{1,3}){3}$/.test(name);
}

/** Docker Hub answers under another name than its images carry. */
export function registryOrigin(registry: string, plainHttp: boolean = isLoopback(registry)): URL {
  return new URL(`${plainHttp ? 'http' : 'https'}://${registry === 'docker.io' ? 'registry-1.docker.io' : registry}`);
}

/** The URL without user name, password, query and fragment, which may carry secrets: for errors. */
export function plainUrl(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

/** True where credentials may be sent: https, or a loopback host. */
export function isConfidential(url: URL): boolean {
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.host));
}

/**
 * Where a redirect or an upload continues. A user name in it is dropped. `http:` on the same host as an `https:` URL is
 * read as `https:`: registries behind a proxy that ends TLS often do not know their own scheme.
 *
 * @throws `REGISTRY_INVALID` for no URL, another protocol, or a step from https down to http.
 */
export function followLocation(from: URL, location: string | null, what: string): URL {
  const refuse = (problem: string): StowageError =>
    new StowageError('REGISTRY_INVALID', `${what} at ${plainUrl(from)} ${problem}. Nothing was sent there.`, {
      url: plainUrl(from),
    });
  if (location === null || location === '') throw refuse('names no Location to go on at');
  if (!URL.canParse(location, from)) throw refuse('names a Location that is no URL');
  const next = new URL(location, from);
  next.username = '';
  next.password = '';
  next.hash = '';
  if (from.protocol === 'https:' && next.protocol === 'http:' && next.hostname === from.hostname) {
    next.protocol = 'https:';
    if (next.port === '80') next.port = '';
  }
  if (next.protocol !== 'https:' && next.protocol !== 'http:') throw refuse(`leads to the protocol ${next.protocol}`);
  if (from.protocol === 'https:' && next.protocol === 'http:') throw refuse(`leads from https to ${next.origin}`);
  return next;
}

/** The URL with one more query parameter, all else as it was: an upload's URL must be used exactly as it was given. */
export function withParameter(url: URL, name: string, value: string): URL {
  return new URL(`${url.href}${url.search === '' ? '?' : '&'}${name}=${encodeURIComponent(value)}`);
}

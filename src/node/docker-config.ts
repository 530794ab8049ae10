/** The credentials that `docker login` keeps: `config.json` and the credential helpers that it names. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { StowageError } from '../errors.ts';
import { isObject } from '../oci/check.ts';
import { parseJson } from '../oci/json.ts';
import type { Credentials, CredentialsCallback } from '../registry/auth.ts';
import { diskFailed, isMissing } from '../storage/node-file.ts';
import { localPath } from './read-file.ts';

export interface DockerCredentialsOptions {
  /** The file. Default: `config.json` in the directory that `DOCKER_CONFIG` names, else in `.docker` of the home directory. */
  path?: string | URL;
}

/**
 * A callback for `RemoteRepository` that knows what `docker login` knows. For each registry the first of: its helper in `credHelpers`, the helper
 * `credsStore`, its entry in `auths`. A registry that none of them knows is asked as nobody; a missing file knows none. The file is
 * read anew each time.
 *
 * @throws, from the callback, `JSON_INVALID` for a broken file, `UNAUTHORIZED` for a helper that is missing or fails.
 * @example
 * const repository = new RemoteRepository('ghcr.io/team/app', { credentials: dockerCredentials() });
 */
export function dockerCredentials(options: DockerCredentialsOptions = {}): CredentialsCallback {
  return async (registry) => {
    const path = options.path === undefined ? defaultPath() : localPath(options.path);
    const config = await readConfig(path);
    const helpers = isObject(config.credHelpers) ? config.credHelpers : {};
    const { credsStore } = config;
    for (const name of namesOf(registry)) {
      const helper = helpers[name];
      if (typeof helper === 'string' && helper !== '') return askHelper(helper, name, registry);
    }
    if (typeof credsStore === 'string' && credsStore !== '') {
      const found = await askHelper(credsStore, serverName(registry), registry);
      if (found) return found;
    }
    return readEntry(config.auths, registry, path);
  };
}

function defaultPath(): string {
  return join(process.env.DOCKER_CONFIG || join(homedir(), '.docker'), 'config.json');
}

async function readConfig(path: string): Promise<Record<string, unknown>> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (isMissing(error)) return {};
    throw diskFailed('reading', path, error);
  }
  const config = parseJson(bytes, { what: path });
  if (isObject(config)) return config;
  throw new StowageError('JSON_INVALID', `${path}: it must be an object, as docker writes it.`, { path });
}

/** Docker Hub goes by the address of its first version. */
function serverName(registry: string): string {
  return registry === 'docker.io' ? 'https://index.docker.io/v1/' : registry;
}

function namesOf(registry: string): string[] {
  return registry === 'docker.io'
    ? [serverName(registry), 'index.docker.io', 'docker.io', 'registry-1.docker.io']
    : [registry, `https://${registry}`];
}

/** An entry by its very name, else by its host: older ones are whole URLs. */
function readEntry(auths: unknown, registry: string, path: string): Credentials | undefined {
  if (!isObject(auths)) return undefined;
  const hostOf = (key: string): string => key.replace(/^https?:\/\//, '').replace(/\/.*/s, '');
  const names = namesOf(registry);
  const key =
    names.find((name) => Object.hasOwn(auths, name)) ??
    Object.keys(auths).find(
      (name) => /^[^/]+\/?$|^https?:\/\/[^/]+(\/v[12]\/?)?\/?$/.test(name) && names.includes(hostOf(name)),
    );
  const entry = key === undefined ? undefined : auths[key];
  if (!isObject(entry)) return undefined;
  const { identitytoken, registrytoken, auth, username, password } = entry;
  if (typeof identitytoken === 'string' && identitytoken !== '') return { refreshToken: identitytoken };
  if (typeof registrytoken === 'string' && registrytoken !== '') return { token: registrytoken };
  if (typeof auth === 'string' && auth !== '') {
    const text = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '');
    const colon = text.indexOf(':');
    if (colon > 0) return { username: text.slice(0, colon), password: text.slice(colon + 1) };
    throw new StowageError(
      'JSON_INVALID',
      `${path}: auths[${JSON.stringify(key)}].auth must be base64 of user:password. Log in to ${registry} anew.`,
      { path, field: `auths.${key}.auth` },
    );
  }
  if (typeof username === 'string' && typeof password === 'string' && username !== '') return { username, password };
  return undefined;
}

/** The protocol of docker-credential-helpers: the server's name on standard input, an object on standard output. */
async function askHelper(helper: string, server: string, registry: string): Promise<Credentials | undefined> {
  const command = `docker-credential-${helper}`;
  const refuse = (problem: string): StowageError =>
    new StowageError('UNAUTHORIZED', `The credential helper ${command} ${problem}, so ${registry} is not asked.`, {
      registry,
      helper: command,
    });
  // The name becomes a program's: no path, no argument.
  if (!/^[\w.-]+$/.test(helper)) throw refuse('has a name that no helper has');
  const { code, output } = await new Promise<{ code: unknown; output: string }>((resolve) => {
    const child = execFile(command, ['get'], { timeout: 60_000, maxBuffer: 1024 * 1024 }, (error, stdout) =>
      resolve({ code: error === null ? 0 : (error.code ?? 'a signal'), output: stdout }),
    );
    child.stdin?.on('error', () => {});
    child.stdin?.end(`${server}\n`);
  });
  if (code === 'ENOENT') throw refuse('is not on this machine');
  if (code !== 0) {
    // The one failure that has words of its own.
    if (/credentials not found/i.test(output)) return undefined;
    throw refuse(`failed with ${code}`);
  }
  let answer: unknown;
  try {
    answer = JSON.parse(output);
  } catch {
    // What it wrote may hold a secret: it is not shown.
  }
  const { Username: username, Secret: secret } = Object(answer) as { Username?: unknown; Secret?: unknown };
  if (typeof username !== 'string' || typeof secret !== 'string') throw refuse('answered with what is no credentials');
  if (username === '<token>') return { refreshToken: secret };
  return username === '' && secret === '' ? undefined : { username, password: secret };
}

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { dockerCredentials } from '../../src/node/docker-config.ts';
import { failure, failureOf } from '../content/contract.ts';
import { temporaryDirectory } from '../peers/peers.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

describe("docker's config.json", () => {
  let folder: string;
  const path = process.env.PATH;
  beforeEach(() => {
    folder = temporaryDirectory();
  });
  afterEach(() => {
    process.env.PATH = path;
    delete process.env.DOCKER_CONFIG;
  });
  const credentials = (config: unknown, registry: string) => {
    const file = join(folder, 'config.json');
    writeFileSync(file, typeof config === 'string' ? config : JSON.stringify(config));
    return Promise.resolve(dockerCredentials({ path: file })(registry));
  };
  const helper = (name: string, script: string): void => {
    const bin = join(folder, 'bin');
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, `docker-credential-${name}`), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, `docker-credential-${name}`), 0o755);
    process.env.PATH = `${bin}:${path}`;
  };

  test('a user name and password are found by the registry, however its entry is written', async () => {
    const entry = { auth: base64('me:pa:ss') };
    const expected = { username: 'me', password: 'pa:ss' };
    for (const key of ['ghcr.io', 'https://ghcr.io', 'https://ghcr.io/', 'https://ghcr.io/v2/', 'ghcr.io/'])
      expect(await credentials({ auths: { [key]: entry } }, 'ghcr.io')).toEqual(expected);
    for (const key of ['https://index.docker.io/v1/', 'docker.io', 'index.docker.io'])
      expect(await credentials({ auths: { [key]: entry } }, 'docker.io')).toEqual(expected);
    expect(
      await credentials({ auths: { 'localhost:5000': { username: 'u', password: 'p' } } }, 'localhost:5000'),
    ).toEqual({
      username: 'u',
      password: 'p',
    });
  });

  test('another registry gets nothing', async () => {
    const auths = { 'ghcr.io': { auth: base64('me:secret') }, 'quay.io/team': { auth: base64('me:secret') } };
    for (const registry of ['docker.io', 'evil-ghcr.io', 'ghcr.io.evil.example', 'ghcr.io:444', 'quay.io', '__proto__'])
      expect(await credentials({ auths }, registry)).toBe(undefined);
    expect(await credentials({}, 'ghcr.io')).toBe(undefined);
    expect(await dockerCredentials({ path: join(folder, 'nowhere') })('ghcr.io')).toBe(undefined);
  });

  test('identity and registry tokens are known', async () => {
    const auths = { 'a.example': { auth: base64('me:'), identitytoken: 'i' }, 'b.example': { registrytoken: 'r' } };
    expect(await credentials({ auths }, 'a.example')).toEqual({ refreshToken: 'i' });
    expect(await credentials({ auths }, 'b.example')).toEqual({ token: 'r' });
  });

  test('the file is looked for where DOCKER_CONFIG says', async () => {
    await credentials({ auths: { 'a.example': { auth: base64('me:secret') } } }, 'a.example');
    process.env.DOCKER_CONFIG = folder;
    expect(await dockerCredentials()('a.example')).toEqual({ username: 'me', password: 'secret' });
  });

  test('helpers are asked by the name of the server, and the entries after them', async () => {
    helper(
      'one',
      `read server; echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"$server\\",\\"Secret\\":\\"s\\"}"`,
    );
    helper('token', `echo '{"Username":"<token>","Secret":"refresh"}'`);
    helper('empty', `echo 'credentials not found in native keychain'; exit 1`);
    const config = {
      auths: { 'c.example': { auth: base64('me:secret') } },
      credHelpers: { 'a.example': 'token' },
      credsStore: 'one',
    };
    expect(await credentials(config, 'a.example')).toEqual({ refreshToken: 'refresh' });
    expect(await credentials(config, 'b.example')).toEqual({ username: 'b.example', password: 's' });
    expect(await credentials(config, 'docker.io')).toEqual({ username: 'https://index.docker.io/v1/', password: 's' });
    expect(await credentials({ ...config, credsStore: 'empty' }, 'c.example')).toEqual({
      username: 'me',
      password: 'secret',
    });
    expect(await credentials({ ...config, credsStore: 'empty' }, 'd.example')).toBe(undefined);
  });

  test('a helper that is missing, fails or babbles is an error that shows nothing of what it said', async () => {
    helper('fails', 'echo top-secret; exit 3');
    helper('babbles', 'echo top-secret');
    for (const credsStore of ['fails', 'babbles', 'nowhere', '../../bin/sh', 'a b']) {
      const error = await failureOf(credentials({ credsStore }, 'a.example'));
      expect(error.code).toBe('UNAUTHORIZED');
      expect(error.message).not.toContain('top-secret');
    }
  });

  test('a broken file is refused, its secrets unseen', async () => {
    expect(await failure(credentials('{', 'a.example'))).toBe('JSON_INVALID');
    expect(await failure(credentials('[]', 'a.example'))).toBe('JSON_INVALID');
    const error = await failureOf(credentials({ auths: { 'a.example': { auth: base64('no colon') } } }, 'a.example'));
    expect(error.code).toBe('JSON_INVALID');
    expect(error.message).not.toContain('no colon');
  });
});

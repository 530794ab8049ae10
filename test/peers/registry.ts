/** Debian's docker-registry on a free port of this machine, open to all, behind Basic, or behind a token server of ours. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createSocketServer } from 'node:net';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { findPeer } from './debian.ts';
import { temporaryDirectory } from './peers.ts';

/** Who may log in to a registry with Basic, and at the token server. */
export const registryUser = { username: 'user', password: 'pass-word-1' } as const;

/** The identity token that the token server takes as well. */
export const registryRefreshToken = 'refresh-token-1';

export interface RunningRegistry {
  /** `127.0.0.1:PORT`. */
  host: string;
  /** Where it keeps its files. */
  root: string;
  /** What the token server was asked: for each token, its scopes and how the client proved itself. */
  tokenRequests: { scopes: string[]; by: 'nobody' | 'password' | 'refresh token' }[];
  stop(): Promise<void>;
}

/** Starts a registry, which ends with the test file at the latest. */
export async function startRegistry(auth: 'none' | 'basic' | 'bearer' = 'none'): Promise<RunningRegistry> {
  const root = temporaryDirectory();
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  const tokens = auth === 'bearer' ? await startTokenServer(join(root, 'bundle.pem')) : undefined;
  const lines = [
    'version: 0.1',
    'log: { level: error, accesslog: { disabled: true } }',
    `storage: { filesystem: { rootdirectory: ${join(root, 'data')}, maxthreads: 100 }, delete: { enabled: true } }`,
    `http: { addr: "${host}", secret: test }`,
  ];
  if (auth === 'basic') {
    // bcrypt of the password above.
    writeFileSync(
      join(root, 'htpasswd'),
      `${registryUser.username}:$2b$04$C6rhoJL6htnSJawswsEwje4o3iBJkkYwtK87sofMheJwhzadXKKwW\n`,
    );
    lines.push(`auth: { htpasswd: { realm: test, path: ${join(root, 'htpasswd')} } }`);
  }
  if (tokens) {
    const { realm, bundle } = tokens;
    lines.push(`auth: { token: { realm: "${realm}", service: test, issuer: test, rootcertbundle: ${bundle} } }`);
  }
  mkdirSync(join(root, 'data'));
  writeFileSync(join(root, 'config.yml'), `${lines.join('\n')}\n`);
  const path = findPeer('docker-registry') ?? 'docker-registry';
  const child = spawn(path, ['serve', join(root, 'config.yml')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, OTEL_TRACES_EXPORTER: 'none' },
  });
  let complaint = '';
  child.stderr.on('data', (data) => {
    complaint = `${complaint}${data}`.slice(-4000);
  });
  const stop = async (): Promise<void> => {
    started.delete(stop);
    await Promise.all([end(child), tokens?.stop()]);
  };
  started.add(stop);
  for (let tries = 0; ; tries++) {
    const answer = await fetch(`http://${host}/v2/`).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer?.status === (auth === 'none' ? 200 : 401)) break;
    if (tries === 200 || child.exitCode !== null) throw new Error(`docker-registry did not start: ${complaint}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { host, root: join(root, 'data'), tokenRequests: tokens?.requests ?? [], stop };
}

const started = new Set<() => Promise<void>>();

afterAll(async () => {
  await Promise.all([...started].map((stop) => stop()));
});

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

async function freePort(): Promise<number> {
  const server = createSocketServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

interface TokenServer {
  realm: string;
  bundle: string;
  requests: RunningRegistry['tokenRequests'];
  stop(): Promise<unknown>;
}

/** Gives everyone tokens to pull, and to push and delete only to who proves to be the user. */
async function startTokenServer(bundle: string): Promise<TokenServer> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  writeFileSync(bundle, certificate(privateKey, publicKey));
  const requests: RunningRegistry['tokenRequests'] = [];
  const server: Server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const fields =
      request.method === 'POST' ? new URLSearchParams(body) : new URL(request.url ?? '', 'http://x').searchParams;
    const basic = `Basic ${Buffer.from(`${registryUser.username}:${registryUser.password}`).toString('base64')}`;
    const { authorization } = request.headers;
    const by = request.method === 'POST' ? 'refresh token' : authorization === undefined ? 'nobody' : 'password';
    const isKnown =
      by === 'refresh token' ? fields.get('refresh_token') === registryRefreshToken : authorization === basic;
    const scopes = fields
      .getAll('scope')
      .flatMap((scope) => scope.split(' '))
      .filter((scope) => scope !== '');
    requests.push({ scopes, by });
    if (by !== 'nobody' && !isKnown) {
      response.writeHead(401).end(JSON.stringify({ errors: [{ code: 'UNAUTHORIZED', message: 'wrong password' }] }));
      return;
    }
    const access = scopes.map((scope) => {
      const [type, name, actions = ''] = scope.split(':');
      return { type, name, actions: actions.split(',').filter((action) => isKnown || action === 'pull') };
    });
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: 'test',
      sub: '',
      aud: 'test',
      exp: now + 300,
      nbf: now - 10,
      iat: now,
      jti: `${now}`,
      access,
    };
    const token = jsonWebToken(privateKey, publicKey, claims);
    response.writeHead(200, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify({ token, access_token: token, expires_in: 300 }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const stop = (): Promise<unknown> => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { realm: `http://127.0.0.1:${port}/token`, bundle, requests, stop };
}

function jsonWebToken(privateKey: KeyObject, publicKey: KeyObject, claims: object): string {
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const header = { typ: 'JWT', alg: 'ES256', kid: keyId(spki) };
  const text = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  const signature = sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}

/** As libtrust names keys: the first 240 bits of the SHA-256 in base32, in groups of four. */
function keyId(spki: Buffer): string {
  const bits = [...createHash('sha256').update(spki).digest().subarray(0, 30)]
    .map((byte) => byte.toString(2).padStart(8, '0'))
    .join('');
  const letters = (bits.match(/.{5}/g) ?? []).map(
    (five) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'[Number.parseInt(five, 2)],
  );
  return (letters.join('').match(/.{4}/g) ?? []).join(':');
}

/** The least X.509 certificate that carries the key, signed by itself. */
function certificate(privateKey: KeyObject, publicKey: KeyObject): string {
  const der = (tag: number, ...parts: Uint8Array[]): Buffer => {
    const body = Buffer.concat(parts);
    const size = body.length;
    const length = size < 128 ? [size] : size < 256 ? [0x81, size] : [0x82, size >> 8, size & 255];
    return Buffer.concat([Buffer.from([tag, ...length]), body]);
  };
  const ecdsaWithSha256 = der(0x30, der(0x06, Buffer.from([0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02])));
  const commonName = der(0x30, der(0x06, Buffer.from([0x55, 0x04, 0x03])), der(0x0c, Buffer.from('test')));
  const name = der(0x30, der(0x31, commonName));
  const time = (text: string): Buffer => der(0x17, Buffer.from(text));
  const body = der(
    0x30,
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([1])),
    ecdsaWithSha256,
    name,
    der(0x30, time('200101000000Z'), time('491231235959Z')),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
  );
  const signature = der(0x03, Buffer.from([0]), sign('sha256', body, privateKey));
  const text = der(0x30, body, ecdsaWithSha256, signature).toString('base64').replace(/.{64}/g, '$&\n');
  return `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`;
}

/** Every pull and push through a proxy that breaks one request after the other: all end with the right content, or cleanly. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import {
  Agent,
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect } from 'vitest';
import { digestOf } from '../../src/bytes/hash.ts';
import { pmapBounded } from '../../src/bytes/pmap-bounded.ts';
import { copy } from '../../src/content/copy.ts';
import { StowageError } from '../../src/errors.ts';
import { Image } from '../../src/image/image.ts';
import { push } from '../../src/image/push.ts';
import { Layout } from '../../src/layout/layout.ts';
import type { RegistryOptions } from '../../src/registry/registry.ts';
import { RemoteRepository } from '../../src/registry/repository.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { pattern } from '../content/contract.ts';
import { hasPeer } from '../peers/debian.ts';
import { peerTest } from '../peers/peers.ts';
import { type RunningRegistry, startRegistry } from '../peers/registry.ts';

/** What is done to one request. `request` faults strike on the way up, the others on the way down. */
const faults = [
  'cut before',
  'cut in the request',
  'cut in the answer',
  'stall',
  'delay',
  '429',
  '500 before',
  '500 after',
  'corrupt the request',
  'corrupt the answer',
] as const;
type Fault = (typeof faults)[number];

/** Passes requests on to a registry, and strikes at the one numbered `at`. */
class FaultyProxy {
  fault: Fault | undefined;
  at = -1;
  /** How many requests after that it strikes again. */
  every = Number.POSITIVE_INFINITY;
  count = 0;
  struck = 0;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #server: Server;
  readonly #port: number;

  constructor(upstream: string) {
    this.#port = Number(upstream.split(':')[1]);
    this.#server = createServer((request, response) => void this.#pass(request, response));
    this.#server.keepAliveTimeout = 1000;
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  strike(fault: Fault, at: number, every: number): void {
    this.fault = fault;
    this.at = at;
    this.every = every;
    this.count = 0;
    this.struck = 0;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
    this.#agent.destroy();
  }

  async #pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const number = this.count++;
    const fault = number >= this.at && (number - this.at) % this.every === 0 ? this.fault : undefined;
    if (fault !== undefined) this.struck++;
    try {
      const body: Buffer[] = [];
      for await (const chunk of request) body.push(chunk);
      let sent: Buffer = Buffer.concat(body);
      if (fault === 'cut before') return void response.destroy();
      if (fault === 'stall') return;
      if (fault === '429') return void response.writeHead(429, { 'Retry-After': '0' }).end();
      if (fault === '500 before') return void response.writeHead(500).end();
      if (fault === 'delay') await new Promise((resolve) => setTimeout(resolve, 40));
      if (fault === 'corrupt the request') sent = flip(sent);
      if (fault === 'cut in the request') {
        await this.#forward(request, sent, sent.length >> 1).catch(() => {});
        return void response.destroy();
      }
      const answer = await this.#forward(request, sent, sent.length);
      if (fault === '500 after') return void response.writeHead(500).end();
      response.writeHead(answer.status, answer.headers);
      if (fault === 'cut in the answer') {
        response.flushHeaders();
        response.write(answer.body.subarray(0, answer.body.length >> 1), () => response.destroy());
      } else response.end(fault === 'corrupt the answer' ? flip(answer.body) : answer.body);
    } catch {
      response.destroy();
    }
  }

  /** Sends `length` bytes of the body, and breaks the connection where that is not all. */
  #forward(
    from: IncomingMessage,
    body: Buffer,
    length: number,
  ): Promise<{ status: number; headers: IncomingMessage['headers']; body: Buffer }> {
    return new Promise((resolve, reject) => {
      const { method, url: path, headers } = from;
      const to = httpRequest(
        { host: '127.0.0.1', port: this.#port, method, path, headers, agent: this.#agent },
        async (answer) => {
          try {
            const chunks: Buffer[] = [];
            for await (const chunk of answer) chunks.push(chunk);
            const { connection: _, ...kept } = answer.headers;
            resolve({ status: answer.statusCode ?? 500, headers: kept, body: Buffer.concat(chunks) });
          } catch (error) {
            reject(error);
          }
        },
      );
      to.on('error', reject);
      if (length === body.length) to.end(body);
      else to.write(body.subarray(0, length), () => setTimeout(() => to.destroy(new Error('cut')), 5));
    });
  }
}

function flip(bytes: Buffer): Buffer {
  const flipped = Buffer.from(bytes);
  if (flipped.length > 0) flipped[flipped.length >> 1]! ^= 1;
  return flipped;
}

const needs = ['docker-registry'] as const;

describe('an image of ten layers, with a fault at every request in turn', () => {
  let server: RunningRegistry;
  let image: Image;
  let large: Image;
  // Only who is to be seen through a stall need be impatient; a machine may be slow without one.
  const optionsFor = (fault: Fault): RegistryOptions => ({
    retryDelay: 2,
    timeout: fault === 'stall' ? 250 : 20_000,
    retries: 12,
    chunkSize: 20_000,
  });

  beforeAll(async () => {
    if (!hasPeer('docker-registry')) return;
    server = await startRegistry();
    image = Image.scratch();
    for (let number = 0; number < 10; number++) {
      // One is streamed, the others go up in one request each.
      const body = pattern(number === 3 ? 50_000 : 3000).map((byte) => byte ^ number);
      image = await image.addLayer([{ path: `file-${number}`, body }], { compression: 'none' });
    }
    large = Image.scratch().append(image.layers[3]!);
    await push(image, new RemoteRepository(`${server.host}/source`), { tags: ['1'] });
  });

  /**
   * Runs the task with each fault at each request, the faults beside one another: once with a fault at the first request, the 17th and so on, then
   * with one at the second and the 18th. Gives how often each fault struck, and how often the task failed.
   */
  async function everywhere(
    task: (host: string, name: string, options: RegistryOptions) => Promise<void>,
  ): Promise<Record<Fault, { struck: number; failed: number }>> {
    const tallies = await pmapBounded(
      async (fault) => {
        const tally = { struck: 0, failed: 0 };
        const proxy = new FaultyProxy(server.host);
        const host = await proxy.listen();
        for (let at = 0; at < 16; at++) {
          proxy.strike(fault, at, 16);
          try {
            await task(host, `${fault.replaceAll(' ', '-')}-${at}`, optionsFor(fault));
          } catch (error) {
            if (!(error instanceof StowageError)) throw error;
            tally.failed++;
          }
          if (proxy.struck === 0) break;
          tally.struck += proxy.struck;
        }
        proxy.close();
        return [fault, tally] as const;
      },
      faults,
      5,
    );
    return Object.fromEntries(tallies) as Record<Fault, { struck: number; failed: number }>;
  }

  peerTest(
    needs,
    'a pull succeeds, or fails with nothing wrong kept',
    async () => {
      const tally = await everywhere(async (host, _, options) => {
        const storage = new MemoryStorage();
        const layout = await Layout.create(storage);
        try {
          const [root] = await copy(new RemoteRepository(`${host}/source`, options), layout, { references: ['1'] });
          expect(root?.digest).toBe(image.descriptor.digest);
        } finally {
          expect((await layout.verify()).faults).toEqual([]);
        }
      });
      for (const fault of faults) {
        expect(tally[fault].struck).toBeGreaterThan(11);
        // A corrupt answer is seen at its end, when it has been handed on: there is nothing to repeat.
        if (fault !== 'corrupt the answer') expect([fault, tally[fault].failed]).toEqual([fault, 0]);
      }
      expect(tally['corrupt the answer'].failed).toBeGreaterThan(0);
    },
    600_000,
  );

  peerTest(
    needs,
    'a push succeeds, and leaves no wrong blob in the registry',
    async () => {
      const names: string[] = [];
      const tally = await everywhere(async (host, name, options) => {
        names.push(name);
        await push(image, new RemoteRepository(`${host}/push/${name}`, options), { tags: ['1'] });
        const direct = new RemoteRepository(`${server.host}/push/${name}`);
        expect((await direct.resolve('1')).digest).toBe(image.descriptor.digest);
      });
      for (const fault of faults) {
        expect(tally[fault].struck).toBeGreaterThan(30);
        expect([fault, tally[fault].failed]).toEqual([fault, 0]);
      }
      expect(names.length).toBeGreaterThan(100);
      expect(corruptBlobs(server.root)).toEqual([]);
    },
    600_000,
  );

  peerTest(
    needs,
    'a push in chunks does as well',
    async () => {
      const tally = await everywhere(async (host, name, options) => {
        const repository = new RemoteRepository(`${host}/chunks/${name}`, { ...options, streamUploads: false });
        await push(large, repository, { tags: ['1'] });
        const direct = new RemoteRepository(`${server.host}/chunks/${name}`);
        expect((await direct.resolve('1')).digest).toBe(large.descriptor.digest);
      });
      for (const fault of faults) {
        expect(tally[fault].struck).toBeGreaterThan(10);
        expect([fault, tally[fault].failed]).toEqual([fault, 0]);
      }
      expect(corruptBlobs(server.root)).toEqual([]);
    },
    600_000,
  );

  peerTest(needs, 'a registry that fails for good fails the call soon', async () => {
    const proxy = new FaultyProxy(server.host);
    const host = await proxy.listen();
    for (const fault of ['cut before', 'cut in the request', 'stall', '429', '500 before', '500 after'] as const) {
      proxy.strike(fault, 5, 1);
      const name = `for-good/${fault.replaceAll(' ', '-')}`;
      const repository = new RemoteRepository(`${host}/${name}`, { ...optionsFor('stall'), retries: 1 });
      await expect(push(image, repository, { tags: ['1'] })).rejects.toBeInstanceOf(StowageError);
      await expect(new RemoteRepository(`${server.host}/${name}`).resolve('1')).rejects.toBeInstanceOf(StowageError);
    }
    proxy.close();
  });
});

/** Files of the registry whose content is not what their name says. */
function corruptBlobs(root: string): string[] {
  const folder = join(root, 'docker/registry/v2/blobs');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('/data'));
  expect(files.length).toBeGreaterThan(10);
  return files.filter((path) => {
    const file = join(folder, path);
    return statSync(file).isFile() && digestOf(readFileSync(file)) !== `sha256:${path.split('/').at(-2)}`;
  });
}

/**
 * `npm run bench`: what the library costs, as ratios to the bare codec and beside its peers, all in one run on one input:
 * a tree of real files copied from what is installed here. Absolute figures move with the machine; ratios hardly do.
 * `npm run bench -- 3 extract` measures three rounds of the tables whose titles hold that word.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bun } from '../test/runtimes/bun.ts';
import { deno } from '../test/runtimes/deno.ts';
import { node } from '../test/runtimes/node.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
const folder = join(here, '../.cache/bench');
const treeBytes = 150e6;
const rounds = Number(process.argv[2] ?? 2);
const wanted = (process.argv[3] ?? '').toLowerCase();
const isWanted = (title: string): boolean => title.toLowerCase().includes(wanted);

interface Result {
  seconds: number;
  /** Of all cores. */
  cpu?: number;
  bytes?: number;
  note?: string;
  /** Of resident memory, in bytes. */
  peak?: number;
}

/** What is measured, and how. */
type Row = [string, () => Promise<Result | undefined>];

interface RunningRegistry {
  host: string;
  stop(): void;
}

const tree = join(folder, 'tree');
const tar = join(folder, 'tree.tar');
const blob = join(folder, 'layer.tar.gz');
const scratch = join(folder, 'scratch');
const written = join(folder, 'written.tar.gz');
const half = join(folder, 'half');
const big = join(folder, 'seven.tar');

const otherRuntimes = [
  { ...node(26), before: [] },
  { ...deno, before: ['run', '--allow-all', '--quiet'] },
  { ...bun, before: [] },
];

await prepare();

await table('Build a gzip layer from the tree, level 6 (limit: node:zlib on the finished tar)', 'gzip-bare', [
  ['bare gzip, node:zlib', () => job('gzip-bare')],
  ['stowage, native engine', () => job('build-native')],
  ['stowage, portable engine', () => job('build-portable')],
  ['stowage, portable engine, two workers', () => job('build-portable', '6 2')],
  ['stowage, portable engine, level 3', () => job('build-portable', '3')],
  ['stowage, portable engine, level 3, two workers', () => job('build-portable', '3 2')],
  ...otherRuntimes.flatMap((runtime): Row[] => [
    [`the same in ${runtime.name}`, () => job('build-portable', '3', runtime)],
    [`the same in ${runtime.name}, two workers`, () => job('build-portable', '3 2', runtime)],
  ]),
  ['stowage, uncompressed', () => job('build-none')],
  ['GNU tar | gzip -6', () => shell(`tar -C ${tree} -c . | gzip -6 > ${written}`)],
  ['umoci insert', () => umoci((image) => `umoci insert --image ${image} ${tree} /`)],
  ['umoci raw add-layer (of the finished tar)', () => umoci(addLayer(tar))],
  ['node-tar', () => job('build-node-tar')],
  ['modern-tar', () => job('build-modern-tar')],
  ['tar-stream', () => job('build-tar-stream')],
  ['nanotar (files only, all in memory)', () => job('build-nanotar')],
]);
const levels = [1, 2, 3, 4, 5, 6, 7, 8, 9];
await table(
  'Compress the tar of the tree at each level (limit: node:zlib, level 6)',
  'zlib 6',
  [
    ['zlib 6', () => job('compress-zlib', '6 1')],
    ...levels.map((level): Row => [`stowage ${level}, one thread`, () => job('compress-portable', `${level} 1 0`)]),
    ...[3, 6].flatMap((level): Row[] => [
      [`stowage ${level}, one worker`, () => job('compress-portable', `${level} 1 1`)],
      [`stowage ${level}, two workers`, () => job('compress-portable', `${level} 1 2`)],
    ]),
    ...levels
      .filter((level) => level !== 6)
      .map((level): Row => [`zlib ${level}`, () => job('compress-zlib', `${level} 1`)]),
    ...[1, 6].map((level): Row => [`fflate ${level}`, () => job('compress-fflate', `${level} 1`)]),
    ...[1, 6, 9].map((level): Row => [`gzip -${level}`, () => shell(`gzip -${level} < ${tar} > ${written}`)]),
    ...[1, 6, 9].map((level): Row => [`pigz -p 2 -${level}`, () => shell(`pigz -p 2 -${level} < ${tar} > ${written}`)]),
    ['umoci raw add-layer', () => umoci(addLayer(tar))],
  ],
  1,
);
const tars = `cat ${Array(7).fill(tar).join(' ')}`;
await table(
  'Compress that tar seven times over, 1.1 GB, at level 6 (limit: node:zlib)',
  'zlib',
  [
    ['zlib', () => job('compress-zlib', '6 7')],
    ['stowage, one thread', () => job('compress-portable', '6 7 0')],
    ['stowage, one worker', () => job('compress-portable', '6 7 1')],
    ['stowage, two workers', () => job('compress-portable', '6 7 2')],
    ['stowage, level 3, one worker', () => job('compress-portable', '3 7 1')],
    ['stowage, level 3, two workers', () => job('compress-portable', '3 7 2')],
    ['fflate', () => job('compress-fflate', '6 7')],
    ['gzip', () => shell(`${tars} | gzip -6 > ${written}`)],
    ['pigz, two threads', () => shell(`${tars} | pigz -p 2 -6 > ${written}`)],
    [
      'umoci raw add-layer',
      async () => {
        await shell(`${tars} > ${big}`);
        return umoci(addLayer(big));
      },
    ],
    ['node-tar', () => job('compress-node-tar')],
  ],
  1,
);
await rm(big, { force: true });
await table('List that layer (limit: node:zlib gunzip of the same blob)', 'gunzip-bare', [
  ['bare gunzip, node:zlib', () => job('gunzip-bare')],
  ['stowage, layer.entries()', () => job('list-stowage')],
  ['GNU tar', () => shell(`tar -tzf ${blob} > /dev/null`)],
  ['bsdtar', () => shell(`bsdtar -tf ${blob} > /dev/null`)],
  ['node-tar', () => job('list-node-tar')],
  ['modern-tar', () => job('list-modern-tar')],
  ['tar-stream', () => job('list-tar-stream')],
  ['nanotar (all in memory)', () => job('list-nanotar')],
]);
await table('Extract that image to a directory', 'extract-stowage', [
  ['stowage, extract()', () => job('extract-stowage')],
  ['GNU tar, xzf', () => intoEmpty((directory) => `tar -C ${directory} -xzf ${blob}`)],
  [
    'umoci unpack',
    () => intoEmpty((directory) => `umoci unpack --image ${join(folder, 'layout')}:tree ${directory}/bundle`),
  ],
  ['bsdtar', () => intoEmpty((directory) => `bsdtar -C ${directory} -xpzf ${blob}`)],
  ['node-tar', () => job('extract-node-tar')],
  ['modern-tar', () => job('extract-modern-tar')],
]);
const blobs = Array.from({ length: 7 }, (_, number) => join(folder, `stack-${number}.tar.gz`));
await table('Look into an image of 1 GiB in seven gzip layers, 38,000 files (limit: GNU tar)', 'tar', [
  ['GNU tar, -tzf of each layer', () => shell(blobs.map((path) => `tar -tzf ${path} > /dev/null`).join(' && '))],
  ['stowage, files.walk()', () => job('walk-stack')],
  ['bsdtar, -tf of each layer', () => shell(blobs.map((path) => `bsdtar -tf ${path} > /dev/null`).join(' && '))],
  ['stowage, a small file of the top layer', () => job('read-top-of-stack')],
  ['stowage, a small file of the base layer', () => job('read-base-of-stack')],
]);
await table('An image of 1 GiB, already compressed', undefined, [
  ['set a label: open, change, write to its layout', () => job('label-1GiB')],
  ['append a layer, set a label', () => job('append-1GiB')],
  ['copy it to another layout', () => job('copy-1GiB')],
  ['save it as one .tar.gz', () => job('save-1GiB')],
]);
const pull = 'Pull 500 MB from docker-registry into a layout (limit: skopeo)';
const push = 'Push 500 MB from a layout to an empty docker-registry (limit: skopeo)';
const serving = 'Push 500 MB by skopeo to an empty registry (limit: docker-registry)';
const registry = [pull, push, serving].some(isWanted) ? await startRegistry() : undefined;
if (registry) {
  await shell(`skopeo copy -q --dest-tls-verify=false oci:${half}:half docker://${registry.host}/pull:half`);
  await table(pull, 'skopeo', [
    [
      'skopeo',
      () =>
        shell(
          `rm -rf ${scratch}; skopeo copy -q --src-tls-verify=false docker://${registry.host}/pull:half oci:${scratch}:half`,
        ),
    ],
    ['stowage', () => job('pull-500MB', registry.host)],
  ]);
  registry.stop();
  await table(push, 'skopeo', [
    ['skopeo', () => onEmptyRegistry(pushBySkopeo)],
    ['stowage', () => onEmptyRegistry((host) => job('push-500MB', host))],
  ]);
  await table(serving, 'docker-registry', [
    ['docker-registry', () => onEmptyRegistry(pushBySkopeo)],
    ['stowage, serveNode(serve(new NodeStorage()))', () => onEmptyRegistry(pushBySkopeo, startServer)],
  ]);
}
await table(
  'Bounds',
  undefined,
  [['build a layer from 2 GiB of streams into a directory', () => job('memory-2GiB')]],
  1,
);

async function table(title: string, limit: string | undefined, rows: Row[], times: number = rounds): Promise<void> {
  if (!isWanted(title)) return;
  console.log(
    `\n${title}\n${'what'.padEnd(48)}${'seconds'.padStart(9)}${'CPU s'.padStart(8)}${'ratio'.padStart(8)}${'MB out'.padStart(9)}${'peak MiB'.padStart(10)}`,
  );
  const best = new Map<string, Result>();
  // Round by round, not row by row, so that a slow minute of the machine falls on all rows alike.
  for (let round = 0; round < times; round++) {
    for (const [name, measure] of rows) {
      const result = await measure();
      if (result && result.seconds < (best.get(name)?.seconds ?? Number.POSITIVE_INFINITY)) best.set(name, result);
    }
  }
  const base = limit ? best.get(rows[0]?.[0] ?? '')?.seconds : undefined;
  for (const [name] of rows) {
    const result = best.get(name);
    const cells = result
      ? [
          result.seconds.toFixed(3).padStart(9),
          (result.cpu?.toFixed(2) ?? '').padStart(8),
          (base ? (result.seconds / base).toFixed(2) : '').padStart(8),
          (result.bytes ? (result.bytes / 1e6).toFixed(1) : '').padStart(9),
          (result.peak ? (result.peak / 2 ** 20).toFixed(0) : '').padStart(10),
          result.note ? `  ${result.note}` : '',
        ]
      : ['  not on this machine'];
    console.log(name.padEnd(48) + cells.join(''));
  }
}

/** A tree of at least `treeBytes` from what is installed, its tar, a layout of it, and images of 1 GiB. Kept for the next run. */
async function prepare(): Promise<void> {
  if (!(await exists(join(folder, 'tree.tar')))) {
    await rm(folder, { recursive: true, force: true });
    await mkdir(join(folder, 'tree'), { recursive: true });
    let copied = 0;
    for (const from of [
      '/usr/lib/python3',
      '/usr/share/perl',
      '/usr/lib/git-core',
      '/usr/lib/gcc',
      '/usr/share/doc',
      '/usr/lib/x86_64-linux-gnu',
      '/usr/lib/aarch64-linux-gnu',
      '/usr/lib',
      '/usr/share',
    ]) {
      if (copied < treeBytes && (await exists(from)))
        copied += await copyTree(from, join(folder, 'tree', from), treeBytes - copied);
    }
    await shell(`tar -C ${join(folder, 'tree')} -cf ${join(folder, 'tree.tar')} .`);
  }
  if (!(await exists(join(folder, 'layout/oci-layout')))) await job('make-layout');
  if (!(await exists(join(folder, 'big/oci-layout')))) await job('make-1GiB');
  if (!(await exists(join(folder, 'stack-6.tar.gz')))) await job('make-stack');
  if (!(await exists(join(half, 'oci-layout')))) await job('make-500MB');
}

/** Copies files until `most` bytes are reached; links and devices stay behind, as the peers differ in how they take them. */
async function copyTree(from: string, to: string, most: number): Promise<number> {
  let copied = 0;
  for (const entry of await readdir(from, { withFileTypes: true })) {
    if (copied >= most) break;
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (await exists(target)) continue;
    if (entry.isDirectory()) copied += await copyTree(source, target, most - copied);
    if (!entry.isFile()) continue;
    const { size } = await stat(source);
    if (size > 32e6) continue;
    await mkdir(dirname(target), { recursive: true });
    await cp(source, target);
    copied += size;
  }
  return copied;
}

/** A command that adds a layer to an image without any, whose making is not measured. */
async function umoci(command: (image: string) => string): Promise<Result | undefined> {
  const layout = join(folder, 'umoci');
  await shell(`rm -rf ${layout}; umoci init --layout ${layout} && umoci new --image ${layout}:x`);
  const result = await shell(command(`${layout}:x`));
  if (!result) return undefined;
  const blobs = join(layout, 'blobs/sha256');
  const sizes = await Promise.all((await readdir(blobs)).map(async (name) => (await stat(join(blobs, name))).size));
  return { ...result, bytes: Math.max(...sizes) };
}

function addLayer(tar: string): (image: string) => string {
  return (image) => `umoci raw add-layer --image ${image} ${tar}`;
}

/** A command that fills a directory, whose making and removal are not measured. */
async function intoEmpty(command: (directory: string) => string): Promise<Result | undefined> {
  const directory = join(folder, 'extracted');
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory);
  const result = await shell(command(directory));
  await rm(directory, { recursive: true, force: true });
  return result;
}

/** A new docker-registry without content; `undefined` where the machine lacks it. */
async function startRegistry(): Promise<RunningRegistry | undefined> {
  const root = join(folder, 'registry');
  await rm(root, { recursive: true, force: true });
  await mkdir(root, { recursive: true });
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const host = `127.0.0.1:${(probe.address() as AddressInfo).port}`;
  probe.close();
  await once(probe, 'close');
  const config = `{ version: 0.1, log: { level: error, accesslog: { disabled: true } }, storage: { filesystem: { rootdirectory: ${root} } }, http: { addr: "${host}" } }`;
  await writeFile(join(folder, 'registry.yml'), config);
  const command = `exec docker-registry serve ${join(folder, 'registry.yml')}`;
  const child = spawn('sh', ['-c', command], { stdio: 'ignore' });
  const failed = once(child, 'exit');
  for (let tries = 0; tries < 200; tries++) {
    const answer = await fetch(`http://${host}/v2/`).catch(() => undefined);
    await answer?.text();
    if (answer?.ok) return { host, stop: () => child.kill() };
    if (await Promise.race([failed, new Promise((resolve) => setTimeout(resolve, 50))])) return undefined;
  }
  throw new Error('docker-registry does not answer');
}

/** The library's own, without content. */
async function startServer(): Promise<RunningRegistry> {
  await rm(join(folder, 'registry'), { recursive: true, force: true });
  const child = spawn(process.execPath, [join(here, 'jobs.mjs'), 'serve', folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [port] = (await once(child.stdout, 'data')) as [Buffer];
  return { host: `127.0.0.1:${String(port).trim()}`, stop: () => child.kill() };
}

async function onEmptyRegistry<T>(
  task: (host: string) => Promise<T>,
  start: () => Promise<RunningRegistry | undefined> = startRegistry,
): Promise<T | undefined> {
  const registry = await start();
  try {
    return registry && (await task(registry.host));
  } finally {
    registry?.stop();
  }
}

/** Seconds alone: the memory would be skopeo's. */
async function pushBySkopeo(host: string): Promise<Result | undefined> {
  const result = await shell(`skopeo copy -q --dest-tls-verify=false oci:${half}:half docker://${host}/push:half`);
  return result && { seconds: result.seconds };
}

/** One of jobs.mjs; `undefined` where the machine lacks the runtime. Node's own, unless told. */
async function job(
  name: string,
  argument = '',
  { find, before } = { find: (): string | undefined => process.execPath, before: [] as string[] },
): Promise<Result | undefined> {
  const program = find();
  if (program === undefined) return undefined;
  const { code, output } = await run(program, [...before, join(here, 'jobs.mjs'), name, folder, argument]);
  if (code !== 0) throw new Error(`job ${name} failed: ${output}`);
  return JSON.parse(output.trim().split('\n').at(-1) ?? '') as Result;
}

/** A command of the shell; `undefined` where the machine lacks it. Memory and CPU time need GNU time. */
async function shell(command: string): Promise<Result | undefined> {
  const timed = await exists('/usr/bin/time');
  const start = process.hrtime.bigint();
  const { code, output } = timed
    ? await run('/usr/bin/time', ['-f', 'used %M %U %S', 'sh', '-c', command])
    : await run('sh', ['-c', command]);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  if (code === 127) return undefined;
  if (code !== 0) throw new Error(`${command}: ${output}`);
  const [, peak, user, system] = /used (\d+) (\S+) (\S+)/.exec(output) ?? [];
  const bytes = command.endsWith(written) ? (await stat(written)).size : undefined;
  if (peak === undefined) return { seconds, bytes };
  return { seconds, cpu: Number(user) + Number(system), bytes, peak: Number(peak) * 1024 };
}

function run(command: string, args: string[]): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: here });
    let output = '';
    child.stdout.on('data', (data) => (output += data));
    child.stderr.on('data', (data) => (output += data));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output }));
  });
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

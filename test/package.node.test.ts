/** What npm would publish: installed into empty projects of every kind, type-checked, bundled, measured and run. */
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { build as bundle } from 'esbuild';
import { Miniflare } from 'miniflare';
import { preview, build as viteBuild } from 'vite';
import { beforeAll, describe, expect, test } from 'vitest';
import { type BundledSize, sizeByEsbuild, sizeByVite } from './bundled-size.ts';
import { peerTest, run, temporaryDirectory } from './peers/peers.ts';
import { bun } from './runtimes/bun.ts';
import { deno } from './runtimes/deno.ts';
import { withBrowser } from './storage/browsers.ts';
import vectors from './vectors/vectors.json' with { type: 'json' };

const root = join(import.meta.dirname, '..');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  dependencies: Record<string, string>;
  exports: Record<string, { default: string } | string>;
};
const readme = readFileSync(join(root, 'README.md'), 'utf8');
/** Where the library is packed to: the tarball `stowage-….tgz`, and what it holds in `package/`. */
const packed = temporaryDirectory();
const program = /```js\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';

// Built beside the checkout's own dist/, which others may be building at this moment.
beforeAll(async () => {
  const built = temporaryDirectory();
  const bin = (name: string): string => join(root, 'node_modules/.bin', name);
  for (const file of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md'])
    copyFileSync(join(root, file), join(built, file));
  await run(bin('vite'), ['build', '--logLevel', 'warn', '--outDir', join(built, 'dist')], { cwd: root });
  await run(bin('tsc'), ['-p', 'tsconfig.build.json', '--outDir', join(built, 'dist')], { cwd: root });
  await run('npm', ['pack', '--silent', '--pack-destination', packed], { cwd: built });
  await run('tar', ['-xzf', tarball()], { cwd: packed });
});

describe('the README', () => {
  test('has a program that runs as pasted, in an empty project', async () => {
    const project = emptyProject();
    writeFileSync(join(project, 'program.mjs'), program);
    const { stdout } = await run(process.execPath, ['program.mjs'], { cwd: project, env: { SOURCE_DATE_EPOCH: '' } });
    expect(stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/);
    expect(readdirSync(project)).toContain('hello.tar.gz');
  });

  test('gives the same digest when its program runs again', async () => {
    const digests = await Promise.all(
      [1, 2].map(async () => {
        const project = emptyProject();
        writeFileSync(join(project, 'program.mjs'), program);
        return (await run(process.execPath, ['program.mjs'], { cwd: project })).stdout;
      }),
    );
    expect(digests[0]).toBe(digests[1]);
  });
});

describe('the package', () => {
  for (const moduleResolution of ['bundler', 'nodenext']) {
    test(`type-checks in a strict project with moduleResolution ${moduleResolution}, without types of Node in the portable entries`, async () => {
      const project = emptyProject();
      const entries = Object.keys(manifest.exports).filter((entry) => entry !== './package.json');
      const portable = entries.filter((entry) => !entry.includes('node'));
      const importAll = (names: string[]): string =>
        names.map((name, index) => `export * as e${index} from 'stowage${name.slice(1)}';\n`).join('');
      writeFileSync(join(project, 'portable.ts'), importAll(portable));
      writeFileSync(join(project, 'program.mts'), program);
      writeFileSync(join(project, 'all.ts'), importAll(entries));
      const options = {
        module: moduleResolution === 'bundler' ? 'esnext' : 'nodenext',
        moduleResolution,
        target: 'es2022',
        strict: true,
        noEmit: true,
        exactOptionalPropertyTypes: true,
      };
      const check = async (files: string[], types: string[], lib: string[]): Promise<void> => {
        writeFileSync(
          join(project, 'tsconfig.json'),
          JSON.stringify({ compilerOptions: { ...options, types, lib }, files }),
        );
        await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', project]);
      };
      await check(['portable.ts'], [], ['es2022', 'dom', 'dom.asynciterable']);
      symlinkSync(join(root, 'node_modules/@types'), join(project, 'node_modules/@types'));
      await check(['all.ts', 'program.mts'], ['node'], ['es2022', 'dom', 'dom.asynciterable']);
    });
  }

  test('holds no WebAssembly, eval or new Function, and its portable entries import nothing of Node', () => {
    const dist = join(packed, 'package/dist');
    for (const file of jsFiles(dist)) {
      expect(readFileSync(file, 'utf8'), file).not.toMatch(/\bWebAssembly\b|\beval\s*\(|new Function\b/);
    }
    for (const [entry, target] of Object.entries(manifest.exports)) {
      if (typeof target === 'string' || entry.includes('node')) continue;
      for (const file of reachedFrom(join(packed, 'package', target.default))) {
        expect(readFileSync(file, 'utf8'), `${entry}: ${file}`).not.toMatch(/(?:from|import\()\s*['"]node:/);
      }
    }
  });

  test('is taken without complaint by publint and arethetypeswrong', async () => {
    const bin = (name: string): string => join(root, 'node_modules/.bin', name);
    await run(bin('publint'), ['--strict', join(packed, 'package')]);
    await run(bin('attw'), [tarball(), '--profile', 'esm-only']);
  });
});

/** Builds, saves and reads back an image whose layer has a golden digest, by what is loaded at once and what is loaded later. */
const roundTrip = `import { createLayer, Image, saveTarball } from 'stowage';
export async function roundTrip() {
  const motd = { path: 'etc/motd', body: 'hello\\n', mode: 0o600, uid: 1000, gid: 100 };
  const layer = await createLayer([motd], { mtime: 1709208000 });
  const image = Image.scratch({ created: 0 }).append(layer).entrypoint(['/bin/sh']);
  const archive = await new Response(saveTarball(image, { tag: 'demo:1.0' })).arrayBuffer();
  const paths = [];
  for await (const { header } of layer.entries()) paths.push(header.path);
  const large = await createLayer([{ path: 'zeros', body: new Uint8Array(5 * 1024 * 1024) }], { mtime: 0 });
  return [layer.descriptor.digest, paths.join(), image.descriptor.digest, archive.byteLength, large.descriptor.digest].join(' ');
}
`;

describe('the package, installed, builds and reads the same image', () => {
  let expected = '';

  beforeAll(async () => {
    const project = projectWith({
      'main.mjs': `import { roundTrip } from './round-trip.mjs'; console.log(await roundTrip());`,
    });
    expected = (await run(process.execPath, ['main.mjs'], { cwd: project })).stdout.trim();
  });

  test('in Node, with the golden digest', () => {
    expect(expected.split(' ')[0]).toBe(vectors.gzip['one file']);
    expect(expected.split(' ')[1]).toBe('etc,etc/motd');
  });

  test('or says by a code that a script of it is gone, as from a site that was deployed anew', async () => {
    const project = projectWith({
      'main.mjs': `import { roundTrip } from './round-trip.mjs';
await roundTrip().catch(({ name, code, cause }) => console.log(name, code, cause.code));`,
    });
    const dist = join(project, 'node_modules/stowage/dist');
    for (const name of readdirSync(dist)) if (name.startsWith('packing-')) rmSync(join(dist, name));
    const { stdout } = await run(process.execPath, ['main.mjs'], { cwd: project });
    expect(stdout).toBe('StowageError MODULE_UNAVAILABLE ERR_MODULE_NOT_FOUND\n');
  });

  test('in Deno by npm:, with no permission', async () => {
    const main = `import { roundTrip } from './round-trip.mjs'; console.log(await roundTrip());`;
    const project = projectWith({ 'main.mjs': main });
    writeFileSync(join(project, 'round-trip.mjs'), roundTrip.replace("'stowage'", "'npm:stowage'"));
    const flags = ['run', '--no-prompt', '--quiet', '--cached-only', '--no-lock', '--node-modules-dir=manual'];
    const env = { DENO_DIR: temporaryDirectory(), DENO_NO_UPDATE_CHECK: '1' };
    const { stdout } = await run(deno.find() as string, [...flags, 'main.mjs'], { cwd: project, env });
    expect(stdout.trim()).toBe(expected);
  });

  test('in Bun', async () => {
    const project = projectWith({
      'main.mjs': `import { roundTrip } from './round-trip.mjs'; console.log(await roundTrip());`,
    });
    const { stdout } = await run(bun.find() as string, ['run', '--no-install', 'main.mjs'], { cwd: project });
    expect(stdout.trim()).toBe(expected);
  });

  peerTest(['chromium'], 'in a Vite app, in Chromium, under a policy that allows its own scripts alone', async () => {
    const project = projectWith({
      'index.html': '<!doctype html><title>app</title><script type="module" src="/main.js"></script>',
      'main.js': `import { roundTrip } from './round-trip.mjs'; globalThis.result = roundTrip().catch(String);`,
    });
    const common = { root: project, configFile: false, logLevel: 'silent' } as const;
    await viteBuild({ ...common, build: { target: 'es2022' } });
    const policy = "default-src 'none'; script-src 'self'; connect-src 'self'; worker-src 'self'";
    const headers = { 'Content-Security-Policy': policy };
    const server = await preview({ ...common, preview: { host: '127.0.0.1', port: 0, headers } });
    try {
      await withBrowser('chromium', async (browser) => {
        const page = await browser.newPage();
        await page.goto(server.resolvedUrls?.local[0] as string);
        await page.waitForFunction('globalThis.result !== undefined');
        expect(await page.evaluate('globalThis.result')).toBe(expected);
      });
    } finally {
      await server.close();
    }
  });

  test('in a Worker bundled by esbuild, in workerd', async () => {
    const main = `import { roundTrip } from './round-trip.mjs';
export default { fetch: async () => new Response(await roundTrip().catch(String)) };`;
    const project = projectWith({ 'worker.mjs': main });
    const { outputFiles } = await bundle({
      entryPoints: [join(project, 'worker.mjs')],
      bundle: true,
      write: false,
      format: 'esm',
      target: 'es2022',
    });
    const script = outputFiles[0]!.text;
    const worker = new Miniflare({ modules: true, script, compatibilityDate: '2026-01-01' });
    try {
      expect(await (await worker.dispatchFetch('http://worker.test/')).text()).toBe(expected);
    } finally {
      await worker.dispose();
    }
  });
});

describe('what is loaded at once', () => {
  /** Bytes, minified and gzipped, runtime dependencies included. */
  const bounds: { name: string; code: string; vite: number; esbuild: number }[] = [
    {
      name: "{ Image, saveTarball } of 'stowage'",
      code: `export { Image, saveTarball } from 'stowage';`,
      vite: 20_000,
      esbuild: 20_000,
    },
    {
      name: "all of 'stowage'",
      code: `export * from 'stowage';`,
      vite: 32_000,
      esbuild: 32_000,
    },
    {
      name: "all of 'stowage/oci'",
      code: `export * from 'stowage/oci';`,
      vite: 5_000,
      esbuild: 5_000,
    },
    {
      name: "{ parseManifest } of 'stowage/oci'",
      code: `export { parseManifest } from 'stowage/oci';`,
      vite: 2_900,
      esbuild: 2_900,
    },
    {
      name: "{ isDigest } of 'stowage/oci'",
      code: `export { isDigest } from 'stowage/oci';`,
      vite: 300,
      esbuild: 300,
    },
  ];

  for (const { name, code, ...bound } of bounds) {
    test(`${name} stays small`, async () => {
      const project = projectWith({ 'main.js': code });
      const sizes: Record<'vite' | 'esbuild', BundledSize> = {
        vite: await sizeByVite(project, 'main.js'),
        esbuild: await sizeByEsbuild(project, 'main.js'),
      };
      for (const bundler of ['vite', 'esbuild'] as const) {
        const { atOnce, later } = sizes[bundler];
        const sum = later.reduce((total, [, bytes]) => total + bytes, 0);
        console.log(`${name}, by ${bundler}: ${atOnce} bytes at once; later, each when it is needed, ${sum}:`);
        if (sum > 0) console.log(later.map(([script, bytes]) => `${bytes} ${script}`).join(', '));
        expect(atOnce).toBeLessThanOrEqual(bound[bundler]);
      }
    });
  }

  test('nothing that rewrites or reads images, for a program that only builds and saves one', async () => {
    const project = projectWith({ 'main.js': bounds[0]!.code });
    const { code } = await sizeByVite(project, 'main.js');
    for (const trace of ['createMD', 'was renamed to', 'squash', 'not JSON from offset', 'docker save', 'Z_BUF_ERROR'])
      expect(code, trace).not.toContain(trace);
    expect(code).toContain('Give a whole number from 0 (stored) to 9');
  });
});

function projectWith(files: Record<string, string>): string {
  const project = emptyProject();
  for (const [name, text] of Object.entries({ 'round-trip.mjs': roundTrip, ...files }))
    writeFileSync(join(project, name), text);
  return project;
}

function tarball(): string {
  return join(packed, readdirSync(packed).find((name) => name.endsWith('.tgz')) as string);
}

/** A project with the library and its dependencies installed, and nothing else. */
function emptyProject(): string {
  const project = temporaryDirectory();
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({ name: 'project', private: true, type: 'module', dependencies: { stowage: '*' } }),
  );
  const link = (from: string, name: string): void => {
    const to = join(project, 'node_modules', name);
    mkdirSync(dirname(to), { recursive: true });
    symlinkSync(from, to);
  };
  // Copied, as an install does: through a link its imports would resolve beside the original.
  cpSync(join(packed, 'package'), join(project, 'node_modules/stowage'), { recursive: true });
  for (const name of Object.keys(manifest.dependencies)) link(join(root, 'node_modules', name), name);
  return project;
}

function jsFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.js'))
    .map((name) => join(folder, name));
}

/** The file and all that it imports, statically or not, within the package. */
function reachedFrom(file: string, seen: Set<string> = new Set()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, specifier] of readFileSync(file, 'utf8').matchAll(/(?:from|import\()\s*['"](\.[^'"]+)['"]/g)) {
    reachedFrom(join(dirname(file), specifier as string), seen);
  }
  return seen;
}

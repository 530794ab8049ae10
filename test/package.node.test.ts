/** What npm would publish: installed into empty projects, type-checked by their compilers, and run. */
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { run, temporaryDirectory } from './peers/peers.ts';

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

function tarball(): string {
  return join(packed, readdirSync(packed).find((name) => name.endsWith('.tgz')) as string);
}

/** A project with the library and its dependencies installed, and nothing else. */
function emptyProject(): string {
  const project = temporaryDirectory();
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'project', private: true, type: 'module' }));
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

/**
 * What a bundler makes a program load: at once, by its entry and all that this imports, and later, by `import()` and workers.
 * size-limit (11 is the last for Node 20) sums all chunks, or takes the entry without what it imports, and knows no Vite.
 */
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build as esbuild } from 'esbuild';
import { type Rolldown, build as vite } from 'vite';

/** Bytes of minified scripts, each gzipped by itself as a server would send it. */
export interface BundledSize {
  atOnce: number;
  /** Each script that may be loaded later, by the name that the bundler gives it, the largest first. */
  later: [name: string, size: number][];
  /** The scripts that are loaded at once. */
  code: string;
}

interface Script {
  code: string;
  imports: string[];
}

export async function sizeByVite(project: string, entry: string): Promise<BundledSize> {
  const built = (await vite({
    root: project,
    configFile: false,
    logLevel: 'silent',
    build: {
      write: false,
      target: 'es2022',
      // Vite's own helper, which is no part of the library.
      modulePreload: false,
      rolldownOptions: { input: join(project, entry), preserveEntrySignatures: 'strict' },
    },
  })) as Rolldown.RolldownOutput;
  const scripts = new Map<string, Script>();
  for (const output of built.output) {
    if (output.type === 'chunk') scripts.set(output.fileName, { code: output.code, imports: output.imports });
    else if (output.fileName.endsWith('.js'))
      scripts.set(output.fileName, { code: String(output.source), imports: [] });
  }
  return measure(scripts, built.output.find((output) => output.type === 'chunk' && output.isEntry)!.fileName);
}

export async function sizeByEsbuild(project: string, entry: string): Promise<BundledSize> {
  const built = await esbuild({
    entryPoints: [join(project, entry)],
    absWorkingDir: project,
    outdir: project,
    bundle: true,
    splitting: true,
    minify: true,
    metafile: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    logLevel: 'silent',
  });
  const text = new Map(built.outputFiles.map(({ path, text }) => [path, text]));
  const scripts = new Map<string, Script>();
  let first = '';
  for (const [path, { imports, entryPoint }] of Object.entries(built.metafile.outputs)) {
    if (entryPoint === entry) first = path;
    scripts.set(path, {
      code: text.get(join(project, path)) as string,
      imports: imports.flatMap(({ kind, path }) => (kind === 'import-statement' ? [path] : [])),
    });
  }
  return measure(scripts, first);
}

function measure(scripts: ReadonlyMap<string, Script>, entry: string): BundledSize {
  const atOnce = new Set<string>();
  const visit = (name: string): void => {
    if (atOnce.has(name)) return;
    atOnce.add(name);
    for (const imported of scripts.get(name)!.imports) visit(imported);
  };
  visit(entry);
  const size: BundledSize = { atOnce: 0, later: [], code: '' };
  for (const [name, { code }] of scripts) {
    const bytes = gzipSync(code, { level: 9 }).length;
    if (!atOnce.has(name)) size.later.push([basename(name), bytes]);
    else {
      size.atOnce += bytes;
      size.code += code;
    }
  }
  size.later.sort(([, a], [, b]) => b - a);
  return size;
}

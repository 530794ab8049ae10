/** Deno, from npm's `deno`, and with no permission at all: the library asks for none. */
import { join } from 'node:path';
import { root } from './bundle.ts';
import { firstProgram, type Runtime, startConsole } from './runtime.ts';

const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';

export const deno: Runtime = {
  name: 'deno',
  inside: 'console',
  source: 'npm ci',
  find: () =>
    firstProgram([
      join(root, `node_modules/@deno/linux-${architecture}-glibc/deno`),
      join(root, `node_modules/@deno/darwin-${architecture}/deno`),
      join(root, 'node_modules/deno/deno'),
    ]),
  start: async (program, bundle, tell) => startConsole(program, ['run', '--no-prompt', '--quiet', bundle], tell),
};

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
  // The outcomes of the last run lie above the bundle as `deno.json`, which Deno would take for its configuration.
  start: async (program, bundle, tell) =>
    startConsole(program, ['run', '--no-config', '--no-prompt', '--quiet', bundle], tell),
};

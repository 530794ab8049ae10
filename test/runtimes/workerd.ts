/** Cloudflare's runtime, from npm's `workerd`, without Node's modules: what a Worker has that asks for no compatibility. */
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { firstProgram, lineOf, type Runtime, startProgram, tellLines, versionOf } from './runtime.ts';

export const workerd: Runtime = {
  name: 'workerd',
  inside: 'worker',
  source: 'npm ci',
  find: () => firstProgram(platformPackages().map((name) => resolved(`${name}/bin/workerd`))),
  start: async (program, bundle, tell) => {
    const config = join(dirname(bundle), 'config.capnp');
    writeFileSync(config, configuration(basename(bundle)));
    const { child, ended, stop } = startProgram(program, ['serve', '--control-fd=3', config]);
    const listening = await lineOf(child.stdio[3] as Readable, /"event":"listen".*"port":(\d+)/).catch(
      async (error) => {
        await stop();
        throw new Error(`${error.message}\n${await ended}`);
      },
    );
    const response = await fetch(`http://127.0.0.1:${listening}/`);
    const closed = tellLines(Readable.fromWeb(response.body as never), tell).then(
      () => 'the Worker closed its response',
      (error) => `the Worker's response broke: ${error}`,
    );
    return { version: versionOf(program), ended: Promise.race([ended, closed]), stop };
  },
};

function platformPackages(): string[] {
  const architecture = process.arch === 'arm64' ? 'arm64' : '64';
  return [`@cloudflare/workerd-${process.platform}-${architecture}`];
}

/** Wherever npm has put it; an empty path where it has not. */
function resolved(specifier: string): string {
  try {
    return createRequire(import.meta.url).resolve(specifier);
  } catch {
    return '';
  }
}

function configuration(bundle: string): string {
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "suite", worker = .suite)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "suite")],
);
const suite :Workerd.Worker = (
  modules = [(name = "suite", esModule = embed "${bundle}")],
  compatibilityDate = "2026-01-01",
);
`;
}

// Runs the worker on this machine, in the runtime that runs it at the edge, which npm's `workerd` is:
//   npm run example:worker -- --port 8788
// Port 0 takes any that is free. `wrangler dev` does the same, on Node 22 and later.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import workerd from 'workerd';

const { values } = parseArgs({ options: { port: { type: 'string', default: '8788' } } });

const directory = mkdtempSync(join(tmpdir(), 'stowage-worker-'));
process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
await build({
  entryPoints: [join(import.meta.dirname, 'worker.mjs')],
  outfile: join(directory, 'worker.js'),
  bundle: true,
  format: 'esm',
  target: 'es2022',
  logLevel: 'warning',
});

const text = (value) => JSON.stringify(value);
const settings = JSON.parse(
  readFileSync(join(import.meta.dirname, 'wrangler.jsonc'), 'utf8').replace(/^\s*\/\/.*$/gm, ''),
);
writeFileSync(
  join(directory, 'config.capnp'),
  `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker)],
  sockets = [(name = "http", address = ${text(`127.0.0.1:${values.port}`)}, http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = ${text(settings.compatibility_date)},
  compatibilityFlags = [${settings.compatibility_flags.map(text).join(', ')}],
);
`,
);

const command = ['serve', '--control-fd=3', join(directory, 'config.capnp')];
const child = spawn(workerd.default ?? workerd, command, { stdio: ['inherit', 'inherit', 'inherit', 'pipe'] });
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => child.kill(signal));
child.once('exit', (code) => process.exit(code ?? 0));
for await (const line of createInterface({ input: child.stdio[3] })) {
  const { event, port } = JSON.parse(line);
  if (event === 'listen') console.log(`The worker listens on http://127.0.0.1:${port}/`);
}

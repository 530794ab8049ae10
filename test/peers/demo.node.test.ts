/** The demo keeps the promises that it prints: the tools it names take what it wrote, and its program says what it should. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { sha256 } from './expected.ts';
import { containerStore, peerTest, run, runWithRunc, temporaryDirectory } from './peers.ts';

describe('the demo', () => {
  peerTest(
    ['skopeo'],
    'writes a directory and an archive that skopeo copies, all platforms, with the same digest',
    async () => {
      const { out, stdout, tag } = await demo();
      const digests: string[] = [];
      for (const source of [`oci:${out}/hello:${tag}`, `oci-archive:${out}/hello.tar.gz:${tag}`]) {
        const there = join(temporaryDirectory(), 'there');
        const back = join(temporaryDirectory(), 'back');
        await run('skopeo', ['copy', '--quiet', '--all', '--preserve-digests', source, `dir:${there}`]);
        await run('skopeo', ['copy', '--quiet', '--all', '--preserve-digests', `dir:${there}`, `oci:${back}:${tag}`]);
        const raw = (await run('skopeo', ['inspect', '--raw', `oci:${back}:${tag}`])).stdout;
        expect(sha256(readFileSync(join(there, 'manifest.json')))).toBe(sha256(Buffer.from(raw)));
        digests.push(sha256(Buffer.from(raw)));
      }
      expect(digests[1]).toBe(digests[0]);
      expect(stdout).toContain(digests[0]);
    },
  );

  peerTest(['root', 'podman'], 'writes an archive that podman loads by the name that the demo prints', async () => {
    const { out, tag } = await demo();
    const store = containerStore();
    expect((await store.podman(['load', '--quiet', '-i', join(out, 'hello.tar.gz')])).stdout).toContain(tag);
    await store.podman(['image', 'exists', tag]);
  });

  peerTest(
    ['root', 'skopeo', 'umoci', 'runc'],
    'writes a program that runs and prints what the demo says',
    async () => {
      const { out, stdout, tag } = await demo();
      const promised = /^It prints: (.*)$/m.exec(stdout)?.[1];
      for (const source of [`oci:${out}/hello:${tag}`, `oci-archive:${out}/hello.tar.gz:${tag}`]) {
        const host = join(temporaryDirectory(), 'host');
        await run('skopeo', ['copy', '--quiet', source, `oci:${host}:${tag}`]);
        expect(await runWithRunc(host, tag)).toBe(`${promised}\n`);
      }
    },
  );
});

interface Demo {
  out: string;
  stdout: string;
  tag: string;
}

let ran: Promise<Demo> | undefined;

/** Runs the README's command once, into a directory of its own. */
function demo(): Promise<Demo> {
  ran ??= runDemo();
  return ran;
}

async function runDemo(): Promise<Demo> {
  const out = temporaryDirectory();
  const root = join(import.meta.dirname, '../..');
  const { stdout } = await run('npm', ['run', '--silent', 'demo', '--', out], { cwd: root });
  const tag = /podman run --rm (\S+)/.exec(stdout)?.[1];
  if (tag === undefined) throw new Error(`the demo does not say how to run what it built:\n${stdout}`);
  return { out, stdout, tag };
}

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StowageError } from '../../src/errors.ts';
import { NodeStorage } from '../../src/storage/node.ts';
import { acquireLock } from '../../src/storage/node-lock.ts';
import { paths, pattern, put, storageContract, text } from './contract.ts';

for (const durable of [true, false]) {
  storageContract(`NodeStorage with durable: ${durable}`, async () => {
    const root = await mkdtemp(join(tmpdir(), 'storage-'));
    return {
      storage: new NodeStorage(join(root, 'made', 'later'), { durable }),
      async cleanup() {
        // What has been committed, aborted and released leaves no trace of how it was done.
        if (existsSync(join(root, 'made', 'later'))) {
          expect(readdirSync(join(root, 'made', 'later'))).not.toContain('.stowage');
        }
        await rm(root, { recursive: true });
      },
    };
  });
}

let root: string;
let storage: NodeStorage;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'storage-'));
  storage = new NodeStorage(join(root, 'inside'));
});
afterEach(() => rm(root, { recursive: true }));

describe('the directory', () => {
  test('is not made by reading; a missing one lists nothing', async () => {
    expect(await paths(storage)).toEqual([]);
    expect(await storage.stat('a')).toBe(undefined);
    await storage.delete('a');
    await expect(storage.read('a')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(existsSync(storage.root)).toBe(false);
  });

  test('may be given as a URL, and be a symlink itself', async () => {
    await mkdir(join(root, 'real'));
    await symlink('real', join(root, 'link'));
    const linked = new NodeStorage(pathToFileURL(join(root, 'link')));
    await put(linked, 'a/b', 'x');
    expect(await readFile(join(root, 'real', 'a', 'b'), 'utf8')).toBe('x');
    expect(await paths(linked)).toEqual(['a/b']);
  });

  test('holds a large file as it was written, which goes to the disk while it grows', async () => {
    const chunk = pattern(1_000_000);
    const [kept, dropped] = [await storage.create(), await storage.create()];
    for (let count = 0; count < 100; count++) await Promise.all([kept.write(chunk), dropped.write(chunk)]);
    await Promise.all([kept.commit('large'), dropped.abort()]);
    const written = await readFile(join(storage.root, 'large'));
    expect(written.length).toBe(100_000_000);
    for (let at = 0; at < written.length; at += chunk.length)
      expect(written.subarray(at, at + chunk.length).equals(chunk)).toBe(true);
    expect(readdirSync(storage.root)).toEqual(['large']);
  });

  test('holds each file under its own path, and nothing else', async () => {
    await put(storage, 'blobs/sha256/abc', 'x');
    expect(readdirSync(storage.root)).toEqual(['blobs']);
    expect(await readFile(join(storage.root, 'blobs/sha256/abc'), 'utf8')).toBe('x');
  });

  test('keeps unfinished files in .stowage, which no path can name and no listing shows', async () => {
    const file = await storage.create();
    await file.write(pattern(400_000));
    expect(readdirSync(storage.root)).toEqual(['.stowage']);
    expect(await paths(storage)).toEqual([]);
    expect(await paths(storage, '.stow')).toEqual([]);
    expect(await paths(storage, '.stowage/')).toEqual([]);
    for (const path of ['.stowage', '.stowage/x', '.Stowage/x']) {
      await expect(storage.read(path)).rejects.toMatchObject({ code: 'PATH_INVALID' });
      await expect(storage.delete(path)).rejects.toMatchObject({ code: 'PATH_INVALID' });
    }
    await expect(file.commit('.stowage/x')).rejects.toMatchObject({ code: 'PATH_INVALID' });
    expect(readdirSync(storage.root)).toEqual([]);
  });

  test('does not list what no path can name, nor what is no file', async () => {
    await put(storage, 'good', 'x');
    await writeFile(join(storage.root, 'back\\slash'), '');
    await writeFile(Buffer.concat([Buffer.from(`${storage.root}/latin-`), Buffer.from([0xe9])]), '');
    await put(storage, 'really-\ufffd', 'x');
    await symlink('nowhere', join(storage.root, 'dangling'));
    expect(await paths(storage)).toEqual(['good', 'really-\ufffd']);
  });
});

describe('symlinks', () => {
  test('that lead out of the root are refused with PATH_INVALID, and what they point to stays as it was', async () => {
    await mkdir(join(root, 'outside'));
    await writeFile(join(root, 'outside', 'secret'), 'secret');
    await writeFile(join(root, 'secret'), 'secret');
    // A root whose name begins like another's must not be taken for it.
    await mkdir(join(root, 'inside-out'));
    await writeFile(join(root, 'inside-out', 'secret'), 'secret');
    await put(storage, 'good', 'x');
    await symlink('../outside', join(storage.root, 'relative'));
    await symlink(join(root, 'outside'), join(storage.root, 'absolute'));
    await symlink('../inside-out', join(storage.root, 'sibling'));
    await symlink('..', join(storage.root, 'up'));
    await symlink('../secret', join(storage.root, 'file'));
    for (const path of ['relative/secret', 'absolute/secret', 'sibling/secret', 'up/secret', 'file']) {
      await expect(storage.stat(path)).rejects.toMatchObject({ code: 'PATH_INVALID' });
      await expect(storage.read(path)).rejects.toMatchObject({ code: 'PATH_INVALID' });
      if (path === 'file') continue;
      await expect(storage.delete(path)).rejects.toMatchObject({ code: 'PATH_INVALID' });
      await expect(put(storage, path, 'evil')).rejects.toMatchObject({ code: 'PATH_INVALID' });
      await expect(put(storage, `${path}-new/deep/er`, 'evil')).rejects.toMatchObject({ code: 'PATH_INVALID' });
    }
    expect(await paths(storage)).toEqual(['good']);
    for (const prefix of ['relative/', 'up/', 'absolute/s']) expect(await paths(storage, prefix)).toEqual([]);
    // The link itself is in the root: replacing or deleting it touches nothing outside.
    await put(storage, 'file', 'mine');
    await storage.delete('relative');
    expect(await readFile(join(root, 'secret'), 'utf8')).toBe('secret');
    expect(readdirSync(join(root, 'outside'))).toEqual(['secret']);
    expect(readdirSync(join(root, 'inside-out'))).toEqual(['secret']);
    expect(await text(storage, 'file')).toBe('mine');
    expect(readdirSync(root).sort()).toEqual(['inside', 'inside-out', 'outside', 'secret']);
  });

  test('that stay in the root are followed', async () => {
    await put(storage, 'real/file', 'x');
    await symlink('real', join(storage.root, 'folder'));
    await symlink('real/file', join(storage.root, 'alias'));
    expect(await text(storage, 'folder/file')).toBe('x');
    expect(await storage.stat('alias')).toEqual({ size: 1 });
    await put(storage, 'folder/second', 'y');
    expect(await text(storage, 'real/second')).toBe('y');
    expect(await paths(storage)).toEqual(['alias', 'real/file', 'real/second']);
  });
});

describe('failures of the disk', () => {
  test('are STORAGE_FAILED, with the path as given, the platform’s error as cause, and nothing left behind', async () => {
    await put(storage, 'directory/file', 'x');
    await put(storage, 'file', 'x');
    for (const path of ['directory', 'file/below', 'x'.repeat(300)]) {
      const error = await put(storage, path, 'y').catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(StowageError);
      expect(error).toMatchObject({ code: 'STORAGE_FAILED', details: { path }, cause: { code: expect.any(String) } });
    }
    expect(await paths(storage)).toEqual(['directory/file', 'file']);
    expect(readdirSync(storage.root).sort()).toEqual(['directory', 'file']);
  });

  test('in the midst of writing leave no file, and say what to do', async () => {
    const output = await run('write-too-much', { shell: 'ulimit -f 500' });
    expect(JSON.parse(output)).toMatchObject({ ours: true, code: 'STORAGE_FAILED', platform: 'EFBIG' });
    expect(await paths(storage)).toEqual(['small']);
    expect(readdirSync(storage.root)).toEqual(['small']);
  });

  test('a file that shrinks while it is read does not end cleanly', async () => {
    await put(storage, 'file', pattern(1_000_000));
    const reader = (await storage.read('file')).getReader();
    await reader.read();
    await writeFile(join(storage.root, 'file'), 'short');
    const rest = async (): Promise<void> => {
      while (!(await reader.read()).done);
    };
    await expect(rest()).rejects.toMatchObject({ code: 'STORAGE_FAILED', details: { path: 'file' } });
  });
});

test.skipIf(process.platform !== 'linux')(
  'no stream keeps its file open once it is read, cancelled or refused',
  async () => {
    const openFiles = (): number =>
      readdirSync('/proc/self/fd').filter((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`).startsWith(root);
        } catch {
          return false;
        }
      }).length;
    await put(storage, 'large', pattern(2_000_000));
    await put(storage, 'small', 'x');
    for (let round = 0; round < 20; round++) {
      await new Response(await storage.read('large')).arrayBuffer();
      await (await storage.read('large')).cancel();
      const reader = (await storage.read('large')).getReader();
      await reader.read();
      const pending = reader.read();
      await reader.cancel();
      await pending;
      await storage.read('small'); // Never read: small files are not held open.
      await storage.read('large', { start: 2, end: 1 }).catch(() => {});
      await storage.read('missing').catch(() => {});
      await (await storage.create()).abort();
      const refused = await storage.create();
      await refused.commit('large/x').catch(() => {});
      for await (const _ of storage.list('')) break;
    }
    expect(openFiles()).toBe(0);
  },
);

test('a stream goes on with the old file when a new one takes its place', async () => {
  await put(storage, 'file', new Uint8Array(1_000_000).fill(1));
  const old = await storage.read('file');
  await put(storage, 'file', 'new');
  const content = new Uint8Array(await new Response(old).arrayBuffer());
  expect(content.length).toBe(1_000_000);
  expect(content.every((byte) => byte === 1)).toBe(true);
  const gone = await storage.read('file');
  await storage.delete('file');
  expect(await new Response(gone).text()).toBe('new');
});

test('writes that nobody waits for keep their order', async () => {
  const file = await storage.create();
  const content = pattern(1_000_000);
  const writes: Promise<void>[] = [];
  for (let offset = 0; offset < content.length; offset += 30_011) {
    writes.push(file.write(content.subarray(offset, offset + 30_011)));
  }
  await file.commit('file');
  await Promise.all(writes);
  expect(Buffer.compare(await readFile(join(storage.root, 'file')), content)).toBe(0);
});

describe('between processes', { timeout: 60_000 }, () => {
  test('exclusive lets one in at a time: four of them count to four hundred', async () => {
    await put(storage, 'counter', '0');
    await Promise.all([1, 2, 3, 4].map(() => run('increment', { argument: '100' })));
    expect(await text(storage, 'counter')).toBe('400');
    expect(readdirSync(storage.root)).toEqual(['counter']);
  });

  test('a holder that was killed is succeeded, by one of those that wait', async () => {
    await put(storage, 'counter', '0');
    const holder = start('hold');
    await ready(holder);
    const waiters = [1, 2].map(() => run('increment', { argument: '20' }));
    const own = storage.exclusive('counter', async () => 'mine');
    holder.kill('SIGKILL');
    expect(await own).toBe('mine');
    await Promise.all(waiters);
    expect(await text(storage, 'counter')).toBe('40');
    expect(readdirSync(storage.root)).toEqual(['counter']);
  });

  test('holders that die one after another, amid others that count, let no two in at once', async () => {
    await put(storage, 'counter', '0');
    const dying = Array.from({ length: 6 }, () => once(start('die-holding'), 'exit'));
    const counting = [1, 2, 3].map(() => run('increment', { argument: '60' }));
    for (const [code, signal] of await Promise.all(dying)) expect([code, signal]).toEqual([null, 'SIGKILL']);
    await Promise.all(counting);
    expect(await text(storage, 'counter')).toBe('180');
    await put(new NodeStorage(storage.root), 'swept', '');
    expect(readdirSync(storage.root)).toEqual(['counter', 'swept']);
  });

  test('a lock whose holder cannot be seen is respected', async () => {
    let waited = false;
    const release = await holdAs(storage, 'name', { host: '0'.repeat(16), pid: 1, start: '1' });
    const own = storage.exclusive('name', async () => waited);
    await new Promise((resolve) => setTimeout(resolve, 300));
    waited = true;
    await release();
    expect(await own).toBe(true);
  });

  test('a holder that cannot be seen is succeeded when it shows no sign of life, and not while it does', async () => {
    const folder = join(root, 'locks');
    await mkdir(folder);
    const foreign = { token: 'f'.repeat(32), owner: { host: '0'.repeat(16), pid: 1, start: '1' } };
    await writeFile(join(folder, 'lock-x'), JSON.stringify(foreign));
    let showing = true;
    const shows = (async () => {
      for (let second = 1; second < 70; second++) {
        await utimes(join(folder, 'lock-x'), second, second);
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
      showing = false;
    })();
    const release = await acquireLock(folder, 'lock-x', async () => {}, 1500);
    expect(showing).toBe(false);
    await shows;
    await release();
    expect(readdirSync(folder)).toEqual([]);
  });

  test('a lock file that its writer never finished does not stand for ever', async () => {
    const folder = join(root, 'locks');
    await mkdir(folder);
    await writeFile(join(folder, 'lock-x'), '');
    await (await acquireLock(folder, 'lock-x', async () => {}, 50))();
    expect(readdirSync(folder)).toEqual([]);
  });

  test('a process number that is used again does not keep a dead holder alive', async () => {
    const [file, record] = await currentLock(storage, 'name');
    await mkdir(join(storage.root, '.stowage'), { recursive: true });
    const past = { ...record, token: 'a'.repeat(32), owner: { ...record.owner, start: '1' } };
    await writeFile(join(storage.root, '.stowage', file), JSON.stringify(past));
    expect(await storage.exclusive('name', async () => 'taken')).toBe('taken');
  });

  test('what a killed writer left is removed with the next first write; what a living one writes is not', async () => {
    const writer = start('leave-unfinished');
    await ready(writer);
    const living = await storage.create();
    await living.write(pattern(10));
    const before = readdirSync(join(storage.root, '.stowage'));
    expect(before.length).toBe(2);
    writer.kill('SIGKILL');
    await once(writer, 'exit');
    expect(await paths(storage)).toEqual([]);
    const foreign = `tmp-${'0'.repeat(16)}-1-1-`;
    const [young, old] = [`${foreign}${'1'.repeat(32)}`, `${foreign}${'2'.repeat(32)}`];
    for (const name of [young, old]) await writeFile(join(storage.root, '.stowage', name), '');
    await utimes(join(storage.root, '.stowage', old), 1, 1);
    await put(new NodeStorage(storage.root), 'next', 'x');
    expect(readdirSync(join(storage.root, '.stowage')).length).toBe(2);
    await living.commit('living');
    expect(readdirSync(join(storage.root, '.stowage'))).toEqual([young]);
    expect(await paths(storage)).toEqual(['living', 'next']);
  });

  test('a process that is killed while it replaces a file leaves the old one or the new one, whole', async () => {
    for (let round = 0; round < 5; round++) {
      const writer = start('replace-for-ever');
      await ready(writer);
      await new Promise((resolve) => setTimeout(resolve, 20 * Math.random()));
      writer.kill('SIGKILL');
      await once(writer, 'exit');
      const content = await readFile(join(storage.root, 'index.json'));
      expect(content.every((byte) => byte === content[0])).toBe(true);
      expect(content.length).toBeGreaterThanOrEqual(300_000);
    }
    await put(storage, 'next', 'x');
    expect(readdirSync(storage.root).sort()).toEqual(['index.json', 'next']);
  });
});

const childPath = fileURLToPath(new URL('node-child.ts', import.meta.url));

function start(what: string, options: { argument?: string; shell?: string } = {}): ChildProcess {
  const command = [process.execPath, '--import', 'tsx', childPath, what, storage.root, options.argument ?? ''];
  const [file, ...rest] = options.shell ? ['sh', '-c', `${options.shell}; exec "$@"`, 'sh', ...command] : command;
  return spawn(file!, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** What the child prints; fails where it fails. */
async function run(what: string, options: { argument?: string; shell?: string } = {}): Promise<string> {
  const child = start(what, options);
  let output = '';
  child.stdout!.on('data', (chunk) => {
    output += chunk;
  });
  const [code] = await once(child, 'close');
  expect(code).toBe(0);
  return output;
}

async function ready(child: ChildProcess): Promise<void> {
  await once(child.stdout!, 'data');
}

interface Lock {
  token: string;
  owner: { host: string; pid: number; start: string };
}

/** The lock file of a name and what stands in it while this process holds it. */
async function currentLock(storage: NodeStorage, name: string): Promise<[string, Lock]> {
  return storage.exclusive(name, async () => {
    const folder = join(storage.root, '.stowage');
    const file = readdirSync(folder).find((entry) => entry.startsWith('lock-'))!;
    return [file, JSON.parse(await readFile(join(folder, file), 'utf8'))];
  });
}

/** Writes the lock of another holder; gives what removes it. */
async function holdAs(storage: NodeStorage, name: string, owner: Lock['owner']): Promise<() => Promise<void>> {
  const [file] = await currentLock(storage, name);
  const path = join(storage.root, '.stowage', file);
  await mkdir(join(storage.root, '.stowage'), { recursive: true });
  await writeFile(path, JSON.stringify({ token: 'f'.repeat(32), owner }));
  return () => rm(path);
}

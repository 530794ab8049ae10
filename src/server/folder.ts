/** A folder of a storage as a storage of its own. */
import type { Storage } from '../storage/storage.ts';

/** Paths are relative to `folder`, which is a path without a slash at its end. */
export function within(storage: Storage, folder: string): Storage {
  return {
    stat: (path) => storage.stat(`${folder}/${path}`),
    read: (path, range) => storage.read(`${folder}/${path}`, range),
    async create({ path: known, ...options } = {}) {
      const file = await storage.create(known === undefined ? options : { ...options, path: `${folder}/${known}` });
      return {
        write: (chunk) => file.write(chunk),
        commit: (path) => file.commit(`${folder}/${path}`),
        abort: () => file.abort(),
      };
    },
    async *list(prefix) {
      for await (const path of storage.list(`${folder}/${prefix}`)) yield path.slice(folder.length + 1);
    },
    move: (from, to) => storage.move(`${folder}/${from}`, `${folder}/${to}`),
    delete: (path) => storage.delete(`${folder}/${path}`),
    exclusive: (name, task) => storage.exclusive(`${folder}/${name}`, task),
  };
}

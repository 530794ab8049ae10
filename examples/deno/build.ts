// A directory goes on top of a base image, for every platform that the base is for: archive in, archive out.
//   deno run --no-prompt --allow-read=dist,base.tar,out --allow-write=out examples/deno/build.ts \
//     dist base.tar out/app.tar.gz --env PORT=8080 -- /app/server --verbose
// It reads the directory and the base, and writes into the folder of the new archive, which must be there. Nothing else need be permitted.
// The base may be anything that podman, skopeo, buildah or docker saved, or that a program like this one wrote.
import { parseArgs } from 'node:util';
import { blobStore, Image, imageContent, loadTarballForPush, saveTarball } from 'stowage';
import { directory, writeFile } from 'stowage/node';
import { NodeStorage } from 'stowage/storage/node';

const { positionals, values } = parseArgs({
  args: Deno.args,
  allowPositionals: true,
  options: { env: { type: 'string', multiple: true, default: [] } },
});
const [folder, baseArchive, archive, ...program] = positionals;
if (!folder || !baseArchive || !archive) {
  console.error('Usage: build.ts FOLDER BASE-ARCHIVE ARCHIVE [--env NAME=VALUE]… [-- PROGRAM ARGUMENT…]');
  Deno.exit(2);
}

// Layers, and a base of more than 100 MiB, lie here rather than in memory until the archive is written.
const work = `${archive}.work`;
const storage = new NodeStorage(work, { durable: false });
try {
  const base = await loadTarballForPush((await Deno.open(baseArchive)).readable, { spill: storage });

  // One layer serves all platforms, so it is packed once.
  const store = blobStore(storage);
  const layer = (await Image.scratch({ store }).copy(directory(folder), '/app')).layers[0]!;

  const env = Object.fromEntries(values.env.map((variable) => variable.split(/=(.*)/s)));
  const images = base.images.map(({ image }) => {
    const withFiles = image.append(layer).workdir('/app').env(env);
    // The base's arguments are for the base's program.
    return program.length > 0 ? withFiles.entrypoint(program).cmd([]) : withFiles;
  });

  await writeFile(archive, saveTarball(images, { tag: 'app:latest' }));
  console.log(imageContent(images).root.digest);
} finally {
  await Deno.remove(work, { recursive: true }).catch(() => {});
}

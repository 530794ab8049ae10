// The main job on real files: a directory and a program for each platform become one multi-platform image.
//   node examples/demo/build.mjs [output folder]
import { stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { exportDirectory, formatPlatform, Image, saveTarball } from 'stowage';
import { directory, fromFile, writeFile } from 'stowage/node';
import { NodeStorage } from 'stowage/storage/node';

const from = (path) => fileURLToPath(new URL(path, import.meta.url));
const out = process.argv[2] ?? 'out';
const tag = 'hello:1.0';

const images = await Promise.all(
  ['linux/amd64', 'linux/arm64'].map(async (platform) => {
    const program = await fromFile(from(`programs/${platform.replace('/', '-')}`));
    const files = await Image.scratch({ platform }).addLayer(directory(from('rootfs')));
    const image = await files.copy([{ ...program, path: 'hello', mode: 0o755 }], '/usr/bin');
    return image
      .entrypoint(['/usr/bin/hello'])
      .env({ PATH: '/usr/bin' })
      .label('org.opencontainers.image.title', 'hello');
  }),
);

const root = await exportDirectory(images, new NodeStorage(`${out}/hello`), { tag });
const archive = `${out}/hello.tar.gz`;
await writeFile(archive, saveTarball(images, { tag }));

console.log(`${tag}  ${root.digest}  (${root.mediaType})`);
for (const image of images) {
  console.log(`\n  ${formatPlatform(image.platform)}  ${image.descriptor.digest}`);
  for (const { descriptor } of image.layers) console.log(`    layer  ${descriptor.digest}  ${descriptor.size} bytes`);
}
console.log(`
Written: ${archive} (${(await stat(archive)).size} bytes), and the same image as a layout in ${out}/hello

Load and run it:
  podman load -i ${archive} && podman run --rm ${tag}
  docker load -i ${archive} && docker run --rm ${tag}
or without an engine, as root:
  skopeo copy oci:${out}/hello:${tag} oci:${out}/host:${tag}
  umoci unpack --image ${out}/host:${tag} ${out}/bundle
  jq 'del(.process.rlimits) | .process.terminal = false' ${out}/bundle/config.json > ${out}/config.json
  mv ${out}/config.json ${out}/bundle/config.json && runc run --bundle ${out}/bundle hello
It prints: Hello from an image that no container engine built.`);

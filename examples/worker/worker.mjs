// Composes an image from a request and streams the archive back, as it is put together.
//   npm run example:worker
//   curl http://127.0.0.1:8788/ -o app.tar.gz --json '{"files": [{"path": "etc/motd", "body": "hello"}], "env": {"PORT": "8080"}}'
//   curl http://127.0.0.1:8788/ -o app.tar.gz -F base=@alpine.tar -F bin/server=@server \
//     -F 'image={"files": [{"path": "bin/server", "mode": "755"}], "entrypoint": ["/bin/server"]}'
// A form has the JSON in its part `image`, an archive to build upon in `base`, and the content of a file under its path.
import {
  createLayer,
  Image,
  imageContent,
  loadTarballForPush,
  parsePlatforms,
  StowageError,
  saveTarball,
} from 'stowage';

export default {
  async fetch(request) {
    if (request.method !== 'POST') return answer(405, { error: 'Send a POST request with JSON or a form.' });
    try {
      const images = await compose(await read(request), request.signal);
      return new Response(saveTarball(images, { tag: 'app:latest', signal: request.signal }), {
        headers: {
          'content-type': 'application/gzip',
          'content-disposition': 'attachment; filename="app.tar.gz"',
          'image-digest': imageContent(images).root.digest,
        },
      });
    } catch (error) {
      if (error instanceof StowageError) return answer(422, { code: error.code, error: error.message });
      if (error instanceof SyntaxError || error instanceof TypeError) return answer(400, { error: error.message });
      throw error;
    }
  },
};

/** The request's JSON, with the parts of a form where they belong. */
async function read(request) {
  if (!request.headers.get('content-type')?.startsWith('multipart/form-data')) return request.json();
  const form = await request.formData();
  const image = JSON.parse(form.get('image') ?? '{}');
  const files = image.files?.map((file) => ({ ...file, body: form.get(file.path) ?? file.body }));
  return { ...image, files, base: form.get('base') ?? undefined };
}

async function compose({ base, platforms = 'linux/amd64', files = [], workdir, env, entrypoint }, signal) {
  if (entrypoint && !Array.isArray(entrypoint)) throw new TypeError('The entrypoint is to be a list of arguments.');
  const images = base
    ? (await loadTarballForPush(base, { memoryThreshold: 32 * 1024 * 1024, signal })).images.map(({ image }) => image)
    : parsePlatforms(platforms).map((platform) => Image.scratch({ platform }));
  // JSON has no octal numbers: modes are text, such as "755".
  const withModes = files.map(({ mode, ...file }) => ({ ...file, ...(mode && { mode: Number.parseInt(mode, 8) }) }));
  const layer = await createLayer(withModes, { signal });
  return images.map((image) => {
    let composed = files.length > 0 ? image.append(layer) : image;
    if (workdir) composed = composed.workdir(workdir);
    if (env) composed = composed.env(env);
    // The base's arguments are for the base's program.
    return entrypoint ? composed.entrypoint(entrypoint).cmd([]) : composed;
  });
}

function answer(status, body) {
  return Response.json(body, { status });
}

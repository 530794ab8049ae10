// A registry at the edge: whatever is pulled through it comes from UPSTREAM with a label, a variable and a CA certificate more.
import { MemoryStorage } from 'stowage';
import { Registry, RemoteRepository } from 'stowage/registry';
import { rewrite, serve } from 'stowage/server';
import certificate from './ca.crt';

// Change this together with the transform below: what it made before is kept under the old name.
const version = 'edge-ca-1';
const path = 'usr/local/share/ca-certificates/example-edge.crt';

/** The same image gives the same one again, wherever this runs: nothing here depends on time, place or chance. */
async function transform(image) {
  // Without parents: the directories of the base image keep their modes and owners.
  const withCertificate = await image.addLayer([{ path, body: certificate, mode: 0o644 }], { parents: false });
  return withCertificate.env({ NODE_EXTRA_CA_CERTS: `/${path}` }).label('com.example.edge', version);
}

// For as long as this instance lives. Deployed, requests meet many instances: give them one R2 bucket instead, by
// new R2Storage(env.CACHE) of stowage/storage/r2.
const storage = new MemoryStorage();

export default {
  fetch(request, env) {
    const registry = new Registry(env.UPSTREAM, { plainHttp: env.PLAIN_HTTP === 'true' || undefined });
    const handler = serve(
      (repository) =>
        rewrite(new RemoteRepository(`${env.UPSTREAM}/${repository}`, registry), transform, {
          cache: { storage, key: `${version} ${repository}` },
          redirect: env.REDIRECT === 'true',
        }),
      { onError: (error) => console.error(error) },
    );
    return handler(request);
  },
};

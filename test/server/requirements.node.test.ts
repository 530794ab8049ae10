/**
 * Every MUST of distribution-spec 1.1 (the text of v1.1.1), in its order and in our words, with the test that shows it. Those of a registry are
 * shown by the server, those of a client by the client.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

type Requirement = readonly [section: string, says: string, shownBy: string, file?: string];

const hostile = 'server/hostile.test.ts';
const lies = 'registry/lies.test.ts';
const docker = 'registry/docker.node.test.ts';
const client = 'registry/conformance.node.test.ts';

/** Shown by `server/conformance.test.ts`, where no other file is named. */
const ofRegistries: readonly Requirement[] = [
  [
    'Requirements',
    'all of Pull is there',
    'every endpoint of the categories Pull, Push, Content Discovery and Content Management MUST be there',
  ],
  [
    'Requirements',
    'all of a category that is claimed is there',
    'every endpoint of the categories Pull, Push, Content Discovery and Content Management MUST be there',
  ],
  [
    'Pulling manifests',
    'a reference is a digest or a tag',
    'a reference MUST be a digest or a tag of at most 128 characters',
  ],
  ['Pulling manifests', 'and nothing else', 'a reference MUST be a digest or a tag of at most 128 characters'],
  ['Pulling manifests', 'names are of the grammar', '<name> MUST match the grammar'],
  [
    'Pulling manifests',
    'names are of the grammar, whatever comes',
    'outside the grammar is refused before anything is stored, whatever it is',
    hostile,
  ],
  [
    'Pulling manifests',
    'a tag has at most 128 characters',
    'a reference MUST be a digest or a tag of at most 128 characters',
  ],
  ['Pulling manifests', 'tags are of the grammar', 'a reference MUST be a digest or a tag of at most 128 characters'],
  [
    'Pulling manifests',
    'GET gives the manifest',
    'GET of an existing manifest MUST provide it with 200, its digest in Docker-Content-Digest',
  ],
  [
    'Pulling manifests',
    'GET is answered with 200',
    'GET of an existing manifest MUST provide it with 200, its digest in Docker-Content-Digest',
  ],
  ['Pulling manifests', 'what is not found is 404', 'a manifest that is not found MUST be 404'],
  [
    'Pulling blobs',
    'GET gives the blob',
    'GET of an existing blob MUST provide it with 200, its digest in Docker-Content-Digest',
  ],
  [
    'Pulling blobs',
    'GET is answered with 200',
    'GET of an existing blob MUST provide it with 200, its digest in Docker-Content-Digest',
  ],
  [
    'Pulling blobs',
    'Docker-Content-Digest is that of the body',
    'GET of an existing blob MUST provide it with 200, its digest in Docker-Content-Digest',
  ],
  ['Pulling blobs', 'what is not found is 404', 'a blob that is not found MUST be 404'],
  [
    'Checking if content exists',
    'HEAD of what is there is 200',
    'HEAD of an existing blob or manifest MUST be 200, with digest and size',
  ],
  [
    'Checking if content exists',
    'HEAD of what is not there is 404',
    'HEAD of a blob or manifest that is not found MUST be 404',
  ],
  ['Push', 'a subject may be pushed later', 'a manifest whose subject does not exist MUST be accepted'],
  [
    'Push',
    'what is refused for what it names says MANIFEST_BLOB_UNKNOWN',
    'a manifest that is refused for what it names MUST result in MANIFEST_BLOB_UNKNOWN errors',
  ],
  [
    'POST then PUT',
    'POST is answered with 202',
    'a session MUST begin with 202 and a Location that holds a UUID of its own',
  ],
  [
    'POST then PUT',
    'and with the Location of the upload',
    'a session MUST begin with 202 and a Location that holds a UUID of its own',
  ],
  [
    'POST then PUT',
    'which holds a UUID of its own',
    'a session MUST begin with 202 and a Location that holds a UUID of its own',
  ],
  ['POST then PUT', 'PUT is answered with 201', 'POST then PUT MUST end with 201 and the Location of the blob'],
  [
    'POST then PUT',
    'and with a Location from which the blob is pulled',
    'POST then PUT MUST end with 201 and the Location of the blob',
  ],
  [
    'Single POST',
    'Content-Length is that of the blob',
    'stores nothing of a client that declares 5 GiB, sends one byte and leaves',
    'server/peers.node.test.ts',
  ],
  ['Single POST', 'the digest is that of the blob', 'a single POST: the digest MUST match the content'],
  ['Single POST', 'success is 201', 'a single POST MUST end with 201 and the Location of the blob'],
  [
    'Single POST',
    'with a Location from which the blob is pulled',
    'a single POST MUST end with 201 and the Location of the blob',
  ],
  [
    'Pushing in chunks',
    'a chunk is answered with 202',
    'each chunk MUST be answered with 202, the Location, and the Range so far',
  ],
  [
    'Pushing in chunks',
    'and with Location and Range',
    'each chunk MUST be answered with 202, the Location, and the Range so far',
  ],
  [
    'Pushing in chunks',
    'a range is of the grammar, inclusive, and as long as its chunk',
    'with fewer or more bytes than its Content-Range says is refused, and stays where it was',
    hostile,
  ],
  [
    'Pushing in chunks',
    'chunks come in order',
    'a chunk that is out of order MUST be answered with 416, and the upload goes on where it was',
  ],
  [
    'Pushing in chunks',
    'else the answer is 416',
    'a chunk that is out of order MUST be answered with 416, and the upload goes on where it was',
  ],
  [
    'Pushing in chunks',
    'a session is closed by PUT',
    'a whole blob may come in one PATCH without Content-Range, and the session MUST be closed by PUT',
  ],
  [
    'Pushing in chunks',
    'the PUT names a digest',
    'a digest of an algorithm that is not supported SHOULD be refused with 400',
  ],
  [
    'Pushing in chunks',
    'closing is answered with 201',
    'each chunk MUST be answered with 202, the Location, and the Range so far',
  ],
  [
    'Pushing in chunks',
    'and with a Location from which the blob is pulled',
    'each chunk MUST be answered with 202, the Location, and the Range so far',
  ],
  ['Pushing in chunks', 'GET of an upload is 204', 'GET of an active upload MUST be 204 with Location and Range'],
  ['Pushing in chunks', 'with Location and Range', 'GET of an active upload MUST be 204 with Location and Range'],
  ['Mounting', 'a mount is answered with 201', 'a mount MUST be answered with 201 and the Location of the blob'],
  ['Mounting', 'and with the Location of the blob', 'a mount MUST be answered with 201 and the Location of the blob'],
  [
    'Pushing Manifests',
    'a manifest is put by digest or tag',
    'a reference MUST be a digest or a tag of at most 128 characters',
  ],
  [
    'Pushing Manifests',
    'a manifest is kept byte for byte',
    'a manifest MUST be stored byte for byte, and answered with 201 and a Location to pull it',
  ],
  [
    'Pushing Manifests',
    'success is 201',
    'a manifest MUST be stored byte for byte, and answered with 201 and a Location to pull it',
  ],
  [
    'Pushing Manifests',
    'with a Location from which it is pulled',
    'a manifest MUST be stored byte for byte, and answered with 201 and a Location to pull it',
  ],
  [
    'Pushing Manifests',
    'Docker-Content-Digest is the digest that the client gave',
    'pushing by digest: Docker-Content-Digest MUST be the digest that the client gave, OCI-Tag names the tags set',
  ],
  ['Pushing Manifests', 'a repository that does not exist is 404', 'a pull from a nonexistent repository MUST be 404'],
  [
    'Pushing Manifests with Subject',
    'the answer has OCI-Subject',
    'a manifest with a subject MUST be answered with OCI-Subject',
  ],
  [
    'Listing Tags',
    'a repository that is found is 200',
    'tags MUST be listed with 200, in lexical order without regard to case',
  ],
  [
    'Listing Tags',
    'the order is lexical, without regard to case',
    'tags MUST be listed with 200, in lexical order without regard to case',
  ],
  [
    'Listing Tags',
    'the body is JSON of name and tags',
    'tags MUST be listed with 200, in lexical order without regard to case',
  ],
  [
    'Listing Tags',
    'n tags are given, fewer only at the end or with a Link',
    'n tags MUST be given where there are as many, with a Link rel="next" to more',
  ],
  [
    'Listing Tags',
    'a Link is of RFC 5988, rel="next"',
    'n tags MUST be given where there are as many, with a Link rel="next" to more',
  ],
  ['Listing Tags', 'n=0 gives an empty list', 'n=0 MUST give an empty list without Link'],
  ['Listing Tags', 'and no Link', 'n=0 MUST give an empty list without Link'],
  [
    'Listing Tags',
    'the order holds with n',
    'n tags MUST be given where there are as many, with a Link rel="next" to more',
  ],
  ['Listing Tags', 'last is a tag and no number of a place', 'last MUST be a tag, and the list goes on after it'],
  ['Listing Tags', 'the order holds with last', 'last MUST be a tag, and the list goes on after it'],
  [
    'Listing Referrers',
    'a repository that is found is 200',
    'MUST be an image index with 200, empty for none, and never 404',
  ],
  ['Listing Referrers', 'never 404', 'MUST be an image index with 200, empty for none, and never 404'],
  ['Listing Referrers', 'a digest that is none is 400', 'an invalid digest MUST be 400'],
  ['Listing Referrers', 'the body is an image index', 'MUST be an image index with 200, empty for none, and never 404'],
  [
    'Listing Referrers',
    'Content-Type is that of an index',
    'MUST be an image index with 200, empty for none, and never 404',
  ],
  [
    'Listing Referrers',
    "artifactType is the manifest's",
    'MUST hold each manifest with that subject, with artifactType or config type, and annotations',
  ],
  [
    'Listing Referrers',
    "or else its config's media type",
    'MUST hold each manifest with that subject, with artifactType or config type, and annotations',
  ],
  [
    'Listing Referrers',
    'of an index without one it is left out',
    'MUST hold each manifest with that subject, with artifactType or config type, and annotations',
  ],
  [
    'Listing Referrers',
    'annotations are there',
    'MUST hold each manifest with that subject, with artifactType or config type, and annotations',
  ],
  ['Listing Referrers', 'none is an empty list', 'MUST be an image index with 200, empty for none, and never 404'],
  [
    'Listing Referrers',
    'what one answer cannot hold is linked',
    'MUST be linked page by page where one index cannot hold them',
  ],
  [
    'Listing Referrers',
    'by a Link of RFC 5988, rel="next"',
    'MUST be linked page by page where one index cannot hold them',
  ],
  [
    'Listing Referrers',
    'a filter that was applied is named in OCI-Filters-Applied',
    'MUST hold each manifest with that subject, with artifactType or config type, and annotations',
  ],
  [
    'Listing Referrers',
    'several by commas (there is one)',
    'MUST hold each manifest with that subject, with artifactType or config type, and annotations',
  ],
  ['Deleting tags', 'success is 202', 'deleting a tag MUST be 202, and the manifest stays'],
  ['Deleting tags', 'disabled is 400 or 405', 'where pushing and deleting are disabled, it MUST be 400 or 405'],
  [
    'Deleting Manifests',
    'success is 202',
    'deleting a manifest MUST be 202; it, its tags and its mention as a referrer are gone',
  ],
  [
    'Deleting Manifests',
    'no repository is 404',
    'deleting what is not there, or from a repository that is not, MUST be 404',
  ],
  ['Deleting Manifests', 'disabled is 400 or 405', 'where pushing and deleting are disabled, it MUST be 400 or 405'],
  ['Deleting Blobs', 'success is 202', 'deleting a blob MUST be 202'],
  ['Deleting Blobs', 'no blob is 404', 'deleting what is not there, or from a repository that is not, MUST be 404'],
  ['Deleting Blobs', 'disabled is 400 or 405', 'where pushing and deleting are disabled, it MUST be 400 or 405'],
  [
    'Enabling the Referrers API',
    'what is listed under referrers tags is in the answer',
    'MUST hold what was pushed for registries without the API, and is listed under the referrers tag',
  ],
  [
    'Enabling the Referrers API',
    'and all that is pushed from then on',
    'MUST hold each manifest with that subject, with artifactType or config type, and annotations',
  ],
  [
    'Error Codes',
    'JSON has errors of code, message, detail',
    'a JSON error MUST have the form { errors: [{ code, message, detail }] }',
  ],
  [
    'Error Codes',
    'a code is upper-case letters and underscores',
    "the code of a refusal MUST be one of the specification's, whatever upstream says",
  ],
  [
    'Error Codes',
    "a code is one of the specification's",
    "the code of a refusal MUST be one of the specification's, whatever upstream says",
  ],
  [
    'Warnings',
    'code 299, agent -, no date (none is sent)',
    'every endpoint of the categories Pull, Push, Content Discovery and Content Management MUST be there',
  ],
  [
    'Warnings',
    'at most 4,096 bytes (none is sent)',
    'every endpoint of the categories Pull, Push, Content Discovery and Content Management MUST be there',
  ],
];

const ofClients: readonly Requirement[] = [
  [
    'Pulling manifests',
    'references and names are of the grammar',
    'is named without tag or digest, and belongs to its registry',
    lies,
  ],
  ['Pulling manifests', 'Docker-Content-Digest, where used, is checked', 'about the digest of a manifest', lies],
  [
    'Pulling blobs',
    'Docker-Content-Digest, where used, is checked',
    'about the content and the length of a blob: nothing of it is kept',
    lies,
  ],
  [
    'Pushing in chunks',
    'the POST says Content-Length: 0',
    'a blob in chunks goes by an empty POST, ranges that follow one another, and a PUT with the digest',
    client,
  ],
  [
    'Pushing in chunks',
    'a range is inclusive on both ends',
    'a blob in chunks goes by an empty POST, ranges that follow one another, and a PUT with the digest',
    client,
  ],
  [
    'Pushing in chunks',
    'the first begins with 0',
    'a blob in chunks goes by an empty POST, ranges that follow one another, and a PUT with the digest',
    client,
  ],
  [
    'Pushing in chunks',
    'ranges are of the grammar',
    'a blob in chunks goes by an empty POST, ranges that follow one another, and a PUT with the digest',
    client,
  ],
  [
    'Pushing in chunks',
    'chunks go in order',
    'a blob in chunks goes by an empty POST, ranges that follow one another, and a PUT with the digest',
    client,
  ],
  [
    'Pushing in chunks',
    'the session is closed by PUT',
    'a blob in chunks goes by an empty POST, ranges that follow one another, and a PUT with the digest',
    client,
  ],
  [
    'Pushing in chunks',
    'which names the digest of the whole blob',
    'a blob in chunks goes by an empty POST, ranges that follow one another, and a PUT with the digest',
    client,
  ],
  [
    'Pushing Manifests',
    'Content-Type is the mediaType of the manifest',
    'a manifest goes after its blobs, under a tag or digest, as what its mediaType says',
    client,
  ],
  [
    'Pushing Manifests',
    'the reference is a digest or a tag',
    'a manifest goes after its blobs, under a tag or digest, as what its mediaType says',
    client,
  ],
  [
    'Pushing Manifests',
    'a manifest names the blobs of the object',
    'a manifest goes after its blobs, under a tag or digest, as what its mediaType says',
    client,
  ],
  [
    'Pushing Manifests with Subject',
    'without OCI-Subject the list is kept under the referrers tag',
    'what refers to a manifest is listed under the tag that stands in for the API, and taken from it again',
    docker,
  ],
  [
    'Pushing Manifests with Subject',
    'which begins empty where there is none',
    'a list of referrers begins empty, and holds type and annotations of what was pushed',
    client,
  ],
  [
    'Pushing Manifests with Subject',
    "artifactType is the manifest's",
    'a list of referrers begins empty, and holds type and annotations of what was pushed',
    client,
  ],
  [
    'Pushing Manifests with Subject',
    "or else its config's media type",
    'a list of referrers begins empty, and holds type and annotations of what was pushed',
    client,
  ],
  [
    'Pushing Manifests with Subject',
    'annotations are copied',
    'a list of referrers begins empty, and holds type and annotations of what was pushed',
    client,
  ],
  [
    'Listing Tags',
    'last is a tag and no number',
    'a full page without a link is followed by what comes after its last name',
    lies,
  ],
  [
    'Listing Referrers',
    '404 is followed by the referrers tag',
    'a list of referrers begins empty, and holds type and annotations of what was pushed',
    client,
  ],
  [
    'Backwards Compatibility',
    'registries of older versions are served',
    'an image that is pushed has the digest that skopeo sees, and comes back as it was',
    docker,
  ],
  [
    'Backwards Compatibility',
    'what is not available is made up for',
    'what refers to a manifest is listed under the tag that stands in for the API, and taken from it again',
    docker,
  ],
  [
    'Unavailable Referrers API',
    'a push looks whether the API is there',
    'a registry that takes note of the subject itself is left to it',
    lies,
  ],
  [
    'Unavailable Referrers API',
    'a query falls back on 404',
    'a list of referrers begins empty, and holds type and annotations of what was pushed',
    client,
  ],
  ['Warnings', 'warnings are reported, and change nothing', 'surfaces rate limits and warnings', lies],
];

const ownFile = 'server/conformance.test.ts';

/** The names of a file's tests, as they stand in its source. */
function testNames(file: string): Set<string> {
  const source = readFileSync(join(import.meta.dirname, '..', file), 'utf8');
  const names = source.matchAll(/\b(?:test|peerTest)\(\s*(?:\w+,\s*|\[[^\]]*\],\s*)?('(?:[^'\\\n]|\\.)*'|"[^"\n]*")/g);
  return new Set(Array.from(names, ([, name]) => name!.slice(1, -1).replaceAll("\\'", "'")));
}

describe('every MUST of the distribution specification', () => {
  for (const [whom, requirements] of Object.entries({ 'a registry': ofRegistries, 'a client': ofClients })) {
    test(`for ${whom} is shown by a test that is there`, () => {
      const lost = requirements.filter(([, , name, file = ownFile]) => !testNames(file).has(name));
      expect(lost).toEqual([]);
    });
  }
});

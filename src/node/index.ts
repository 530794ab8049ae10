/** What only runtimes with a file system can do: Node, Deno and Bun. */
export { type DirectoryOptions, directory } from './directory.ts';
export { type DockerCredentialsOptions, dockerCredentials } from './docker-config.ts';
export { type ExtractOptions, extract } from './extract.ts';
export { type FileContent, fromFile } from './read-file.ts';
export { type ServeNodeOptions, serveNode } from './serve.ts';
export { writeFile } from './write-file.ts';

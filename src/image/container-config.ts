/** Fields of the container's configuration (config.md) that are lists or maps: checked, and put together the one way. */
import { StowageError } from '../errors.ts';

/** The environment with these variables set: a name that is there keeps its place. Throws `ARGUMENT_INVALID`. */
export function withVariables(
  before: readonly string[] | undefined,
  variables: Readonly<Record<string, string>>,
): string[] {
  const all = new Map<string, string>();
  for (const entry of before ?? []) {
    const [name = ''] = entry.split('=', 1);
    all.set(name, entry);
  }
  for (const [name, value] of Object.entries(variables)) {
    if (!/^[^=\0]+$/.test(name) || String(value).includes('\0')) {
      throw new StowageError(
        'ARGUMENT_INVALID',
        `Environment variable ${JSON.stringify(name)}: a name is not empty and has no "=", and neither it nor its value holds a NUL.`,
        { name },
      );
    }
    all.set(name, `${name}=${value}`);
  }
  return [...all.values()];
}

/** The key of a port: `8080/tcp`. Throws `ARGUMENT_INVALID`. */
export function portKey(port: number | string): string {
  const match = /^(\d{1,5})(?:\/(tcp|udp|sctp))?$/.exec(String(port));
  const number = Number(match?.[1]);
  if (!match || number < 1 || number > 65535) {
    throw new StowageError(
      'ARGUMENT_INVALID',
      `Port ${JSON.stringify(port)}: give a number from 1 to 65535, or one with its protocol as in "53/udp".`,
      { port },
    );
  }
  return `${number}/${match[2] ?? 'tcp'}`;
}

/** Maps have no order in the specification; sorted, the same set always gives the same digest. */
export function sorted<T>(map: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The set, which the specification writes as a map to empty objects, with these keys too. */
export function withKeys<T>(
  map: Record<string, T> | undefined,
  keys: readonly string[],
): Record<string, T | Record<string, never>> {
  return sorted({ ...map, ...Object.fromEntries(keys.map((key) => [key, {}])) });
}

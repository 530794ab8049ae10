/** Scopes of tokens: what a request needs, no more (distribution's token scope grammar). */

/** What is done to a repository. Pushing needs to pull as well: it asks what is there. */
export type Action = 'pull' | 'push' | 'delete';

/** `repository:team/app:pull,push`. */
export function repositoryScope(name: string, action: Action): string {
  return `repository:${name}:${action === 'push' ? 'pull,push' : action}`;
}

/** For the catalog. */
export const catalogScope = 'registry:catalog:*';

/**
 * What to ask for when a token of the scopes `own` was not enough: they, widened by those of the challenge that concern the same
 * resources. A registry cannot make its client fetch a token for something else.
 */
export function widenScopes(own: readonly string[], challenged: string | undefined): string[] {
  const offered = (challenged ?? '').split(/\s+/).filter((scope) => scope !== '');
  return own.map((scope) => {
    const [resource, actions] = cutActions(scope);
    const more = offered.map(cutActions).filter(([other]) => other === resource);
    const all = new Set([actions, ...more.map(([, list]) => list)].flatMap((list) => list.split(',')));
    return `${resource}:${[...all].join(',')}`;
  });
}

function cutActions(scope: string): [resource: string, actions: string] {
  const at = scope.lastIndexOf(':');
  return [scope.slice(0, at), scope.slice(at + 1)];
}

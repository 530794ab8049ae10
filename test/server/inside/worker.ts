/** The server in a Worker, over an R2 bucket: a storage and a handler for each request, as nothing of a Worker's outlives one. */
import { serve } from '../../../src/server/index.ts';
import { type R2BucketBinding, R2Storage } from '../../../src/storage/r2.ts';

export default {
  fetch(
    request: Request,
    { BUCKET }: { BUCKET: R2BucketBinding },
    context: { waitUntil(work: Promise<unknown>): void },
  ): Promise<Response> {
    const answer = serve(new R2Storage(BUCKET), { onError: console.error })(request);
    context.waitUntil(answer);
    return answer;
  },
};

/**
 * The server in a Worker, over an R2 bucket: a storage and a handler for each request, as nothing of a Worker's outlives one. How often it asked the
 * bucket until it answered is said by the header `R2-Operations`.
 */
import { serve } from '../../../src/server/index.ts';
import { type R2BucketBinding, R2Storage } from '../../../src/storage/r2.ts';

export default {
  fetch(
    request: Request,
    { BUCKET }: { BUCKET: R2BucketBinding },
    context: { waitUntil(work: Promise<unknown>): void },
  ): Promise<Response> {
    const { bucket, calls } = counted(BUCKET);
    const answer = serve(new R2Storage(bucket), { onError: console.error })(request).then((response) => {
      response.headers.set('R2-Operations', String(calls()));
      return response;
    });
    context.waitUntil(answer);
    return answer;
  },
};

/** The bucket, and how often its methods were called. */
function counted(bucket: R2BucketBinding): { bucket: R2BucketBinding; calls: () => number } {
  let calls = 0;
  const watch = <T extends object>(target: T): T =>
    new Proxy(target, {
      get(object, name) {
        const value: unknown = Reflect.get(object, name);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          calls++;
          const result: unknown = value.apply(object, args);
          return name === 'createMultipartUpload' ? (result as Promise<object>).then(watch) : result;
        };
      },
    });
  return { bucket: watch(bucket), calls: () => calls };
}

/** The suite in a Worker: it runs within a request, since a Worker may do little outside of one, and streams its events back. */
import 'suite:tests';
import { runSuite } from '../harness.ts';

export default {
  fetch(): Response {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const writer = writable.getWriter();
    const encoder = new TextEncoder();
    // Let the host read what is told before a long test starts: a write is done when it has been taken.
    const tell = (event: object): void => void writer.write(encoder.encode(`${JSON.stringify(event)}\n`));
    runSuite(tell).then(() => writer.close());
    return new Response(readable);
  },
};

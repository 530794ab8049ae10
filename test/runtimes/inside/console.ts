/** The suite in a runtime with standard output (Node, Deno, Bun): one line of JSON an event. */
import 'suite:tests';
import { runSuite } from '../harness.ts';

await runSuite((event) => console.log(JSON.stringify(event)));

/** The suite in a browser's page: events go back to the server that the page came from, in order. */
import 'suite:tests';
import { runSuite, type SuiteEvent } from '../harness.ts';

let sent: Promise<unknown> = Promise.resolve();

function tell(event: SuiteEvent): void {
  sent = sent.then(() => fetch('/events', { method: 'POST', body: JSON.stringify(event) }));
}

document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
  const failure = `${blockedURI} was blocked by ${violatedDirective}`;
  tell({ event: 'end', file: 'page', test: 'the content security policy is kept', milliseconds: 0, failure });
});

await runSuite(tell);

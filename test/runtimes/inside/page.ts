/** The suite in a browser's page: events go back to the server that the page came from, in order. */
import 'suite:tests';
import { runSuite, type SuiteEvent } from '../harness.ts';

let pending: SuiteEvent[] = [];
let isSending = false;

document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
  // Browsers ask for it on their own.
  if (blockedURI.endsWith('/favicon.ico')) return;
  const failure = `${blockedURI} was blocked by ${violatedDirective}`;
  tell({ event: 'end', file: 'page', test: 'the content security policy is kept', milliseconds: 0, failure });
});

await runSuite(tell);

function tell(event: SuiteEvent): void {
  pending.push(event);
  if (!isSending) void send();
}

/** One request at a time, with all that has come together since the last. */
async function send(): Promise<void> {
  isSending = true;
  while (pending.length > 0) {
    const events = pending;
    pending = [];
    await fetch('/events', { method: 'POST', body: JSON.stringify(events) });
  }
  isSending = false;
}

/** Turns of the event loop, for long work that would otherwise keep timers, aborts and a page's own events waiting. */

interface Scheduler {
  setImmediate?: (callback: () => void) => unknown;
}

/** Resolves after whatever waits in the event loop had its turn. Costs microseconds: no timer, which browsers slow down. */
export function letEventsIn(): Promise<void> {
  const { setImmediate } = globalThis as Scheduler;
  if (typeof setImmediate === 'function') return new Promise((resolve) => void setImmediate(resolve));
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}

/** Turns of the event loop, for long work that would otherwise keep timers, aborts and a page's own events waiting. */

interface Turns {
  /** Node, Deno and Bun. */
  setImmediate?: (callback: () => void) => unknown;
  /** Workers of the edge: their message channels deliver without a turn, so that timers would wait for ever. */
  scheduler?: { wait?: (milliseconds: number) => Promise<void> };
}

/** Resolves after whatever waits in the event loop had its turn. Costs microseconds: no timer, which browsers slow down. */
export function letEventsIn(): Promise<void> {
  const { setImmediate, scheduler } = globalThis as Turns;
  if (typeof setImmediate === 'function') return new Promise((resolve) => void setImmediate(resolve));
  if (typeof scheduler?.wait === 'function') return scheduler.wait(0);
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}

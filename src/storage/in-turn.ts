/** Tasks of the same name one after the other, within this runtime: what every adapter's `exclusive` begins with. */

/** The last task of each name that has not ended yet. */
export type Turns = Map<string, Promise<void>>;

/** Runs `task` once all earlier tasks of that name have ended, well or badly. Its own result or error passes through. */
export async function inTurn<T>(turns: Turns, name: string, task: () => Promise<T>): Promise<T> {
  const running = (turns.get(name) ?? Promise.resolve()).then(task);
  const ended = running.then(
    () => undefined,
    () => undefined,
  );
  turns.set(name, ended);
  try {
    return await running;
  } finally {
    if (turns.get(name) === ended) turns.delete(name);
  }
}

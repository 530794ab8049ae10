/** One question after another to the worker; its reports move the progress bar. */
import type { Answers, Question, Reply } from './messages.ts';
import { element } from './page-elements.ts';

const worker = new Worker(new URL('./compose-worker.ts', import.meta.url), { type: 'module' });
const progress = element('progress', HTMLProgressElement);

/** Resolves with the worker's answer, or rejects with what it says is wrong. Ask one thing at a time. */
export function askWorker<Q extends Question>(question: Q): Promise<Answers[Q['ask']]> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      if (data.report === 'progress') progress.value = data.share;
      else if (data.report === 'done') resolve(data.answer as Answers[Q['ask']]);
      else reject(new Error(data.message));
    };
    worker.onerror = (event) => reject(new Error(event.message || 'The worker could not be started.'));
    worker.postMessage(question);
  });
}

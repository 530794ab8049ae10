/** What the page and its worker tell one another. The worker answers each question once, after any number of reports. */
export type Question =
  | { ask: 'open'; archive: File }
  | { ask: 'close' }
  | { ask: 'compose'; recipe: Recipe }
  | { ask: 'save'; tag: string };

/** What someone wants to have in the image. */
export interface Recipe {
  /** Of an image without a base. */
  platform: string;
  files: { path: string; content: File; executable: boolean }[];
  entrypoint: string[];
  env: Record<string, string>;
}

/** An image for one platform or several, as the page shows it. */
export interface Summary {
  digest: string;
  /** The name that an archive gives it. */
  tag?: string;
  images: {
    platform: string;
    digest: string;
    entrypoint: string[];
    env: string[];
    layers: { digest: string; size: number; isNew: boolean }[];
  }[];
}

export interface Answers {
  open: Summary;
  close: undefined;
  compose: Summary;
  save: Blob;
}

export type Reply =
  | { report: 'progress'; share: number }
  | { report: 'done'; answer: Answers[keyof Answers] }
  | { report: 'failed'; message: string };

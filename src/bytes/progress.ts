/** What a long call reports while it works: enough to draw one bar for each layer or file. */
import type { Descriptor } from '../oci/descriptor.ts';

/** One report. A bar is told from another by `descriptor?.digest`, else by `path`, within one `phase`. */
export interface Progress {
  /**
   * `build`: files are packed into a layer. `read`: content is loaded. `write`: content is stored or copied.
   * `skip`: the destination holds this content already; reported once, with `transferred` equal to `total`.
   */
  phase: 'build' | 'read' | 'write' | 'skip';
  /** The content in question, once its digest is known. */
  descriptor?: Descriptor;
  /** The file in question: its path in the layer, archive or storage. */
  path?: string;
  /** Bytes done so far of this content or file. Never falls within one phase. */
  transferred: number;
  /** Bytes in all, where known. */
  total?: number;
}

/** Takes reports; called often (once a chunk), so it should be quick. What it throws ends the call that reports. */
export type OnProgress = (progress: Progress) => void;

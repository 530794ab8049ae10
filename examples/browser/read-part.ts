/** Bytes of a file that someone dropped, which is read where it lies: it may be gone by then, or have been a folder all along. */
export async function readPart(file: File, start: number, end: number): Promise<ArrayBuffer> {
  try {
    return await file.slice(start, end).arrayBuffer();
  } catch {
    throw new Error(
      `${file.name} cannot be read: it is a folder, or was changed or moved since it was chosen. Choose files, and those that changed again.`,
    );
  }
}

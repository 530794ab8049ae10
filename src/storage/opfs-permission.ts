/** Whether a folder that the user picked may be written to: asked beforehand, as a browser that has to ask the user first answers a write when they do, be it never. */

/** `FileSystemHandle.queryPermission`, which some browsers lack and TypeScript does not declare. */
interface AskableHandle {
  queryPermission?(descriptor: { mode: 'readwrite' }): Promise<PermissionState>;
}

/** Origin private directories always may, and browsers without the question have no others. */
export async function mayWrite(directory: FileSystemDirectoryHandle): Promise<boolean> {
  return (await permissionOf(directory)) === 'granted';
}

/** Throws what the platform throws where it asks nobody, a `NotAllowedError`. */
export async function checkMayWrite(directory: FileSystemDirectoryHandle): Promise<void> {
  const permission = await permissionOf(directory);
  if (permission === 'granted') return;
  throw new DOMException(`The permission to write to this folder is "${permission}"`, 'NotAllowedError');
}

async function permissionOf(directory: FileSystemDirectoryHandle): Promise<PermissionState> {
  return (await (directory as AskableHandle).queryPermission?.({ mode: 'readwrite' })) ?? 'granted';
}

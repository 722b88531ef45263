/** Compiles what is missing of these files. */
export function prepare (files: readonly string[]): Promise<void>

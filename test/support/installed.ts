import { accessSync, constants } from 'node:fs'

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * The path of a program that tests need and npm does not bring, or undefined where it is missing. A build server must not pass over that:
 * there it is an error, with the remedy.
 */
export function findProgram (path: string, remedy: string, environment: Environment): string | undefined {
  try {
    accessSync(path, constants.X_OK)
    return path
  } catch {
    if (environment['CI'] === 'true') throw new Error(`${path} is missing: ${remedy}`)
    return undefined
  }
}

/** What to hand to a test that needs it. What is left out without it is told loudly. */
export function unlessMissing (path: string | undefined, loss: string): { readonly skip: string | false } {
  return { skip: path === undefined && loss }
}

/**
 * What stops a command and is no fault of the program: told in one line, without a stack trace. The message says the fact and
 * the remedy, and holds no id, value, ARN or account.
 */
export class CommandFault extends Error {
  readonly code: string
  readonly exitCode: number

  constructor (code: string, message: string, { cause, exitCode = FAILED }: { readonly cause?: unknown, readonly exitCode?: number } = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.exitCode = exitCode
  }
}

/** Nothing was found to be wrong, and what was asked for is done. */
export const FINE = 0
/** A fault was found, or the command could not be carried out. */
export const FAILED = 1
/** The command was called in a way that it does not know. */
export const MISUSED = 2

export function misuse (message: string): CommandFault {
  return new CommandFault('FST_DYNAMODB_SESSION_USAGE', message, { exitCode: MISUSED })
}

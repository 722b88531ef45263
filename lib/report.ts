/** Where remarks go: Fastify's logger, a request's, or any with the same method. */
export interface Log {
  warn (details: Record<string, unknown>, message: string): void
}

/** For a manager without Fastify: Node's own warnings, once for each text. */
export function createProcessLog (): Log {
  const told = new Set<string>()
  return {
    warn (_details, message) {
      if (told.has(message)) return
      told.add(message)
      process.emitWarning(message, { code: 'FST_DYNAMODB_SESSION' })
    }
  }
}

const MINUTE = 60_000

/**
 * Counts tokens without a session and tells of them at most once a minute: one is a forgotten tab, many are somebody who
 * guesses.
 */
export function createUnknownNotice (now: () => number): (log: Log, loggableId: string) => void {
  let count = 0
  let toldAt = Number.NEGATIVE_INFINITY
  return (log, loggableId) => {
    count += 1
    if (now() - toldAt < MINUTE) return
    log.warn({ loggableId, count }, 'Tokens came in for which there is no session')
    count = 0
    toldAt = now()
  }
}

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

/** Counts what means something only in numbers, and tells of it at most once a minute, with what is fit to be told of the last. */
export function createNotice (now: () => number, message: string): (log: Log, loggableId?: string) => void {
  let count = 0
  let toldAt = Number.NEGATIVE_INFINITY
  return (log, loggableId) => {
    count += 1
    // A clock may be set back.
    if (Math.abs(now() - toldAt) < MINUTE) return
    log.warn({ ...loggableId !== undefined && { loggableId }, count }, message)
    count = 0
    toldAt = now()
  }
}

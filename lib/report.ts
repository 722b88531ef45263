/** Where remarks go: Fastify's logger, a request's, or any with the same methods, of which only `warn` must be there. */
export interface Log {
  warn (details: Record<string, unknown>, message: string): void
  debug? (details: Record<string, unknown>, message: string): void
  isLevelEnabled? (level: string): boolean
  readonly level?: unknown
}

/** Levels at which a logger that has no other way to say so takes no debug lines. */
const ABOVE_DEBUG: readonly unknown[] = ['info', 'warn', 'error', 'fatal', 'silent']

/** Whether debug lines go anywhere. Asked with every request, and so without anything that is made for it. */
export function hearsDebug (log: Log): log is Log & Required<Pick<Log, 'debug'>> {
  if (typeof log.debug !== 'function') return false
  if (typeof log.isLevelEnabled === 'function') return isEnabled(log as Required<Log>)
  // What does the same with each level does nothing: Fastify without a logger.
  return log.debug !== log.warn && !ABOVE_DEBUG.includes(log.level)
}

function isEnabled (log: Required<Pick<Log, 'isLevelEnabled'>>): boolean {
  try {
    return log.isLevelEnabled('debug')
  } catch {
    return false
  }
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

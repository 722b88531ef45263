/**
 * For the environment of a child process that compiles our sources by other means than tap does: its coverage would be laid
 * over tap's own, line numbers of one text on another, and the figures would mean nothing.
 */
export const NOT_COVERED = { _TAPJS_PROCESSINFO_COVERAGE_: '0' } as const

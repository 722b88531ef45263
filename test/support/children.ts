/**
 * For the environment of a child process that compiles our sources by other means than tap does: its coverage would be laid
 * over tap's own, line numbers of one text on another, and the figures would mean nothing.
 */
export const NOT_COVERED = { _TAPJS_PROCESSINFO_COVERAGE_: '0' } as const

/** For a child process that runs TypeScript: compiled as it is here, which is there already, and sooner than by other means. */
export const COMPILED = ['--import', new URL('transpile.mjs', import.meta.url).href] as const

/** Sessions of which a renewal is remembered: a few MB at most. */
const MOST_SESSIONS = 10_000

/**
 * The renewals that this process has made or is making, so that parallel requests of one browser, which have all read the
 * session before it was renewed, renew it once.
 */
export class Renewals {
  /** For each session, when it was last renewed, in epoch seconds; the oldest first. */
  readonly #last = new Map<string, number>()

  last (key: string): number | undefined {
    return this.#last.get(key)
  }

  /** Whether a session was renewed less than `reissueTime` seconds before. */
  has (key: string, now: number, reissueTime: number): boolean {
    const last = this.last(key)
    return last !== undefined && reissueTime > 0 && now - last < reissueTime
  }

  note (key: string, now: number): void {
    this.#last.delete(key)
    this.#last.set(key, now)
    if (this.#last.size <= MOST_SESSIONS) return
    const [oldest = ''] = this.#last.keys()
    this.#last.delete(oldest)
  }

  forget (key: string): void {
    this.#last.delete(key)
  }
}

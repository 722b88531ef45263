/** Spends capacity units evenly: whoever has spent waits until the next may be spent. */
export class Rate {
  readonly #unitsASecond: number
  readonly #now: () => number
  readonly #sleep: (milliseconds: number) => Promise<void>
  /** When what was spent until now is paid off, in milliseconds. */
  #freeAt: number

  constructor (unitsASecond: number, now: () => number, sleep: (milliseconds: number) => Promise<void>) {
    this.#unitsASecond = unitsASecond
    this.#now = now
    this.#sleep = sleep
    this.#freeAt = now()
  }

  /** Counts what a call took, which nobody knows before it is done, and waits for as long as that pays for. */
  async spend (units: number): Promise<void> {
    const now = this.#now()
    this.#freeAt = Math.max(now, this.#freeAt) + units / this.#unitsASecond * 1000
    if (this.#freeAt > now) await this.#sleep(this.#freeAt - now)
  }
}

/** What an act that runs may do. */
export interface Turn {
  /** Asks the application. */
  ask<T> (question: () => T | Promise<T>): Promise<T>
}

const NOW: Promise<unknown> = Promise.resolve()

/**
 * The acts of one session run one after the other, in the order in which they were called, awaited or not. An act that asks
 * the application for something may be waiting for an act that the application calls in its answer, which would wait for
 * it: then it lets others go ahead.
 */
export class Turns {
  readonly #longestQuestion: number
  /** When the next act may begin. */
  #free: Promise<unknown> = NOW
  /** When all acts that were called have ended. */
  #ended: Promise<unknown> = NOW
  #acts = 0
  /** Lets others go ahead of the act for which the application is being called at this very moment. */
  #letGo: (() => void) | undefined

  /** `longestQuestion`: seconds after which an act that asks lets others go ahead. */
  constructor (longestQuestion: number) {
    this.#longestQuestion = longestQuestion
  }

  /** Whether an act that is called now runs at once. */
  get isFree (): boolean {
    return this.#acts === 0
  }

  async take<T> (act: (turn: Turn) => Promise<T>): Promise<T> {
    // Called within the answer, and perhaps awaited there.
    this.#letGo?.()
    this.#acts += 1
    let letGo = nothing
    const released = new Promise<void>(resolve => { letGo = resolve })
    const turn: Turn = { ask: async question => await this.#ask(question, letGo) }
    const done = this.#free.then(async () => await act(turn)).finally(() => { this.#acts -= 1 })
    const ended = done.then(nothing, nothing)
    this.#free = Promise.race([ended, released])
    // Without the answers, which would pile up on a socket that stays open.
    this.#ended = Promise.all([this.#ended, ended]).then(nothing)
    return await done
  }

  /** Resolves when no act is under way. */
  async idle (): Promise<void> {
    while (this.#acts > 0) await this.#ended
  }

  async #ask<T> (question: () => T | Promise<T>, letGo: () => void): Promise<T> {
    const timer = setTimeout(letGo, this.#longestQuestion * 1000)
    try {
      return await this.#call(question, letGo)
    } finally {
      clearTimeout(timer)
    }
  }

  #call<T> (question: () => T, letGo: () => void): T {
    const outer = this.#letGo
    this.#letGo = letGo
    try {
      return question()
    } finally {
      this.#letGo = outer
    }
  }
}

function nothing (): void {}

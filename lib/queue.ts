import { setTimeout as sleep } from 'node:timers/promises'
import type { StoredValue } from '../types/repository.js'
import { errors } from './errors.js'

/** What the last update of a key in this process left in the table, `undefined` where it deleted the key. */
export interface Latest { readonly version: number, readonly value: StoredValue | undefined }

/** Those who wait for one session, and what those before them have found out. */
export interface Line {
  /** What was left under each key. */
  readonly latest: Map<string, Latest>
  /** Whether another process got ahead of one of them. */
  isContended: boolean
  /** Milliseconds that the last write took. */
  took: number
}

interface OpenLine extends Line {
  length: number
  /** How many have gone one after the other without a pause. */
  run: number
  /** When the next may go. */
  end: Promise<void>
  /** Whether all may go at once, because one of them takes too long or fails; and what tells those who wait. */
  isDissolved: boolean
  readonly waiting: Set<() => void>
}

/**
 * After so many updates in a row a line pauses, for some writes' time. Another process needs a read and a write for its one
 * update and would never come to it: the line needs but writes.
 */
const LONGEST_RUN = 12
const LONGEST_CONTENDED_RUN = 3
const PAUSE = 6
/** Milliseconds, however slow the writes are. */
const MOST_PAUSE = 250

/**
 * Updates of one session wait for each other in a process, so that they do not run into each other in the table, and each
 * begins with what the one before it left. Nothing depends on it: what the table says decides.
 */
export class UpdateQueue {
  readonly #lines = new Map<string, OpenLine>()
  readonly #longestTurn: number

  /** `longestTurn`: seconds after which the others no longer wait, as they must not where one of them waits for another. */
  constructor (longestTurn: number) {
    this.#longestTurn = longestTurn
  }

  async run<T> (key: string, act: (line: Line) => Promise<T>): Promise<T> {
    const line = this.#lines.get(key) ?? newLine()
    this.#lines.set(key, line)
    line.length += 1
    const done = untilFree(line, line.end).then(async () => await this.#act(line, act))
    line.end = done.then(nothing, nothing).then(async () => { await pause(line) })
    try {
      return await done
    } finally {
      line.length -= 1
      if (line.length === 0) this.#lines.delete(key)
    }
  }

  async #act<T> (line: OpenLine, act: (line: Line) => Promise<T>): Promise<T> {
    const timer = setTimeout(() => { dissolve(line) }, this.#longestTurn * 1000)
    return await act(line)
      .catch((error: unknown) => {
        // One after the other, each would wait for its own time limit.
        if (error instanceof errors.Unavailable) dissolve(line)
        throw error
      })
      .finally(() => { clearTimeout(timer) })
  }
}

function newLine (): OpenLine {
  return { latest: new Map(), isContended: false, took: 0, length: 0, run: 0, end: Promise.resolve(), isDissolved: false, waiting: new Set() }
}

async function untilFree (line: OpenLine, end: Promise<void>): Promise<void> {
  if (line.isDissolved) return
  await new Promise<void>(resolve => {
    line.waiting.add(resolve)
    end.then(() => {
      line.waiting.delete(resolve)
      resolve()
    }, resolve)
  })
}

function dissolve (line: OpenLine): void {
  line.isDissolved = true
  for (const go of line.waiting) go()
  line.waiting.clear()
}

async function pause (line: OpenLine): Promise<void> {
  line.run += 1
  if (line.length === 0 || line.run < (line.isContended ? LONGEST_CONTENDED_RUN : LONGEST_RUN)) return
  line.run = 0
  await untilFree(line, sleep(Math.min(line.took * PAUSE, MOST_PAUSE)))
}

function nothing (): void {}

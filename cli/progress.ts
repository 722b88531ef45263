import type { Sink } from './output.js'

/** Milliseconds between two lines where nobody watches, and between two pictures where somebody does. */
const LINE_PAUSE = 10_000
const PICTURE_PAUSE = 100

const BAR = 24

/** How far a long work is. */
export interface Stage {
  readonly done: number
  /** About how much there is; undefined where nobody knows. */
  readonly total: number | undefined
  /** What was done, in words. */
  readonly text: string
}

/** Tells of long work on the stream for remarks: a bar on a terminal, else a line every ten seconds. */
export class Progress {
  readonly #sink: Sink
  readonly #now: () => number
  readonly #startedAt: number
  #toldAt: number
  #isDrawn = false

  constructor (sink: Sink, now: () => number) {
    this.#sink = sink
    this.#now = now
    this.#startedAt = now()
    this.#toldAt = sink.isTTY === true ? -Infinity : now()
  }

  tell (stage: Stage): void {
    const now = this.#now()
    const isWatched = this.#sink.isTTY === true
    if (now - this.#toldAt < (isWatched ? PICTURE_PAUSE : LINE_PAUSE)) return
    this.#toldAt = now
    const line = lineOf(stage, now - this.#startedAt)
    if (!isWatched) this.#sink.write(`${line}\n`)
    else this.#draw(line)
  }

  /** Takes the bar away, so that what follows stands on a line of its own. */
  end (): void {
    if (this.#isDrawn) this.#sink.write('\r\u001b[K')
    this.#isDrawn = false
  }

  #draw (line: string): void {
    this.#isDrawn = true
    // A line that is longer than the terminal would not be drawn over.
    this.#sink.write(`\r${line.slice(0, (this.#sink.columns ?? 80) - 1)}\u001b[K`)
  }
}

function lineOf ({ done, total, text }: Stage, elapsed: number): string {
  if (total === undefined || total === 0) return text
  // What is there was counted hours ago, so it may be more than all.
  const share = Math.min(1, done / total)
  const full = Math.round(share * BAR)
  return `[${'#'.repeat(full)}${'-'.repeat(BAR - full)}] ${Math.floor(share * 100)} %  ${text}${leftOf(share, elapsed)}`
}

function leftOf (share: number, elapsed: number): string {
  if (share === 0 || share === 1) return ''
  const seconds = elapsed * (1 - share) / share / 1000
  return `, about ${seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`} left`
}

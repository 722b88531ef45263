import { NOTHING, OTHERS, plus, spentBy, type Kind, type Spent } from './spending.js'
import type { RequestLine } from './watch.js'

/** What one system has spent, or would have. */
export interface Account { readonly name: string, readonly spent: Spent }

/** One request's place in the running sums: of this library, and of the first of the others. */
export interface Point { readonly ours: Spent, readonly theirs: Spent }

/** So long is the curve: beyond that, its beginning goes. */
const LONGEST_CURVE = 240

/** Running sums of what the requests have spent, and of what they would have cost with the others. */
export class Ledger {
  readonly points: Point[] = [{ ours: NOTHING, theirs: NOTHING }]
  #requests = 0
  #ours = NOTHING
  readonly #others = new Map(OTHERS.map(system => [system, NOTHING]))

  /** Takes down a request that has been answered. */
  enter (line: RequestLine, kind: Kind): void {
    this.#requests += 1
    this.#ours = plus(this.#ours, spentIn(line))
    for (const [system, spent] of this.#others) this.#others.set(system, plus(spent, spentBy(system, kind, line.itemBytes)))
    const [theirs = NOTHING] = this.#others.values()
    this.points.push({ ours: this.#ours, theirs })
    if (this.points.length > LONGEST_CURVE) this.points.shift()
  }

  get requests (): number { return this.#requests }

  get ours (): Spent { return this.#ours }

  get others (): Account[] {
    return [...this.#others].map(([{ name }, spent]) => ({ name, spent }))
  }
}

/** What the calls of a request were charged. */
export function spentIn ({ calls }: RequestLine): Spent {
  return calls
    .map(({ isRead, capacity = 0 }) => ({ calls: 1, read: isRead ? capacity : 0, write: isRead ? 0 : capacity }))
    .reduce(plus, NOTHING)
}

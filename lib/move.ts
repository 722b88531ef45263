import type { SessionReader } from '../types/import.js'
import type { Delivery } from './plan.js'
import type { Log } from './report.js'
import type { Source } from './source.js'
import type { VisitTools } from './visit.js'

/**
 * What has become of a move at the end of a request. `open`: nothing. `done`: the old token has served, so its cookie is to be
 * cleared. `late`: another process has moved the same session, and its browser has the token of that one.
 */
export type Outcome = 'open' | 'done' | 'late'

/** Where an old record stands, or may stand. */
export interface OldPlace {
  readonly source: Source
  readonly id: string
}

/**
 * What is left to do about the old record of a session that was moved. Requests that moved it together share one. With `keep`, a
 * later request brings both tokens, and each reader that knows the old one names a place.
 */
export class Move {
  /** The key of the record that it was moved to. */
  readonly key: string
  readonly #places: readonly OldPlace[]
  #removal: Promise<boolean | undefined> | undefined
  /** Whether the record may have been deleted by a call whose outcome is not known. */
  #isUnsure = false

  constructor (places: readonly OldPlace[], key: string) {
    this.#places = places
    this.key = key
  }

  /** Those whose cookies have served. One that is kept serves on, where servers of the old kind answer. */
  get served (): SessionReader[] {
    return this.#places.map(({ source }) => source.reader).filter(({ keep }) => !keep || this.#removal !== undefined)
  }

  /**
   * At the end of a request, by what its browser is told. A visitor who has left gets no new token, and so comes back with the
   * old one. A log-out ends the old session in any case, and fails where that does; a record that is only left over is told
   * to the log.
   */
  async finish ({ token }: Delivery, hasLeft: boolean, log: Log): Promise<Outcome> {
    if (token === undefined || hasLeft) return 'open'
    if (token === 'clear') await this.#remove()
    else if (this.#places.some(({ source }) => !source.reader.keep)) {
      const wasThere = await this.#remove().catch((err: unknown) => {
        log.warn({ err }, 'The old record of a session that was moved could not be deleted: its token is good until it expires')
      })
      if (wasThere === false) return 'late'
    }
    return 'done'
  }

  /** The old session ends with the new one, at once: on a web socket no answer comes that could do it, and a visitor may leave before theirs. */
  async end (): Promise<void> {
    await this.#remove()
  }

  async #remove (): Promise<boolean | undefined> {
    this.#removal ??= this.#removeAll()
    try {
      const wasThere = await this.#removal
      return this.#isUnsure ? undefined : wasThere
    } catch (error) {
      this.#removal = undefined
      this.#isUnsure = true
      throw error
    }
  }

  async #removeAll (): Promise<boolean | undefined> {
    const [first] = await Promise.all(this.#places.map(async ({ source, id }) => await source.remove(id)))
    return first
  }
}

/** Whoever destroys a session that was moved ends what it was moved from. */
export function endingBoth (writer: VisitTools['writer'], move: Move): VisitTools['writer'] {
  return {
    carryOut: writer.carryOut.bind(writer),
    destroy: async (state, log) => {
      await writer.destroy(state, log)
      await move.end()
    },
    destroyKey: writer.destroyKey.bind(writer)
  }
}

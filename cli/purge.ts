import type { Item } from '../lib/item.js'
import { Bookmark } from './bookmark.js'
import { OUTPUT_FLAGS, TABLE_FLAGS, type Command, type Context } from './command.js'
import { keyOf, kindOf } from './keys.js'
import { count } from './output.js'
import { Remote } from './remote.js'
import { Sweep, SWEEP_FLAGS, type Turn } from './sweep.js'

/** Items of one Scan: few enough that its units come in small portions. */
const PAGE = 200
/**
 * Seconds after its end for which a session is left. By then the clock of this machine may be wrong by as much, and AWS refuses
 * requests of a clock that is much more wrong than that.
 */
const GRACE = 300

export const purge: Command = {
  name: 'purge',
  summary: 'Deletes expired sessions, for engines without TTL and for tables that had none.',
  about: [
    'It scans the table and deletes what the plugin wrote under this key prefix and what has expired by its own TTL attribute, each on',
    'condition that it still has. Lists of users that have no expiry, items of others, and ghosts without one stay.',
    'On AWS, TTL does the same free of charge. This takes read units for the whole table, and write units for each deleted item.',
    'With --state, a run that was stopped (Ctrl-C, a failure) goes on where it ended.'
  ],
  positionals: [],
  flags: {
    grace: { type: 'string', value: 'seconds', help: 'Leave what has not been expired for as long.', otherwise: String(GRACE) },
    ...SWEEP_FLAGS,
    'dry-run': { type: 'boolean', help: 'Count, and delete nothing.' },
    ...TABLE_FLAGS,
    ...OUTPUT_FLAGS
  },
  run: async context => {
    const { given } = context
    const wish = {
      grace: given.number('grace', { most: 31_536_000 }) ?? GRACE,
      isDry: given.has('dry-run')
    }
    return await Remote.use(context, async remote => {
      const bookmark = new Bookmark(given.text('state'), remote.settings.layout, { region: await remote.region() })
      return await new Purge(context, remote, bookmark, wish).run()
    })
  }
}

interface Wish { readonly grace: number, readonly isDry: boolean }

/** One run through a table. */
class Purge {
  readonly #context: Context
  readonly #remote: Remote
  readonly #sweep: Sweep
  readonly #wish: Wish
  /** `renewed`: those that were expired when they were read, and not when they were to be deleted. */
  readonly #counts = { read: 0, expired: 0, deleted: 0, renewed: 0, others: 0 }

  constructor (context: Context, remote: Remote, bookmark: Bookmark, wish: Wish) {
    this.#context = context
    this.#remote = remote
    this.#sweep = new Sweep(context, remote, bookmark)
    this.#wish = wish
  }

  async run (): Promise<number> {
    const { isDry } = this.#wish
    const isDone = await this.#sweep.run({ isDry, page: async from => await this.#page(from), stage: () => this.#stage() })
    const { given, output } = this.#context
    if (given.has('json')) output.printJson({ done: isDone, dryRun: isDry, ...this.#counts, units: this.#sweep.units })
    else output.print(this.#summary())
    return this.#sweep.end(isDone)
  }

  async #page (from: Item | undefined): Promise<Turn> {
    const { layout } = this.#remote.settings
    const page = await this.#remote.expiries(PAGE, from)
    this.#counts.read += page.read
    await this.#sweep.spend()
    this.#counts.others += page.items.filter(item => kindOf(item, layout) === 'other').length
    const until = Math.floor(this.#context.io.now() / 1000 - this.#wish.grace)
    const expired = page.items.filter(item => kindOf(item, layout) !== 'other' && Number(item[layout.ttlAttribute]?.N ?? Infinity) <= until)
    this.#counts.expired += expired.length
    // After the last key of ours: those of others may be what their visitors are known by.
    const turn = { next: page.next, place: page.items.filter(item => kindOf(item, layout) !== 'other').at(-1) }
    if (this.#wish.isDry) return turn
    await this.#sweep.each(expired, async item => {
      const isDone = await this.#remote.removeExpired(keyOf(item, layout), until)
      this.#counts[isDone ? 'deleted' : 'renewed'] += 1
      await this.#sweep.spend()
    })
    return turn
  }

  #stage (): { done: number, text: string } {
    const { read, deleted, expired } = this.#counts
    const done = this.#wish.isDry ? `${expired.toLocaleString('en-US')} expired` : `${deleted.toLocaleString('en-US')} deleted`
    return { done: read, text: `${read.toLocaleString('en-US')} read, ${done}` }
  }

  #summary (): string {
    const { read, expired, deleted, renewed, others } = this.#counts
    const parts = [
      `${count(read, 'item')} read`,
      this.#wish.isDry ? `${expired.toLocaleString('en-US')} expired, none deleted` : `${deleted.toLocaleString('en-US')} deleted`,
      ...renewed === 0 ? [] : [`${renewed.toLocaleString('en-US')} left, because they were changed meanwhile`],
      ...others === 0 ? [] : [`${others.toLocaleString('en-US')} of others left`],
      `${count(Math.ceil(this.#sweep.units), 'capacity unit')} used`
    ]
    return `${parts.join('; ')}.`
  }
}

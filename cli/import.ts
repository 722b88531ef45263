import type { Item } from '../lib/item.js'
import { SessionManager } from '../lib/manager.js'
import type { DynamoSessionOptions } from '../types/options.js'
import type { Given } from './arguments.js'
import { Bookmark } from './bookmark.js'
import { OUTPUT_FLAGS, TABLE_FLAGS, type Command, type Context } from './command.js'
import { Copier, type CopySettings, type Outcome } from './copier.js'
import { FAILED, misuse } from './fault.js'
import { originOf, type Origin } from './origin.js'
import { count } from './output.js'
import { Remote } from './remote.js'
import { decide } from './rows.js'
import { KEY_FLAGS, readKeys } from './secrets.js'
import { Sweep, SWEEP_FLAGS, type Turn } from './sweep.js'

/** Items of one Scan: few enough that they are copied soon after they were read. */
const PAGE = 50

/** As many as dynamodb-session-web's, and ours. */
const ID_BYTES = 32

export const importCommand: Command = {
  name: 'import',
  summary: 'Copies the sessions of another system\'s table, where its keys allow that visitors stay signed in.',
  about: [
    'Rows of connect-dynamodb and dynamodb-session-store become records of DynamoStore (fastify-dynamodb-session/store): host, cookie',
    'and secret stay. Rows of dynamodb-session-web and -flask with unsigned ids become records of a plugin without `secrets` whose',
    '`cookie.name` (or `header`) is the old one: the old token is then one of ours as it stands. Ids are kept by that, and who knows an',
    'old one is let in here too; `importFrom` gives new ones. It is also the way for signed ids, for pyramid-dynamodb-sessions, and for',
    'the plugin in place of express-session: there the old token is none of ours, and nothing is copied.',
    'Give the timeouts and encryption keys that the application has. What is here already stays. A copied row that still stands is',
    'copied once more by another run if its session has ended here since: run it once, or with --delete, and go on with --state.',
    'A row that changes while it is copied is copied anew; one whose session ends meanwhile is taken back. Of each row: its share of a',
    'Scan, one PutItem and one strongly consistent GetItem, with --delete one DeleteItem. The file of --state holds an old id.'
  ],
  positionals: [],
  flags: {
    from: { type: 'string', value: 'system', help: 'connect-dynamodb, dynamodb-session-store, dynamodb-session-web or dynamodb-session-flask. Required.' },
    to: { type: 'string', value: 'store|plugin', help: 'Who is to read the copies.', otherwise: 'what the system allows' },
    'from-table': { type: 'string', value: 'name', help: 'Name or ARN of the old table.', otherwise: 'the system\'s' },
    'from-prefix': { type: 'string', value: 'text', help: 'Text before ids in the old keys.', otherwise: 'the system\'s' },
    'no-from-prefix': { type: 'boolean', help: 'There is none.' },
    'from-hash-key': { type: 'string', value: 'name', help: 'Name of the old partition key.', otherwise: 'id' },
    'id-bytes': { type: 'string', value: 'bytes', help: 'The old "sid_byte_length", and the plugin\'s "idBytes".', otherwise: String(ID_BYTES) },
    'idle-timeout': { type: 'string', value: 'seconds|none', help: 'The "idleTimeout" of the store or the plugin.', otherwise: 'theirs' },
    'absolute-timeout': { type: 'string', value: 'seconds|none', help: 'The "absoluteTimeout" of the store or the plugin.', otherwise: 'theirs' },
    delete: { type: 'boolean', help: 'Delete each row that this run has copied, unless it was changed after that.' },
    'dry-run': { type: 'boolean', help: 'Read and count, and write nothing.' },
    ...SWEEP_FLAGS,
    ...KEY_FLAGS,
    ...TABLE_FLAGS,
    ...OUTPUT_FLAGS
  },
  run: async context => {
    const { given, io } = context
    const origin = originOf(given)
    const isDry = given.has('dry-run')
    if (isDry && given.has('delete')) throw misuse('Options "--dry-run" and "--delete" exclude each other: give one.')
    const idBytes = given.number('id-bytes') ?? ID_BYTES
    const timeouts = timeoutsIn(given)
    const extra = { ...timeouts, idBytes, ...optionsFor(context) }
    return await Remote.use(context, async remote => {
      const { settings } = remote
      const copying = { settings, absoluteTimeout: timeouts.absoluteTimeout, idBytes, origin, deletes: given.has('delete'), now: io.now }
      return await new Import(context, remote, copying, isDry, await remote.region()).run()
    }, extra)
  }
}

function optionsFor (context: Context): Partial<DynamoSessionOptions> {
  const keys = readKeys(context)
  return keys.length === 0 ? {} : { encryptionKeys: keys }
}

function timeoutsIn (given: Given): Pick<DynamoSessionOptions, 'idleTimeout' | 'absoluteTimeout'> {
  const seconds = (name: string): number | false | undefined => given.text(name) === 'none' ? false : given.number(name, { least: 1, most: 1e10 })
  const [idleTimeout, absoluteTimeout] = [seconds('idle-timeout'), seconds('absolute-timeout')]
  return { ...idleTimeout !== undefined && { idleTimeout }, ...absoluteTimeout !== undefined && { absoluteTimeout } }
}

/** The old table, whose keys are texts with a prefix that is not ours. */
function oldTable (remote: Remote, { reader, hashKey }: Origin): Remote {
  return remote.beside({ table: reader.table, partitionKey: { name: hashKey, type: 'S' }, keyPrefix: '', ttlAttribute: undefined })
}

/** What is counted beside what was read and what was copied, in words. */
const TEXTS = {
  present: 'already there',
  gone: 'ended meanwhile',
  expired: 'expired',
  ghosts: 'without a session',
  refused: 'not importable',
  signed: 'signed',
  changing: 'changing',
  others: 'of others',
  deleted: 'old rows deleted',
  kept: 'old rows left, because they were changed after their copy'
} as const satisfies Readonly<Record<Exclude<Outcome, 'copied'>, string>>

type Counts = Record<'read' | Outcome, number>

/** Outcomes of which somebody should know, because sessions that live stay behind. */
const LEFT: ReadonlyArray<readonly [outcome: 'signed' | 'refused' | 'changing', text: string]> = [
  ['signed', 'with signed ids, which the plugin does not take as tokens. Use importFrom: [dynamodbSessionWeb({ table, secret })] for them.'],
  ['refused', 'with a value that would become another one, or larger than a record may be. They stay where they are.'],
  ['changing', 'that were changed each time they were copied. Run it again.']
]

/** One run through the old table. */
class Import {
  readonly #context: Context
  readonly #remote: Remote
  readonly #old: Remote
  readonly #copying: CopySettings
  readonly #isDry: boolean
  readonly #sweep: Sweep
  readonly #counts = Object.fromEntries(['read', 'copied', ...Object.keys(TEXTS)].map(name => [name, 0])) as Counts

  constructor (context: Context, remote: Remote, copying: CopySettings, isDry: boolean, region: string) {
    const { origin } = copying
    const { table, keyPrefix } = remote.settings.layout
    this.#context = context
    this.#remote = remote
    this.#old = oldTable(remote, origin)
    this.#copying = copying
    this.#isDry = isDry
    this.#sweep = new Sweep(context, this.#old, new Bookmark(context.given.text('state'), this.#old.settings.layout, { into: table, intoPrefix: keyPrefix, region }))
  }

  async run (): Promise<number> {
    const keeper = this.#remote.keeper()
    await new SessionManager(keeper, this.#old.log).verifyTable()
    const copier = new Copier(this.#old, keeper, this.#copying)
    const isDone = await this.#sweep.run({ isDry: this.#isDry, page: async from => await this.#page(from, copier), stage: () => this.#stage() }).catch((error: unknown) => {
      // What was copied until then is.
      if (this.#counts.read > 0) this.#tell(false)
      throw error
    })
    this.#tell(isDone)
    const code = this.#sweep.end(isDone)
    return LEFT.some(([outcome]) => this.#counts[outcome] > 0) ? FAILED : code
  }

  async #page (from: Item | undefined, copier: Copier): Promise<Turn> {
    const { items, read, next } = await this.#old.sample(PAGE, from)
    this.#counts.read += read
    await this.#sweep.spend()
    if (this.#isDry) for (const item of items) this.#count(this.#foresee(item))
    else {
      await this.#sweep.each(items, async item => {
        this.#count(await copier.copy(item))
        await this.#sweep.spend()
      })
    }
    return { next, place: next }
  }

  #foresee (item: Item): Outcome {
    const decision = decide(item, this.#copying.origin, this.#copying, this.#copying.now() / 1000)
    return typeof decision === 'string' ? decision : 'copied'
  }

  #count (outcome: Outcome): void {
    this.#counts[outcome] += 1
    if (outcome === 'deleted' || outcome === 'kept') this.#counts.copied += 1
  }

  #stage (): { done: number, text: string } {
    const { read, copied } = this.#counts
    return { done: read, text: `${read.toLocaleString('en-US')} read, ${copied.toLocaleString('en-US')} ${this.#isDry ? 'to copy' : 'copied'}` }
  }

  #tell (isDone: boolean): void {
    const { given, output } = this.#context
    if (given.has('json')) output.printJson({ done: isDone, dryRun: this.#isDry, ...this.#counts, units: this.#sweep.units })
    else output.print(this.#summary())
    for (const [outcome, text] of LEFT) if (this.#counts[outcome] > 0) output.warn(`There ${this.#counts[outcome] === 1 ? 'is' : 'are'} ${count(this.#counts[outcome], 'living session')} ${text}`)
  }

  #summary (): string {
    const { read, copied } = this.#counts
    const others = Object.entries(TEXTS).map(([name, text]) => [this.#counts[name as Outcome], text] as const)
    return [
      `${count(read, 'row')} read`,
      this.#isDry ? `${copied.toLocaleString('en-US')} to copy, none copied` : `${copied.toLocaleString('en-US')} copied`,
      ...others.filter(([amount]) => amount > 0).map(([amount, text]) => `${amount.toLocaleString('en-US')} ${text}`),
      `${count(Math.ceil(this.#sweep.units), 'capacity unit')} used`
    ].join('; ') + '.'
  }
}

import type { DynamoDBClient, DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import type { Repository, SessionRecord } from '../types/repository.js'
import { RecordCache } from './cache.js'
import { makeClient } from './client.js'
import { revokeKey } from './endings.js'
import { errors } from './errors.js'
import type { Ended, GoneReason } from './events.js'
import { NO_TRACES, type Traces } from './companion.js'
import { activeEndOf, goneReason } from './expiry.js'
import { Importer } from './importer.js'
import { noteRevocation } from './journal.js'
import { createNotice, type Log } from './report.js'
import type { Settings } from './options.js'
import { isRenewalDue, withActivity } from './plan.js'
import { SharedReads } from './reads.js'
import { DynamoRepository } from './repository.js'
import { SessionState } from './session.js'
import { Source } from './source.js'
import { Table } from './table.js'
import { Updater } from './updater.js'
import { Users, type ListingRepository } from './users.js'
import { Visit, type VisitTools } from './visit.js'
import { Writer } from './writer.js'

/** What was found under a token: a visit, with the reason where its session is not alive and the visit is blank. */
export interface Opened {
  readonly visit: Visit
  readonly ended: GoneReason | undefined
}

/** Opens sessions by their ids, on a table or on a repository that was handed in. */
export class Keeper {
  readonly settings: Settings
  readonly repository: SharedReads
  readonly table: Table | undefined
  /** Undefined on a repository that was handed in and keeps no lists. */
  readonly users: Users | undefined
  /** What the sessions of a table are reached by; undefined where a repository was handed in. */
  readonly dynamo: Dynamo | undefined
  /** Told of requests that bring good tokens of several ids. */
  readonly noticeAmbiguous: (log: Log) => void
  /** Moves sessions of other stores here, where there are any to be moved. */
  readonly importer: Importer | undefined
  readonly #tools: VisitTools & { readonly writer: Writer }
  readonly #close: () => Promise<void>
  /** One is a forgotten tab, many are somebody who guesses. */
  readonly #noticeUnknown: ReturnType<typeof createNotice>

  constructor (settings: Settings, log: Log) {
    const { repository: inner, table, dynamo, close } = connect(settings, log)
    const repository = new SharedReads(inner, cacheOf(settings))
    this.settings = settings
    this.repository = repository
    this.table = table
    this.dynamo = dynamo
    this.#close = close
    this.users = usersOf(repository, settings)
    this.#tools = { settings, repository, writer: new Writer(repository, settings, this.users), updater: new Updater(repository, settings) }
    this.importer = settings.importFrom.length === 0 ? undefined : new Importer(sourcesOf(settings, dynamo?.client), this.#tools, async (...args) => await this.open(...args))
    this.noticeAmbiguous = createNotice(settings.now, 'Requests came in with tokens of several sessions, of which none counts: somebody may have planted one')
    this.#noticeUnknown = createNotice(settings.now, 'Tokens came in for which there is no session')
  }

  /** A session that could not be read. */
  unread (log: Log, { cause }: Error): Visit {
    const visit = this.blank(log)
    visit.state.unread = cause instanceof Error ? cause : new Error('The session could not be read.')
    return visit
  }

  blank (log: Log, ended?: Ended, tools: VisitTools = this.#tools): Visit {
    return new Visit(new SessionState(this.settings), tools, log, ended)
  }

  /** `traces` are what the visitor knows: what was written, so that a read that lags behind is noticed, and the last activity. */
  async open (id: string, key: string, log: Log, traces: Traces = NO_TRACES, tools: VisitTools = this.#tools): Promise<Opened> {
    const { consistentRead } = this.settings
    const { activeAt } = traces
    // An answer that tells an activity may have taken back what another said of a write, until the end of that second.
    const since = activeAt === undefined ? undefined : (activeAt + 1) * 1000
    let record = this.#seen(await this.repository.load(key, consistentRead, since), traces)
    let ended = this.#endedBy(record)
    if (!consistentRead && isSuspect(record, ended, traces)) {
      record = this.#seen(await this.repository.load(key, true), traces)
      ended = this.#endedBy(record)
    }
    if (record !== null && ended === undefined) {
      const toldAt = traces.isOutdated ? -Infinity : traces.activeAt
      return { visit: new Visit(new SessionState(this.settings, { id, record, toldAt }), tools, log), ended }
    }
    if (record === null) this.#noticeUnknown(log, key)
    return { visit: this.blank(log, ended === undefined || ended === 'missing' ? undefined : { key, reason: ended }, tools), ended }
  }

  /** The same, by a strong read, for callers without a visitor who could tell what was written. */
  async openConsistent (id: string, key: string, log: Log): Promise<Visit | null> {
    const record = this.#seen(await this.repository.load(key, true), NO_TRACES)
    if (record === null || goneReason(record, this.settings, this.#now()) !== undefined) return null
    return new Visit(new SessionState(this.settings, { id, record }), this.#tools, log)
  }

  async destroyKey (key: string, log: Log): Promise<void> {
    await this.#tools.writer.destroyKey(key, log)
  }

  async revokeKey (key: string, log: Log): Promise<void> {
    const ends = await revokeKey(this.repository, key, this.#now())
    for (const key of ends.keys()) noteRevocation(log, key)
    for (const [key, user] of ends) await this.users?.unlist(key, user, log)
  }

  async close (): Promise<void> {
    if (this.importer !== undefined) await this.importer.close()
    await this.#close()
  }

  /** With the last activity that anybody tells of: the table, the browser, or this process. */
  #seen (record: SessionRecord | null, { activeAt = 0 }: Traces): SessionRecord | null {
    if (record === null) return null
    return withActivity(record, Math.max(activeAt, this.#tools.writer.activityOf(record.key) ?? 0))
  }

  #endedBy (record: SessionRecord | null): GoneReason | undefined {
    const isIdle = record !== null && this.#now() >= activeEndOf(record, this.settings)
    return goneReason(record, this.settings, this.#now()) ?? (isIdle ? 'expired' : undefined)
  }

  #now (): number {
    return this.settings.now() / 1000
  }
}

/** Whether an eventually consistent read may have missed a write: one that the visitor knows of, or a renewal. */
function isSuspect (record: SessionRecord | null, ended: GoneReason | undefined, { version }: Traces): boolean {
  if (record === null) return version !== undefined
  return ended === 'expired' || (version !== undefined && record.version < version)
}

const NO_BATCHES = 'Reads do not travel together, because BatchGetItem is refused: permit dynamodb:BatchGetItem, or set batchReads: false'

const NO_INDEX = 'A session was written without the attributes of "indexKeys", because an index of the table refuses one of them: define its key with the type that the values have'

/**
 * A record that is to be renewed is read again, because another process may have renewed it: a read costs less than a
 * renewal. So is one that has expired.
 */
function cacheOf (settings: Settings): RecordCache | undefined {
  const { cache, now } = settings
  return cache === false ? undefined : new RecordCache(cache, now, record => !isRenewalDue(record, settings, now() / 1000))
}

function usersOf (repository: SharedReads, settings: Settings): Users | undefined {
  if (repository.users !== undefined) return new Users(repository as SharedReads & Pick<ListingRepository, 'users'>, settings)
  if (settings.userIndex !== false) throw new errors.BadOption('userIndex', 'needs a table, or a repository that keeps lists of sessions')
  return undefined
}

export interface Dynamo { readonly client: DynamoDBClient, readonly repository: DynamoRepository }

interface Connection {
  readonly repository: Repository
  readonly table: Table | undefined
  readonly dynamo: Dynamo | undefined
  readonly close: () => Promise<void>
}

function connect (settings: Settings, log: Log): Connection {
  const { client, layout, timeout, maxSize, createTable, batchReads, consistentRead } = settings
  if ('load' in client && typeof client.load === 'function') {
    if (createTable !== false) throw new errors.BadOption('createTable', 'needs a DynamoDB client, not a repository')
    return { repository: client, table: undefined, dynamo: undefined, close: async () => await client.close?.() }
  }
  const isOwn = !isClient(client)
  const dynamo = isOwn ? makeClient(client, timeout) : client
  const noticeGhost = createNotice(settings.now, 'A record lacks what a session needs and counts as absent')
  const onGhost = (loggableId: string): void => { noticeGhost(log, loggableId) }
  const noticeIndex = createNotice(settings.now, NO_INDEX)
  const onIndexRefused = (loggableId: string): void => { noticeIndex(log, loggableId) }
  const onRefused = (err: Error): void => { log.warn({ err }, NO_BATCHES) }
  const batches = batchReads ? { strong: consistentRead, onRefused } : undefined
  const repository = new DynamoRepository(dynamo, { layout, timeout, maxSize, onGhost, batches, onIndexRefused })
  const table = new Table(dynamo, settings, repository, log)
  return { repository, table, dynamo: { client: dynamo, repository }, close: async () => { if (isOwn) await destroyWhenIdle(dynamo, repository) } }
}

function isClient (client: DynamoDBClient | DynamoDBClientConfig): client is DynamoDBClient {
  return 'send' in client && typeof client.send === 'function'
}

/** The tables of other stores, by the plugin's client where a reader has none of its own. */
function sourcesOf ({ importFrom, timeout }: Settings, dynamo: DynamoDBClient | undefined): Source[] {
  return importFrom.map(reader => {
    const { client = dynamo } = reader
    if (client === undefined) throw new errors.BadOption('importFrom', 'needs a DynamoDB client: give the reader a "client", since the plugin has a repository')
    return isClient(client) ? new Source(reader, client, timeout, false) : new Source(reader, makeClient(client, timeout), timeout, true)
  })
}

/**
 * Not before calls have ended that no server waits for: of requests whose client has left, of replies that were hijacked, of
 * jobs. A client that is destroyed cuts them off, and whether they were done would be known to nobody.
 */
async function destroyWhenIdle (client: DynamoDBClient, repository: DynamoRepository): Promise<void> {
  await repository.idle()
  client.destroy()
}

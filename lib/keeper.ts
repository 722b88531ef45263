import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import type { Repository, SessionRecord } from '../types/repository.js'
import { makeClient } from './client.js'
import { errors } from './errors.js'
import type { Ended, GoneReason } from './events.js'
import { goneReason } from './expiry.js'
import { createNotice, type Log } from './report.js'
import type { Settings } from './options.js'
import { DynamoRepository } from './repository.js'
import { SessionState } from './session.js'
import { Table } from './table.js'
import { Updater } from './updater.js'
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
  readonly repository: Repository
  readonly table: Table | undefined
  /** Told of requests that bring good tokens of several ids. */
  readonly noticeAmbiguous: (log: Log) => void
  readonly #tools: VisitTools
  readonly #close: () => Promise<void>
  /** One is a forgotten tab, many are somebody who guesses. */
  readonly #noticeUnknown: ReturnType<typeof createNotice>

  constructor (settings: Settings, log: Log) {
    const { repository, table, close } = connect(settings, log)
    this.settings = settings
    this.repository = repository
    this.table = table
    this.#close = close
    this.#tools = { settings, repository, writer: new Writer(repository, settings), updater: new Updater(repository, settings) }
    this.noticeAmbiguous = createNotice(settings.now, 'Requests came in with tokens of several sessions, of which none counts: somebody may have planted one')
    this.#noticeUnknown = createNotice(settings.now, 'Tokens came in for which there is no session')
  }

  /** A session that could not be read. */
  unread (log: Log, { cause }: Error): Visit {
    const visit = this.blank(log)
    visit.state.unread = cause instanceof Error ? cause : new Error('The session could not be read.')
    return visit
  }

  blank (log: Log, ended?: Ended): Visit {
    return new Visit(new SessionState(this.settings), this.#tools, log, ended)
  }

  /** `writtenVersion` is what the visitor knows to be written, so that a read that lags behind is noticed. */
  async open (id: string, key: string, log: Log, writtenVersion?: number): Promise<Opened> {
    const record = await this.#find(key, writtenVersion)
    const ended = goneReason(record, this.settings, this.#now())
    if (record !== null && ended === undefined) {
      return { visit: new Visit(new SessionState(this.settings, { id, record }), this.#tools, log), ended }
    }
    if (record === null) this.#noticeUnknown(log, key)
    return { visit: this.blank(log, ended === undefined || ended === 'missing' ? undefined : { key, reason: ended }), ended }
  }

  /** The same, by a strong read, for callers without a visitor who could tell what was written. */
  async openConsistent (id: string, key: string, log: Log): Promise<Visit | null> {
    const record = await this.repository.load(key, true)
    if (record === null || goneReason(record, this.settings, this.#now()) !== undefined) return null
    return new Visit(new SessionState(this.settings, { id, record }), this.#tools, log)
  }

  async destroyKey (key: string): Promise<void> {
    await this.#tools.writer.destroyKey(key)
  }

  async close (): Promise<void> {
    await this.#close()
  }

  async #find (key: string, writtenVersion: number | undefined): Promise<SessionRecord | null> {
    const { consistentRead } = this.settings
    const record = await this.repository.load(key, consistentRead)
    const isSuspect = record === null ? writtenVersion !== undefined : this.#seemsOld(record, writtenVersion)
    return isSuspect && !consistentRead ? await this.repository.load(key, true) : record
  }

  /** Whether an eventually consistent read may have missed a write: one that the visitor knows of, or a renewal. */
  #seemsOld (record: SessionRecord, writtenVersion = 0): boolean {
    return record.version < writtenVersion || goneReason(record, this.settings, this.#now()) === 'expired'
  }

  #now (): number {
    return this.settings.now() / 1000
  }
}

interface Connection { readonly repository: Repository, readonly table: Table | undefined, readonly close: () => Promise<void> }

function connect (settings: Settings, log: Log): Connection {
  const { client, layout, timeout, maxSize, createTable } = settings
  if ('load' in client && typeof client.load === 'function') {
    if (createTable !== false) throw new errors.BadOption('createTable', 'needs a DynamoDB client, not a repository')
    return { repository: client, table: undefined, close: async () => await client.close?.() }
  }
  const isOwn = !('send' in client && typeof client.send === 'function')
  const dynamo = isOwn ? makeClient(client, timeout) : client
  const noticeGhost = createNotice(settings.now, 'A record lacks what a session needs and counts as absent')
  const onGhost = (loggableId: string): void => { noticeGhost(log, loggableId) }
  const repository = new DynamoRepository(dynamo, { layout, timeout, maxSize, onGhost })
  const table = new Table(dynamo, settings, repository, log)
  return { repository, table, close: async () => { if (isOwn) await destroyWhenIdle(dynamo, repository) } }
}

/**
 * Not before calls have ended that no server waits for: of requests whose client has left, of replies that were hijacked, of
 * jobs. A client that is destroyed cuts them off, and whether they were done would be known to nobody.
 */
async function destroyWhenIdle (client: DynamoDBClient, repository: DynamoRepository): Promise<void> {
  await repository.idle()
  client.destroy()
}

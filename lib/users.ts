import type { Renewal, Repository, SessionRecord, UserLists, UserRecord } from '../types/repository.js'
import type { ListedSession } from '../types/session.js'
import { conflict } from './endings.js'
import type { Envelope } from './envelope.js'
import { errors } from './errors.js'
import { gone, isTrackedByCookie, timeoutsOf, type Timeouts } from './expiry.js'
import { noteRevocation } from './journal.js'
import { ATTEMPTS, leave, pause } from './leaving.js'
import { inParallel } from './parallel.js'
import { reissueTimeOf, type Binding } from './plan.js'
import type { Log } from './report.js'
import { candidates, isDead, isTellable, shelve, shown, surplus, type NamedList } from './roster.js'
import { placeOf, type UserIndex } from './naming.js'

/** A repository that keeps lists of users' sessions, and can end those. */
export type ListingRepository = Repository & Required<Pick<Repository, 'revoke'>> & { readonly users: UserLists }

export interface UsersSettings extends Timeouts {
  readonly reissueTime: number
  readonly userIndex: UserIndex | false
  readonly envelope: Envelope
  readonly now: () => number
}

/** Sessions that are ended, or looked at, at the same time. */
const AT_ONCE = 16

/** Sessions that one write takes off a list. An expression holds 4 KB. */
const MOST_REMOVED = 100

/** Sessions whose time seems over before it is worth a look: so many reads go with every so many log-ins. */
const WORTH_PRUNING = 10

const NOT_TOLD = 'The list of a user\'s sessions could not be told of a change, so that it may show a session that has ended'

/** The sessions of a user. A session that is bound is listed before it is stored, and leaves the list when it is dead. */
export class Users {
  readonly #repository: ListingRepository
  readonly #settings: UsersSettings
  readonly #random: () => number

  constructor (repository: ListingRepository, settings: UsersSettings, random: () => number = Math.random) {
    this.#repository = repository
    this.#settings = settings
    this.#random = random
  }

  /**
   * Lists a session that is about to be stored. `from`: the session of the same user which it is to replace; where that is not
   * listed any more, it was ended.
   */
  async enlist (record: SessionRecord, binding: Binding | undefined, from: string | undefined, log: Log): Promise<void> {
    const { key, user } = record
    if (user === undefined) return
    const list = await this.#add(record, user, binding?.label, from)
    if (list === null) throw gone(from ?? key, 'replaced')
    const most = this.#settings.userIndex === false ? undefined : this.#settings.userIndex.maxSessions
    if (from === undefined && most !== undefined && binding !== undefined) await this.#evict(key, binding.users, list, most, log)
    else await this.#atBest(log, key, async () => { await this.#tidy({ user, list }, log) })
  }

  /** Takes a session off a list: one that is dead. */
  async unlist (key: string, user: string | undefined, log: Log): Promise<void> {
    if (user === undefined) return
    await this.#atBest(log, key, async () => { await this.#repository.users.amend(user, { remove: [key] }) })
  }

  /** Takes a session off the list of a user whose it is not any more; where it is theirs again, it stays. */
  async leave (key: string, user: string | undefined, log: Log): Promise<void> {
    if (user !== undefined) await this.#atBest(log, key, async () => { await leave(this.#repository, user, key, this.#random) })
  }

  /** A session has taken the place of another. */
  async moved (record: SessionRecord, old: SessionRecord, log: Log): Promise<void> {
    if (old.user === undefined) return
    const { key, user, createdAt, lastSeenAt, expiresAt } = record
    const renew = user === old.user ? { key, createdAt, lastSeenAt, expiresAt } : undefined
    await this.#atBest(log, old.key, async () => { await this.#repository.users.amend(String(old.user), { remove: [old.key], renew }) })
  }

  /** Tells the list of a renewal, once in a reissue time. */
  async renewed (base: SessionRecord, { lastSeenAt, expiresAt }: Renewal, log: Log): Promise<void> {
    const { key, user, createdAt } = base
    const { reissueTime } = this.#settings
    if (user === undefined || isTrackedByCookie(timeoutsOf(base, this.#settings))) return
    if (!isTellable(base.lastSeenAt, lastSeenAt, reissueTimeOf(base, reissueTime))) return
    await this.#atBest(log, key, async () => {
      await this.#repository.users.amend(user, { remove: [], renew: { key, createdAt, lastSeenAt, expiresAt } })
    })
  }

  async list (userId: string, current: ReadonlySet<string>): Promise<ListedSession[]> {
    const lists = await this.#load(this.#index.namesOf(userId))
    return shown(lists, this.#now()).map(({ user, key, entry: { label, ...instants } }) => ({
      loggableId: key,
      ...instants,
      label: label === undefined ? undefined : String(this.#settings.envelope.unwrap(label, placeOf(user)).S),
      current: current.has(key)
    }))
  }

  /** May be repeated where it fails, and ends then with none alive that was listed when it began. */
  async revokeAll (userId: string, except: ReadonlySet<string>, log: Log): Promise<void> {
    // A session moves from the lists of older keys to that of the newest, where it is met when it was missed.
    for (const user of [...this.#index.namesOf(userId)].reverse()) await this.#end(user, key => !except.has(key), log)
  }

  get #index (): UserIndex {
    const { userIndex } = this.#settings
    if (userIndex === false) throw new errors.BadOption('userIndex', 'is not set, so sessions have no users: set it to true')
    return userIndex
  }

  #now (): number {
    return this.#settings.now() / 1000
  }

  async #load (users: readonly string[]): Promise<NamedList[]> {
    const lists = await Promise.all(users.map(async user => ({ user, list: await this.#repository.users.load(user) })))
    return lists.filter((named): named is NamedList => named.list !== null)
  }

  async #add (record: SessionRecord, user: string, text: string | undefined, from: string | undefined): Promise<UserRecord | null> {
    const { key, createdAt, lastSeenAt, expiresAt } = record
    const label = text === undefined ? undefined : this.#settings.envelope.wrap({ S: text }, placeOf(user))
    const add = async (): Promise<UserRecord | null> =>
      await this.#repository.users.add(user, key, { createdAt, lastSeenAt, expiresAt, label }, from)
    return await add().catch(async (error: unknown) => {
      if (!(error instanceof errors.UserFull)) throw error
      const list = await this.#repository.users.load(user)
      if (list === null || !await this.#prune({ user, list })) throw error
      return await add()
    })
  }

  /** So that no more than `most` are left. Where another log-in has ended this session meanwhile, that stands. */
  async #evict (key: string, users: readonly string[], first: UserRecord, most: number, log: Log): Promise<void> {
    const [newest = '', ...older] = users
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (attempt > 0) await pause(this.#random)
      const list = attempt === 0 ? first : await this.#repository.users.load(newest)
      if (list?.sessions.has(key) !== true) throw gone(key, 'replaced')
      const lists = [{ user: newest, list }, ...await this.#load(older)]
      const ending = surplus(lists, key, most, this.#now())
      // The newest first: its version tells whether another log-in came before.
      if (await this.#endSome(lists, ending, log)) return
    }
    throw conflict(key)
  }

  async #endSome (lists: readonly NamedList[], ending: ReadonlySet<string>, log: Log): Promise<boolean> {
    for (const { user, list } of lists) {
      // What others have begun, or this one by a write whose answer was lost, is finished too.
      const isConcerned = list.revoking.size > 0 || [...list.sessions.keys()].some(key => ending.has(key))
      if (isConcerned && !await this.#endListed(user, list, key => ending.has(key), log)) return false
    }
    return true
  }

  /** Ends sessions of a list, with those that others have begun to end, until nothing that was listed is left to do. */
  async #end (user: string, ends: (key: string) => boolean, log: Log): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (attempt > 0) await pause(this.#random)
      const list = await this.#repository.users.load(user)
      if (list === null || await this.#endListed(user, list, ends, log)) return
    }
    throw new errors.Conflict()
  }

  /** False where the list has changed since it was read. */
  async #endListed (user: string, list: UserRecord, ends: (key: string) => boolean, log: Log): Promise<boolean> {
    const { lists, ending } = shelve(list, ends)
    const isChange = lists.sessions.size < list.sessions.size
    if (isChange && !await this.#repository.users.rewrite(user, lists, list.version)) return false
    await this.#finish(user, ending, log)
    return true
  }

  /** First the tombstones, then the list: what fails in between is found there, and done again. */
  async #finish (user: string, keys: readonly string[], log: Log): Promise<void> {
    const now = this.#now()
    await inParallel(keys, AT_ONCE, async key => {
      await this.#repository.revoke(key, now, user)
      noteRevocation(log, key)
    })
    await this.#remove(user, keys)
  }

  async #remove (user: string, keys: readonly string[]): Promise<void> {
    for (let first = 0; first < keys.length; first += MOST_REMOVED) {
      await this.#repository.users.amend(user, { remove: keys.slice(first, first + MOST_REMOVED) })
    }
  }

  /** What others have begun is finished, and what is dead taken off. */
  async #tidy (named: NamedList, log: Log): Promise<void> {
    const { user, list } = named
    if (list.revoking.size > 0) await this.#finish(user, [...list.revoking.keys()], log)
    if (candidates(list, this.#now()).length >= WORTH_PRUNING) await this.#prune(named)
  }

  /** Takes dead sessions off a list, and tells whether there were any. What seems over may be alive: only its record tells. */
  async #prune ({ user, list }: NamedList): Promise<boolean> {
    const dead: string[] = []
    await inParallel(candidates(list, this.#now()), AT_ONCE, async key => {
      const record = await this.#repository.load(key, true)
      if (isDead(record, this.#now())) dead.push(key)
    })
    await this.#remove(user, dead)
    return dead.length > 0
  }

  async #atBest (log: Log, loggableId: string, act: () => Promise<void>): Promise<void> {
    await act().catch((err: unknown) => { log.warn({ err, loggableId }, NOT_TOLD) })
  }
}

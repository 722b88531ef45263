import type { UserChange, UserEntry, UserLists, UserRecord } from '../types/repository.js'

/** The lists of users' sessions in this process's memory. */
export class MemoryLists implements UserLists {
  readonly #lists = new Map<string, UserRecord>()

  async load (user: string): Promise<UserRecord | null> {
    return this.#read(user)
  }

  async add (user: string, key: string, entry: UserEntry, from?: string): Promise<UserRecord | null> {
    const list = this.#read(user) ?? { sessions: new Map<string, UserEntry>(), revoking: new Map<string, UserEntry>(), version: 0 }
    const before = from === undefined ? undefined : list.sessions.get(from)
    if (list.revoking.has(key) || (from !== undefined && before === undefined)) return null
    const listed = { ...entry, label: entry.label ?? before?.label }
    this.#write(user, { ...list, sessions: new Map([...list.sessions, [key, listed]]), version: list.version + 1 })
    return this.#read(user)
  }

  async amend (user: string, { remove, renew }: UserChange): Promise<boolean> {
    const list = this.#read(user)
    const entry = renew === undefined ? undefined : list?.sessions.get(renew.key)
    if (list === null || (renew !== undefined && entry === undefined)) return false
    const [sessions, revoking] = [new Map(list.sessions), new Map(list.revoking)]
    for (const key of remove) for (const entries of [sessions, revoking]) entries.delete(key)
    if (renew !== undefined) {
      const { key, ...instants } = renew
      sessions.set(key, { ...instants, label: entry?.label })
    }
    this.#write(user, { sessions, revoking, version: list.version + Math.min(1, remove.length) })
    return true
  }

  async rewrite (user: string, { sessions, revoking }: Pick<UserRecord, 'sessions' | 'revoking'>, version: number): Promise<boolean> {
    if (this.#read(user)?.version !== version) return false
    this.#write(user, { sessions, revoking, version: version + 1 })
    return true
  }

  #read (user: string): UserRecord | null {
    const list = this.#lists.get(user)
    return list === undefined ? null : structuredClone(list)
  }

  #write (user: string, list: UserRecord): void {
    this.#lists.set(user, structuredClone(list))
  }
}

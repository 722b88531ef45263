import { errors } from './errors.js'
import { USER_BYTES, type Layout } from './item.js'
import { LIST_ATTRIBUTES } from './listing.js'
import type { Place, Sealer } from './seal.js'
import { hash } from './token.js'

/** How users are named, and how many sessions each may have. */
export interface UserIndex {
  readonly maxSessions: number | undefined
  /**
   * The names under which the list of a user may stand, the one for new entries first: with keys nobody who reads the table
   * finds out by trial whose list it is, and a key that was the newest once has lists yet.
   */
  readonly namesOf: (userId: string) => readonly [string, ...string[]]
}

const LONGEST_USER_ID = 1024

/** DynamoDB's limit for a partition key, without the hash. */
const LONGEST_PREFIX = 2048 - 43 - USER_BYTES

/** `acceptsPlain`: whether lists count that were written before there were keys. */
export function userIndexOf (maxSessions: number | undefined, sealer: Sealer | undefined, acceptsPlain: () => boolean): UserIndex {
  const plain = (userId: string): string => hash(JSON.stringify(['fastify-dynamodb-session', 'user', userId]))
  return Object.freeze({
    maxSessions,
    namesOf (userId) {
      assertUserId(userId)
      if (sealer === undefined) return [plain(userId)] as const
      const [newest, ...older] = sealer.nameUser(userId)
      return [newest, ...older, ...acceptsPlain() ? [plain(userId)] : []] as const
    }
  } satisfies UserIndex)
}

/** Lists have keys that are longer than those of sessions, and attributes that sessions have not. */
export function assertRoomForLists ({ keyPrefix, partitionKey, ttlAttribute }: Layout): void {
  if (Buffer.byteLength(keyPrefix) > LONGEST_PREFIX) throw new errors.BadOption('keyPrefix', `may take ${LONGEST_PREFIX} bytes with "userIndex"`)
  const taken: readonly string[] = Object.values(LIST_ATTRIBUTES)
  if (taken.includes(partitionKey.name)) throw new errors.BadOption('partitionKey', 'is the name of an attribute that lists of sessions have')
  if (taken.includes(ttlAttribute)) throw new errors.BadOption('ttlAttribute', 'is the name of an attribute that lists of sessions have')
}

/** Numbers are refused, because 42 and "42" would be one user or two, by whom one asks. */
function assertUserId (userId: unknown): void {
  const isText = typeof userId === 'string' && userId !== '' && userId.isWellFormed()
  if (!isText || Buffer.byteLength(userId) > LONGEST_USER_ID) throw new errors.BadOption('userId', `must be a text of 1 to ${LONGEST_USER_ID} bytes: for a number give String(id)`)
}

/** A label opens in the lists of its user only: its session may change its key, of which only the table knows. */
export function placeOf (user: string): Place {
  return { key: `user#${user}`, name: 'label' }
}

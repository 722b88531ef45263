// What the other systems would have spent on the requests of this demonstration. Arithmetic only: the calls that each makes for
// a kind of request were measured, see docs/cost.md, "Beside other systems".
import { unitsOf, type Call, type Visit } from '../cli/bill.js'
import { sizedFor } from '../cli/reckon.js'
import { NAME, OURS, SYSTEMS, type System } from '../cli/systems.js'

/** What somebody did, by what it asks of a table: as in the measurements, and the first data of a visitor without a session. */
export type Kind = Visit | 'begin'

/** What is known of a request when it is answered. */
export interface Facts {
  /** Whether it brought a token. */
  readonly hasToken: boolean
  /** Whether that was of a living session. */
  readonly isKnown: boolean
  /** What its calls were made for. */
  readonly operations: readonly string[]
}

export function kindOf ({ hasToken, isKnown, operations }: Facts): Kind {
  const did = (operation: string): boolean => operations.includes(operation)
  if (!isKnown && did('create')) return did('bind') ? 'first' : 'begin'
  // A token without a session: at least what a token costs that nobody has given out.
  if (!isKnown) return hasToken ? 'forged' : 'anonymous'
  if (did('destroy')) return 'logout'
  if (did('regenerate')) return 'login'
  if (did('save')) return 'change'
  return did('touch') ? 'renewal' : 'read'
}

/** Each of the others, with its defaults. */
export const OTHERS: readonly System[] = SYSTEMS.filter(({ name, setting }) => name !== NAME && setting === '')

const ONE_WRITE: readonly Call[] = ['write']

/** Bytes of an item beside the data's JSON. */
const BESIDE_DATA = OURS.bytes - 2048

export interface Spent { readonly calls: number, readonly read: number, readonly write: number }

export const NOTHING: Spent = { calls: 0, read: 0, write: 0 }

export function plus (one: Spent, other: Spent): Spent {
  return { calls: one.calls + other.calls, read: one.read + other.read, write: one.write + other.write }
}

/** What a system would have spent on a request of this kind, where the item of this library has so many bytes. */
export function spentBy (system: System, kind: Kind, itemBytes: number): Spent {
  const calls = kind === 'begin' ? ONE_WRITE : system.visits[kind]
  return unitsOf(calls, sizedFor(Math.max(1, itemBytes - BESIDE_DATA), system))
}

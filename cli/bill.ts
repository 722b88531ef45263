// What DynamoDB charges: visits in, calls, units and dollars out. Arithmetic only; prices are an argument.

/** A call, by what it is charged for. An update and a delete are charged by the whole item, however little of it they touch. */
export type Call =
  /** Of the session, eventually consistent. */
  | 'read'
  /** Of the session, strongly consistent. */
  | 'strong read'
  /** Of an item that is not there, eventually consistent. */
  | 'vain read'
  /** The same, strongly consistent. */
  | 'strong vain read'
  /** Of the session: PutItem, UpdateItem or DeleteItem. */
  | 'write'
  /** Of an item of one unit, such as a session without data. */
  | 'small write'

/** What somebody does, by what it asks of the table. */
export type Visit =
  /** Somebody without a token, who leaves nothing behind. */
  | 'anonymous'
  /** A token that nobody has given out. */
  | 'forged'
  | 'read'
  /** A read when the session's idle timeout is to be renewed. */
  | 'renewal'
  | 'change'
  /** A log-in of somebody without a session. */
  | 'first'
  /** A log-in of somebody who has one. */
  | 'login'
  | 'logout'
  /** Twenty reads of one session at once. */
  | 'burst'

/** The calls that each visit makes. */
export type Visits = Readonly<Record<Visit, readonly Call[]>>

export interface Units {
  readonly calls: number
  readonly read: number
  readonly write: number
}

const READ_UNIT = 4096
const WRITE_UNIT = 1024
/** What AWS adds to each item that is stored. */
const STORED_BESIDE = 100
const GIGABYTE = 1e9

/** Units of a strongly consistent read. One that is eventually consistent takes half of them. */
export function unitsOfRead (bytes: number): number {
  return Math.max(1, Math.ceil(bytes / READ_UNIT))
}

export function unitsOfWrite (bytes: number): number {
  return Math.max(1, Math.ceil(bytes / WRITE_UNIT))
}

/** What calls take, where the session's item has so many bytes. */
export function unitsOf (calls: readonly Call[], bytes: number): Units {
  return calls.map(call => unitsOfCall(call, bytes)).reduce(add, NOTHING)
}

const NOTHING: Units = { calls: 0, read: 0, write: 0 }

function unitsOfCall (call: Call, bytes: number): Units {
  if (call === 'small write') return { calls: 1, read: 0, write: 1 }
  if (call === 'write') return { calls: 1, read: 0, write: unitsOfWrite(bytes) }
  const whole = call.includes('vain') ? 1 : unitsOfRead(bytes)
  return { calls: 1, read: call.startsWith('strong') ? whole : whole / 2, write: 0 }
}

function add (one: Units, other: Units): Units {
  return { calls: one.calls + other.calls, read: one.read + other.read, write: one.write + other.write }
}

/** What an application is asked in a month. */
export interface Traffic {
  readonly visits: Partial<Readonly<Record<Visit, number>>>
  /** Sessions that are stored, on average. */
  readonly sessions: number
}

/** What it asks of DynamoDB in a month. */
export interface Usage extends Units {
  /** Bytes. */
  readonly stored: number
}

export function usageOf (visits: Visits, bytes: number, { visits: amounts, sessions }: Traffic): Usage {
  const all = (Object.entries(amounts) as Array<[Visit, number]>)
    .map(([visit, amount]) => times(unitsOf(visits[visit], bytes), amount))
    .reduce(add, NOTHING)
  return { ...all, stored: sessions * (bytes + STORED_BESIDE) }
}

function times ({ calls, read, write }: Units, amount: number): Units {
  return { calls: calls * amount, read: read * amount, write: write * amount }
}

/** Reads of visitors with a request every so many seconds, of which those renew that come a reissue time after the last renewal. */
export function withRenewals (reads: number, pace: number, reissueTime: number): Pick<Record<Visit, number>, 'read' | 'renewal'> {
  const renewal = reads / requestsPerRenewal(pace, reissueTime)
  return { read: reads - renewal, renewal }
}

/** How many requests of a visitor share one renewal. */
export function requestsPerRenewal (pace: number, reissueTime: number): number {
  return Math.max(1, Math.ceil(reissueTime / pace))
}

/** Dollars. */
interface Prices {
  readonly region: string
  /** The day from which they hold, or at which they were looked up where that is not known. */
  readonly date: string
  /** A gigabyte for a month. */
  readonly storage: number
}

export interface OnDemand extends Prices {
  readonly mode: 'on demand'
  /** A million units. */
  readonly read: number
  readonly write: number
}

export interface Provisioned extends Prices {
  readonly mode: 'provisioned'
  /** A unit a second, for an hour. */
  readonly read: number
  readonly write: number
  readonly hoursOfMonth: number
}

export type PriceList = OnDemand | Provisioned

/** Dollars a month. */
export interface Bill {
  readonly reads: number
  readonly writes: number
  readonly storage: number
  readonly total: number
}

/**
 * What a usage costs. Provisioned capacity is taken as paid for exactly as much as is used, evenly over the month: nobody gets as
 * low as that.
 */
export function billOf ({ read, write, stored }: Usage, prices: PriceList): Bill {
  const reads = read * priceOfUnit(prices, prices.read)
  const writes = write * priceOfUnit(prices, prices.write)
  const storage = stored / GIGABYTE * prices.storage
  return { reads, writes, storage, total: reads + writes + storage }
}

function priceOfUnit ({ mode }: PriceList, price: number): number {
  return mode === 'on demand' ? price / 1e6 : price / 3600
}

/** What capacity that is there all month costs, used or not. Units a second, and bytes. */
export function billOfCapacity ({ read, write, stored }: Pick<Usage, 'read' | 'write' | 'stored'>, prices: Provisioned): Bill {
  const seconds = prices.hoursOfMonth * 3600
  return billOf({ calls: 0, read: read * seconds, write: write * seconds, stored }, prices)
}

/** How many reads one write of the same item costs: with fewer requests between two renewals, renewing costs more than reading. */
export function readsPerWrite (bytes: number, { read, write }: PriceList): number {
  return unitsOfWrite(bytes) * write / (unitsOfRead(bytes) / 2 * read)
}

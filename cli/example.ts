// The worked example in the README of @pwrdrvr/dynamodb-session-store 1.1.0, and what everybody pays for the same traffic.
import { billOf, billOfCapacity, usageOf, withRenewals, type Bill, type PriceList, type Provisioned, type Traffic, type Usage, type Visit } from './bill.js'
import type { System } from './systems.js'

export const EXAMPLE = {
  requestsAMinute: 100_000,
  hoursOfMonth: 720,
  sessions: 8_000_000,
  newAMonth: 1_000_000,
  updatesAMonth: 2_000_000,
  kilobytes: 2,
  /** Write units a second that it sets aside, for bursts. It needs 2.4. */
  setAside: 100
} as const

export type TheirInputs = Readonly<Record<'requestsAMinute' | 'sessions' | 'kilobytes' | 'setAside', number>>

/** The example as its authors reckon it: provisioned reads for the rate of requests, rounded as they round it, and the writes set aside. */
export function theirBill (prices: Provisioned, { requestsAMinute, sessions, kilobytes, setAside }: TheirInputs = EXAMPLE): Bill {
  const requestsASecond = Math.ceil(requestsAMinute / 60 / 100) * 100
  return billOfCapacity({ read: requestsASecond * 0.5, write: setAside, stored: sessions * kilobytes * 1000 }, prices)
}

/** Each part to one digit, as they round it before they add: 80 + 50 + 4. */
export function rounded ({ reads, writes, storage }: Bill): Bill {
  const parts = { reads: toOneDigit(reads), writes: toOneDigit(writes), storage: toOneDigit(storage) }
  return { ...parts, total: parts.reads + parts.writes + parts.storage }
}

function toOneDigit (amount: number): number {
  return Number(amount.toPrecision(1))
}

/** Requests of visitors that change nothing, in a month. */
const READS = EXAMPLE.requestsAMinute * 60 * EXAMPLE.hoursOfMonth - EXAMPLE.updatesAMonth - EXAMPLE.newAMonth

/** The example's traffic, in which two million updates a month are all that is written beside new sessions, renewals included. */
export function asGiven ({ visits, bytes }: System): Usage {
  return usageOf(visits, bytes, traffic({ read: READS }))
}

/** The same, with the renewals of visitors who send a request every so many seconds. */
export function atPace (pace: number, { visits, bytes, reissueTime = Infinity }: System): Usage {
  return usageOf(visits, bytes, traffic(withRenewals(READS, pace, reissueTime)))
}

function traffic (reads: Partial<Record<Visit, number>>): Traffic {
  return { visits: { ...reads, change: EXAMPLE.updatesAMonth, first: EXAMPLE.newAMonth }, sessions: EXAMPLE.sessions }
}

/** A row of a table: units in millions, and dollars. */
export function billCells (usage: Usage, onDemand: PriceList, provisioned: PriceList): string[] {
  const { reads, writes, storage, total } = billOf(usage, onDemand)
  return [millions(usage.read), millions(usage.write), ...[reads, writes, storage, total, billOf(usage, provisioned).total].map(dollars)]
}

function millions (units: number): string {
  return Math.round(units / 1e6).toLocaleString('en-US')
}

/** Whole dollars, and cents below ten. */
export function dollars (amount: number): string {
  return '$' + amount.toLocaleString('en-US', amount < 10 ? { minimumFractionDigits: 2, maximumFractionDigits: 2 } : { maximumFractionDigits: 0 })
}

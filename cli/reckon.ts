import { billOf, usageOf, withRenewals, type Bill, type OnDemand, type Provisioned, type Traffic, type Usage } from './bill.js'
import { NAME, SYSTEMS, type System } from './systems.js'

/** What a month brings. */
export interface Month {
  readonly requests: number
  /** Bytes of the session's data as JSON. */
  readonly size: number
  /** Sessions that are stored, on average: one for each user who is logged in somewhere. */
  readonly users: number
  readonly logins: number
  readonly changes: number
  /** Seconds between two requests of a visitor who is there; undefined leaves renewals out, where they are not each request's. */
  readonly pace: number | undefined
  /** Seconds, of this library; that of others is their own. */
  readonly reissueTime: number
}

export interface Row {
  readonly system: System
  readonly usage: Usage
  readonly onDemand: Bill
  readonly provisioned: Bill
}

/** Bytes of JSON of the sessions whose items the systems were measured with. */
const MEASURED_SIZE = 2048

/** This month by each system, this library's settings first. */
export function reckon (month: Month, onDemand: OnDemand, provisioned: Provisioned): Row[] {
  return SYSTEMS.map(system => {
    const sized = { ...system, bytes: sizedFor(month.size, system), ...isRenewing(system) && { reissueTime: month.reissueTime } }
    const usage = usageOf(sized.visits, sized.bytes, trafficOf(month, sized))
    return { system: sized, usage, onDemand: billOf(usage, onDemand), provisioned: billOf(usage, provisioned) }
  })
}

function isRenewing ({ name, reissueTime }: System): boolean {
  return name === NAME && reissueTime !== undefined
}

/** What is beside the data stays as it is; what is shorter than its JSON is so by the same share. */
export function sizedFor (size: number, { bytes }: System): number {
  return Math.round(bytes < MEASURED_SIZE ? size * bytes / MEASURED_SIZE : size + bytes - MEASURED_SIZE)
}

function trafficOf ({ requests, logins, changes, pace, users }: Month, { reissueTime = Infinity }: System): Traffic {
  const reads = requests - changes - logins
  const visits = pace === undefined ? { read: reads } : withRenewals(reads, pace, reissueTime)
  return { visits: { ...visits, change: changes, first: logins }, sessions: users }
}

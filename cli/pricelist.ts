import { readFileSync } from 'node:fs'
import { isObject } from '../lib/checks.js'
import type { OnDemand, Provisioned } from './bill.js'
import { objectIn } from './document.js'
import { CommandFault } from './fault.js'
import { CHECKED, ON_DEMAND, PROVISIONED } from './prices.js'

export interface PriceLists {
  readonly onDemand: OnDemand
  readonly provisioned: Provisioned
  /** The day on which they were last known to hold. */
  readonly checked: string
}

/** Prices change; a list of more than this many days is said to be old. */
export const OLD_DAYS = 365

/** A price list of a file, or the one that is known here. */
export function readPrices (path: string | undefined): PriceLists {
  if (path === undefined) return { onDemand: ON_DEMAND, provisioned: PROVISIONED, checked: CHECKED }
  const { region, date, storage, onDemand, provisioned } = parsed(path)
  if (typeof region !== 'string' || region === '') throw bad('has no "region"')
  if (typeof date !== 'string' || !/^\d{4}-\d\d-\d\d$/.test(date) || Number.isNaN(Date.parse(date))) throw bad('has no "date" such as 2026-01-31')
  const shared = { region, date, storage: price(storage, 'storage') }
  const [demanded, reserved] = [isObject(onDemand) ? onDemand : {}, isObject(provisioned) ? provisioned : {}]
  return {
    checked: date,
    onDemand: { ...shared, mode: 'on demand', read: price(demanded['read'], 'onDemand.read'), write: price(demanded['write'], 'onDemand.write') },
    provisioned: {
      ...shared, mode: 'provisioned', read: price(reserved['read'], 'provisioned.read'), write: price(reserved['write'], 'provisioned.write'), hoursOfMonth: PROVISIONED.hoursOfMonth
    }
  }
}

function parsed (path: string): Record<string, unknown> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw new CommandFault('FST_DYNAMODB_SESSION_PRICES', 'The file of --prices cannot be read. Give the path of a price list.', { cause })
  }
  const value = objectIn(text)
  if (value === undefined) throw bad('is no JSON object')
  return value
}

function price (value: unknown, name: string): number {
  if (typeof value === 'number' && value >= 0 && value < Infinity) return value
  throw bad(`has no number in "${name}"`)
}

function bad (fact: string): CommandFault {
  const example = JSON.stringify({
    region: ON_DEMAND.region,
    date: ON_DEMAND.date,
    storage: ON_DEMAND.storage,
    onDemand: { read: ON_DEMAND.read, write: ON_DEMAND.write },
    provisioned: { read: PROVISIONED.read, write: PROVISIONED.write }
  })
  return new CommandFault('FST_DYNAMODB_SESSION_PRICES', `The price list ${fact}. It looks like this, in dollars: ${example}`)
}

import type { OnDemand, Provisioned } from './bill.js'

/** When somebody last looked whether these prices hold. */
export const CHECKED = '2026-09-01'

/** AWS's list since 2024-11-01, when requests on demand became half as dear. It was the same when it was checked. */
const US_EAST_1 = { region: 'us-east-1', date: '2024-11-01', storage: 0.25 } as const

export const ON_DEMAND: OnDemand = { ...US_EAST_1, mode: 'on demand', read: 0.125, write: 0.625 }

/** As it was before that day, too. */
export const PROVISIONED: Provisioned = { ...US_EAST_1, mode: 'provisioned', read: 0.00013, write: 0.00065, hoursOfMonth: 720 }

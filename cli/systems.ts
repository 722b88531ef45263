import type { Call, Visits } from './bill.js'

/** A system that keeps sessions in DynamoDB, by what its visits ask of the table. */
export interface System {
  readonly name: string
  /** How it is set up, beyond its defaults; empty for these. */
  readonly setting: string
  /** Bytes of the item of a session of 2 KB of JSON in ten keys. */
  readonly bytes: number
  /** Seconds that lie between two renewals at least. 0: each request writes. Undefined: nothing is ever renewed. */
  readonly reissueTime: number | undefined
  readonly visits: Visits
}

const READ = ['read'] as const
const NONE = [] as const
const BURST = 20

/** A system whose every read is by itself. */
function visits (parts: Omit<Visits, 'burst'>): Visits {
  return { ...parts, burst: Array.from({ length: BURST }, () => parts.read).flat() }
}

/** This library, with `secrets`. Reads at once are one; a renewal is a write unless the companion carries it. */
function ours (renewal: readonly Call[]): Visits {
  return {
    anonymous: NONE,
    forged: NONE,
    read: READ,
    renewal,
    change: ['read', 'write'],
    first: ['write'],
    // The new record, and the old one marked as replaced.
    login: ['read', 'write', 'write'],
    logout: ['read', 'write'],
    burst: READ
  }
}

/** A store under @fastify/session or express-session as they are unless told otherwise: each request ends with a save. */
function saving (read: Call, login: readonly Call[]): Visits {
  const touching = [read, 'write'] as const
  return visits({
    anonymous: ['small write'],
    forged: ['small write'],
    read: touching,
    renewal: touching,
    change: touching,
    // Regenerating destroys a session that is not there.
    first: ['small write', ...login],
    login: [read, 'write', ...login],
    logout: touching
  })
}

/** The same, told not to save what did not change. */
function sparing (read: Call, untouched: readonly Call[], renewal: readonly Call[], login: readonly Call[]): Visits {
  return visits({ ...saving(read, login), anonymous: NONE, forged: NONE, read: untouched, renewal })
}

/** @fastify/session stores a regenerated session before it has data. */
const FASTIFY_LOGIN: readonly Call[] = ['small write', 'write']
const EXPRESS_LOGIN: readonly Call[] = ['write']

const STRONG = 'strong read'

function system (name: string, setting: string, bytes: number, reissueTime: number | undefined, visits: Visits): System {
  return { name, setting, bytes, reissueTime, visits }
}

export const NAME = 'fastify-dynamodb-session'

export const OURS = system(NAME, '', 2129, 720, ours(['read', 'write']))

/** Those that run here. */
export const MEASURED: readonly System[] = [
  OURS,
  system(NAME, "`format: 'native'`", 1918, 720, ours(['read', 'write'])),
  system(NAME, "`idleTracking: 'cookie'`", 2129, undefined, ours(READ)),
  system('@fastify/session, connect-dynamodb', '', 2243, 0, saving(STRONG, FASTIFY_LOGIN)),
  system('@fastify/session, dynamodb-session-store', '', 1973, 0, saving('read', FASTIFY_LOGIN)),
  system('express-session, connect-dynamodb', '', 2198, 0, saving(STRONG, EXPRESS_LOGIN)),
  system('express-session, dynamodb-session-store', '', 1947, 0, saving('read', EXPRESS_LOGIN)),
  system('@fastify/session, connect-dynamodb', '`rolling: false`', 2243, undefined, sparing(STRONG, [STRONG], [STRONG], FASTIFY_LOGIN)),
  system('@fastify/session, dynamodb-session-store', '`rolling: false`', 1973, undefined, sparing('read', READ, READ, FASTIFY_LOGIN)),
  system('express-session, connect-dynamodb', '`resave: false`', 2226, 0, sparing(STRONG, [STRONG, 'write'], [STRONG, 'write'], EXPRESS_LOGIN)),
  system('express-session, dynamodb-session-store', '`resave: false`', 1973, 3600, sparing('read', READ, ['read', 'write'], EXPRESS_LOGIN))
]

/** It has no new id and no delete: a log-in is a change, and a log-out leaves an empty session. */
const PYRAMID = visits({
  anonymous: NONE,
  forged: ['vain read', 'strong vain read'],
  read: READ,
  renewal: ['read', 'write'],
  change: ['read', 'write'],
  first: ['write'],
  login: ['read', 'write'],
  logout: ['read', 'write']
})

/** A load of dynamodb-session-web, on which dynamodb-session-flask stands: a query, and a touch. */
const LOAD: readonly Call[] = [STRONG, 'write']

const WEB = visits({
  anonymous: NONE,
  forged: ['strong vain read'],
  read: LOAD,
  renewal: LOAD,
  change: [...LOAD, 'write'],
  first: ['write'],
  login: [...LOAD, 'write', 'write'],
  logout: [...LOAD, 'write']
})

/** It saves at the end of each request, and keeps the old session at a log-in. */
const FLASK = visits({ ...WEB, read: [...LOAD, 'write'], renewal: [...LOAD, 'write'], login: [...LOAD, 'write'] })

/** Those whose calls were read in their sources, and made here by hand. */
export const READ_IN_SOURCES: readonly System[] = [
  system('pyramid-dynamodb-sessions', '', 2248, 120, PYRAMID),
  system('dynamodb-session-web', '', 2361, 0, WEB),
  system('dynamodb-session-flask', '', 2361, 0, FLASK)
]

export const SYSTEMS: readonly System[] = [...MEASURED, ...READ_IN_SOURCES]

/** The system and its setting as they stand in tables. */
export function labelOf ({ name, setting }: System): string {
  return setting === '' ? name : `${name}, ${setting}`
}

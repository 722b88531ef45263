import { resolveOptions } from '../lib/options.js'

/** Somebody who is measured. */
export interface Contestant {
  readonly id: string
  readonly label: string
  /** The program in applications/. */
  readonly program: string
  readonly options?: Readonly<Record<string, unknown>>
  readonly kind: 'floor' | 'hand' | 'ours' | 'peer' | 'tuned peer'
}

/** Whom the others are compared with. */
export const BASE = 'by-hand'

const CONNECT = { store: 'connect-dynamodb' }
const STORE = { store: 'dynamodb-session-store' }
const SPARING = { saveUninitialized: false }

const OTHERS: readonly Contestant[] = [
  { id: 'bare', label: 'Fastify without sessions', program: 'bare', kind: 'floor' },
  { id: BASE, label: 'GetItem by hand, default client', program: 'by-hand', kind: 'hand' },
  { id: 'fastify-connect', label: '@fastify/session, connect-dynamodb', program: 'fastify-session', options: CONNECT, kind: 'peer' },
  { id: 'fastify-store', label: '@fastify/session, dynamodb-session-store', program: 'fastify-session', options: STORE, kind: 'peer' },
  { id: 'express-connect', label: 'express-session, connect-dynamodb', program: 'express-session', options: CONNECT, kind: 'peer' },
  { id: 'express-store', label: 'express-session, dynamodb-session-store', program: 'express-session', options: STORE, kind: 'peer' },
  { id: 'fastify-connect-tuned', label: '@fastify/session, connect-dynamodb, `rolling: false`', program: 'fastify-session', options: { ...CONNECT, ...SPARING, rolling: false }, kind: 'tuned peer' },
  { id: 'fastify-store-tuned', label: '@fastify/session, dynamodb-session-store, `rolling: false`', program: 'fastify-session', options: { ...STORE, ...SPARING, rolling: false }, kind: 'tuned peer' },
  { id: 'express-connect-tuned', label: 'express-session, connect-dynamodb, `resave: false`', program: 'express-session', options: { ...CONNECT, ...SPARING, resave: false }, kind: 'tuned peer' },
  { id: 'express-store-tuned', label: 'express-session, dynamodb-session-store, `resave: false`', program: 'express-session', options: { ...STORE, ...SPARING, resave: false }, kind: 'tuned peer' }
]

const NAME = 'fastify-dynamodb-session'

/** Whether an option is one that this version has. */
export type Knows = (options: Readonly<Record<string, unknown>>) => boolean

export function knows (options: Readonly<Record<string, unknown>>): boolean {
  try {
    resolveOptions({ table: 'sessions', ...options })
    return true
  } catch {
    return false
  }
}

const CACHE = { cache: { ttl: 1, max: 10_000 } }

/** All of them, and what is left out because this version does not have it. */
export function contestants (knowsOption: Knows = knows): { all: Contestant[], cached: Contestant | undefined, missing: string[] } {
  const batches = knowsOption({ batchReads: true })
  const caches = knowsOption(CACHE)
  const ours: Contestant[] = [
    { id: 'ours', label: batches ? `${NAME}, \`batchReads: false\`` : NAME, program: 'ours', ...batches && { options: { batchReads: false } }, kind: 'ours' },
    ...batches ? [{ id: 'ours-batched', label: NAME, program: 'ours', kind: 'ours' } as const] : []
  ]
  const [floor, hand, ...peers] = OTHERS
  return {
    all: [floor, hand, ...ours, ...peers].filter(contestant => contestant !== undefined),
    cached: caches ? { id: 'ours-cached', label: `${NAME}, a cache of one second`, program: 'ours', options: CACHE, kind: 'ours' } : undefined,
    missing: [
      ...batches ? [] : ['batched reads: this version has no option `batchReads`, and reads every session by itself'],
      ...caches ? [] : ['cached reads: this version has no option `cache`']
    ]
  }
}

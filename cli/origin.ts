import { connectDynamodb, dynamodbSessionStore, dynamodbSessionWeb } from '../import/index.js'
import type { SessionReader } from '../types/import.js'
import type { Given } from './arguments.js'
import { CommandFault, misuse } from './fault.js'

/** Which of ours is to read the copies. */
export type Target = 'store' | 'plugin'

/** The old system: how it keeps its rows, and for whom they can be copied. */
export interface Origin {
  readonly reader: SessionReader
  readonly target: Target
  readonly hashKey: string
  /** Text before the ids in its keys. */
  readonly prefix: string
}

const HOSTED = ['connect-dynamodb', 'dynamodb-session-store'] as const
const WEB = ['dynamodb-session-web', 'dynamodb-session-flask'] as const
const PYRAMID = 'pyramid-dynamodb-sessions'

export const SYSTEM_NAMES = [...HOSTED, ...WEB, PYRAMID] as const
type SystemName = typeof SYSTEM_NAMES[number]

/** Readers of these ask for one, to check tokens, and none comes by here. */
const NO_TOKENS = 'rows are read, and no tokens are checked'

/** What the arguments say of the old system. What its keys do not allow is refused, with the way that there is. */
export function originOf (given: Given): Origin {
  given.required('from')
  const name = given.oneOf('from', SYSTEM_NAMES) as SystemName
  const target = given.oneOf('to', ['store', 'plugin'])
  if (name === PYRAMID) {
    throw notCopyable('Its browsers send "<id>/<version>", which is no token of ours, though the key is the hash of the id as ours is', 'importFrom: [pyramidSession({ table })]')
  }
  const common = { table: given.text('from-table'), hashKey: given.text('from-hash-key') }
  if (isIn(name, WEB)) {
    if (target === 'store') throw misuse('Option "--to" must be plugin for this system: no host of a store takes its tokens.')
    if (prefixOf(given) !== undefined) throw misuse(`Options "--from-prefix" and "--no-from-prefix" are for ${HOSTED.join(' and ')}: keys of this system have no prefix.`)
    const idBytes = given.number('id-bytes', { least: 16, most: 1024, whole: true })
    return { ...placeOf(dynamodbSessionWeb({ ...common, idBytes })), target: 'plugin' }
  }
  const make = name === 'connect-dynamodb' ? connectDynamodb : dynamodbSessionStore
  if (target === 'plugin') throw notCopyable('Its tokens are signed otherwise than ours', `importFrom: [${make.name}({ table, secret })]`)
  if (given.text('id-bytes') !== undefined) throw misuse(`Option "--id-bytes" is for ${WEB.join(' and ')}.`)
  return { ...placeOf(make({ ...common, prefix: prefixOf(given), secret: NO_TOKENS })), target: 'store' }
}

function prefixOf (given: Given): string | undefined {
  const prefix = given.text('from-prefix')
  if (!given.has('no-from-prefix')) return prefix
  if (prefix !== undefined) throw misuse('Options "--from-prefix" and "--no-from-prefix" exclude each other: give one.')
  return ''
}

function placeOf (reader: SessionReader): Omit<Origin, 'target'> {
  const [[hashKey, { S: prefix = '' }]] = Object.entries(reader.keyOf('')) as [[string, { S?: string }]]
  return { reader, hashKey, prefix }
}

function isIn<Name extends string> (name: string, names: readonly Name[]): name is Name {
  return names.includes(name as Name)
}

function notCopyable (fact: string, remedy: string): CommandFault {
  return new CommandFault('FST_DYNAMODB_SESSION_NOT_COPYABLE', `These sessions cannot be copied for the plugin. ${fact}. Register the plugin with ${remedy}: each session moves when its visitor comes.`)
}

import type { ContinuousBackupsDescription, TableDescription, TimeToLiveDescription } from '@aws-sdk/client-dynamodb'
import type { Layout } from '../lib/item.js'
import { LARGEST_ITEM } from '../lib/size.js'
import { tableName } from '../lib/names.js'
import { unitsOfRead, unitsOfWrite } from './bill.js'
import { bytesText, count, quote } from './output.js'
import type { Sample } from './sample.js'

/** `unknown`: it could not be looked at. */
export type State = 'ok' | 'warning' | 'fault' | 'unknown'

export interface Verdict {
  readonly check: string
  readonly state: State
  readonly fact: string
  readonly remedy?: string | undefined
}

/** What was found, or why it was not: the engine has no such thing, or it was refused. */
export type Look<T> = { readonly found: T } | { readonly found?: undefined, readonly refusal?: string }

type Judge<T> = (found: T) => Omit<Verdict, 'check'>

/** Judges what was found. What could not be looked at is no fault, and not passed over either. */
export function judge<T> (check: string, look: Look<T>, without: Omit<Verdict, 'check'>, judgeFound: Judge<T>): Verdict {
  if (look.found !== undefined) return { check, ...judgeFound(look.found) }
  if ('refusal' in look && look.refusal !== undefined) return { check, state: 'unknown', fact: look.refusal, remedy: 'Run the command with what "iam-policy --for operator" prints.' }
  return { check, ...without }
}

export function keyVerdict ({ KeySchema = [], AttributeDefinitions = [] }: TableDescription, { partitionKey }: Layout): Verdict {
  const check = 'key schema'
  const wanted = `partition key ${quote(partitionKey.name)} of type ${partitionKey.type}`
  const hash = KeySchema.find(({ KeyType }) => KeyType === 'HASH')?.AttributeName ?? ''
  const range = KeySchema.find(({ KeyType }) => KeyType === 'RANGE')?.AttributeName
  const type = AttributeDefinitions.find(({ AttributeName }) => AttributeName === hash)?.AttributeType ?? 'S'
  const remedy = 'Keys cannot be changed: make another table with "create-table"'
  if (range !== undefined) return { check, state: 'fault', fact: `The table has a sort key, ${quote(range)}, so no session can be read or written.`, remedy: `${remedy}.` }
  if (hash === partitionKey.name && type === partitionKey.type) return { check, state: 'ok', fact: `The table has the ${wanted}, and no sort key.` }
  return {
    check,
    state: 'fault',
    fact: `The table has the partition key ${quote(hash)} of type ${type}, and the plugin was told of the ${wanted}.`,
    remedy: `${remedy}, or set the option "partitionKey" to { name: ${quote(hash)}, type: "${type}" }.`
  }
}

export function statusVerdict ({ TableStatus = 'ACTIVE' }: TableDescription): Verdict {
  const check = 'status'
  const isReady = TableStatus === 'ACTIVE' || TableStatus === 'UPDATING'
  if (isReady) return { check, state: 'ok', fact: `The table is ${TableStatus.toLowerCase()}.` }
  return { check, state: 'fault', fact: `The table is ${TableStatus.toLowerCase()}.`, remedy: 'Wait until it is active; where it is not soon, look at it in the AWS console.' }
}

export function ttlVerdict (look: Look<TimeToLiveDescription>, { table, ttlAttribute }: Layout): Verdict {
  const enable = `aws dynamodb update-time-to-live --table-name ${tableName(table)} --time-to-live-specification ${argument(`Enabled=true,AttributeName=${ttlAttribute}`)}`
  const none = { state: 'warning', fact: 'This engine has no TTL, so expired sessions stay in the table.', remedy: 'Run "purge" once a day.' } as const
  return judge('TTL', look, none, ({ TimeToLiveStatus = 'DISABLED', AttributeName }) => {
    const isOn = TimeToLiveStatus === 'ENABLED' || TimeToLiveStatus === 'ENABLING'
    if (!isOn) return { state: 'fault', fact: `TTL is ${TimeToLiveStatus.toLowerCase()}, so expired sessions stay in the table.`, remedy: `${enable} (or run "purge" once a day, where the engine has no TTL)` }
    if (AttributeName === ttlAttribute) return { state: 'ok', fact: `TTL is ${TimeToLiveStatus.toLowerCase()} on ${quote(ttlAttribute)}.` }
    return {
      state: 'fault',
      fact: `TTL is ${TimeToLiveStatus.toLowerCase()} on ${quote(AttributeName ?? '')}, and the plugin writes the expiry to ${quote(ttlAttribute)}.`,
      remedy: `Set the option "ttlAttribute", or disable TTL on that attribute, wait up to an hour, and: ${enable}`
    }
  })
}

/** As a shell reads it: an attribute may have any name. */
function argument (text: string): string {
  return /^[\w=,.:/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

/** DynamoDB reads a TTL attribute as seconds, whatever was meant. */
export function valuesVerdict ({ sessions, expiry, swept }: Sample, layout: Layout, sweptBy = ''): Verdict {
  const check = 'TTL values'
  const name = quote(layout.ttlAttribute)
  const of = (amount: number): string => `${amount} of ${count(sessions, 'sampled session')}`
  if (sessions === 0) return { check, state: 'unknown', fact: 'No session was sampled, so there are no values to look at.', remedy: 'Run it again when there are sessions, or with a larger --sample.' }
  if (swept > 0) {
    return {
      check, state: 'fault', fact: `DynamoDB deletes sessions that are alive: in ${of(swept)}, ${quote(sweptBy)}, on which TTL is enabled, is in the past.`, remedy: 'Disable TTL on that attribute at once.'
    }
  }
  if (expiry.milliseconds > 0) {
    return {
      check,
      state: 'fault',
      fact: `${of(expiry.milliseconds)} have milliseconds in ${name}. DynamoDB reads seconds, so it will delete them in tens of thousands of years.`,
      remedy: 'Find out what writes them: the plugin writes seconds. Neither TTL nor "purge" will ever take those items; delete them.'
    }
  }
  const unswept = expiry.missing + expiry.mistyped
  if (unswept > 0) return { check, state: 'fault', fact: `${of(unswept)} have no number in ${name}, so TTL never deletes them.`, remedy: 'Find out what else writes to the table, and delete those items: they are no sessions that anybody can use.' }
  if (expiry.overdue > 0) return { check, state: 'warning', fact: `${of(expiry.overdue)} expired more than a week ago and are still there.`, remedy: 'TTL does not sweep. Enable it on the right attribute, or run "purge".' }
  return { check, state: 'ok', fact: `${count(sessions, 'sampled session')} have seconds in ${name}.` }
}

export function billingVerdict ({ BillingModeSummary, ProvisionedThroughput }: TableDescription): Verdict {
  const check = 'billing mode'
  if (BillingModeSummary?.BillingMode === 'PAY_PER_REQUEST') return { check, state: 'ok', fact: 'On demand: the table takes what comes.' }
  const { ReadCapacityUnits: read = 0, WriteCapacityUnits: write = 0 } = ProvisionedThroughput ?? {}
  return {
    check,
    state: 'warning',
    fact: `Provisioned: ${count(read, 'read unit')} and ${count(write, 'write unit')} a second. Whether they scale cannot be seen from here; beyond them, requests are answered with 503.`,
    remedy: 'Have them scale as "template --provisioned" does, and set an alarm on ThrottledRequests; or choose on demand.'
  }
}

export function protectionVerdict ({ DeletionProtectionEnabled }: TableDescription, { table }: Layout): Verdict {
  const check = 'deletion protection'
  if (DeletionProtectionEnabled === true) return { check, state: 'ok', fact: 'The table cannot be deleted by mistake.' }
  return {
    check, state: 'warning', fact: 'One call deletes the table, and with it every session.', remedy: `aws dynamodb update-table --table-name ${tableName(table)} --deletion-protection-enabled`
  }
}

export function recoveryVerdict (look: Look<ContinuousBackupsDescription>, { table }: Layout): Verdict {
  const none = { state: 'unknown', fact: 'This engine has no backups.', remedy: 'Nothing to do for trials and tests.' } as const
  return judge('point-in-time recovery', look, none, ({ PointInTimeRecoveryDescription: recovery }) => {
    if (recovery?.PointInTimeRecoveryStatus === 'ENABLED') return { state: 'ok', fact: 'It is enabled. A table that is brought back holds sessions that have been logged out since: see docs/operations.md.' }
    return {
      state: 'warning',
      fact: 'It is off: when the table is damaged or lost, everybody has to log in again.',
      remedy: `Where that is too much: aws dynamodb update-continuous-backups --table-name ${tableName(table)} --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true`
    }
  })
}

export function encryptionVerdict ({ SSEDescription }: TableDescription): Verdict {
  const check = 'encryption'
  if (SSEDescription?.InaccessibleEncryptionDateTime !== undefined) {
    return { check, state: 'fault', fact: 'DynamoDB cannot use the table\'s KMS key, and a week after it began, it archives the table.', remedy: 'Enable the key, and let DynamoDB use it again.' }
  }
  if (SSEDescription?.Status === undefined || SSEDescription.Status === 'DISABLED') return { check, state: 'ok', fact: 'At rest, with a key that AWS owns. What protects from readers of the table is the option "encryptionKeys".' }
  return { check, state: 'ok', fact: `At rest, with a KMS key: ${SSEDescription.Status.toLowerCase()}. Each key has a price for its requests, too.` }
}

/** From here on, an item is close to what DynamoDB refuses. */
const NEAR_LIMIT = LARGEST_ITEM * 0.8
/** A read of more than this takes more than one unit, and each write many. */
const LARGE = 16_384

export function sizeVerdict ({ items, sessions, others, ghosts, sizes }: Sample): Verdict {
  const check = 'item sizes'
  if (sessions === 0) return { check, state: items === 0 ? 'ok' : 'warning', ...nothingSampled(items) }
  if (ghosts > 0) return { check, state: 'fault', fact: `${ghosts} of ${count(sessions, 'sampled session')} lack what a session needs and count as absent.`, remedy: 'Find out what else writes to the table under the plugin\'s keys.' }
  const { median, largest } = sizes
  const fact = `${count(sessions, 'sampled session')}${others === 0 ? '' : ` (and ${count(others, 'item')} of others)`}: the median is ${bytesText(median)}, the largest ${bytesText(largest)}, which takes ${unitsOfRead(largest) / 2} read units and ${count(unitsOfWrite(largest), 'write unit')}.`
  if (largest >= NEAR_LIMIT) return { check, state: 'fault', fact, remedy: 'DynamoDB refuses items of more than 400 KB. Keep the bulk elsewhere and its key in the session; "show" tells which keys are large.' }
  if (largest >= LARGE) return { check, state: 'warning', fact, remedy: 'Every renewal and every change pays for the whole item. Keep bulk elsewhere, or set "compress".' }
  return { check, state: 'ok', fact }
}

function nothingSampled (items: number): Pick<Verdict, 'fact' | 'remedy'> {
  if (items === 0) return { fact: 'The table is empty, or nothing was sampled.' }
  return { fact: `None of ${count(items, 'sampled item')} is a session of this key prefix.`, remedy: 'Give the application\'s "keyPrefix" with --prefix, or a larger --sample.' }
}

import type { TableDescription } from '@aws-sdk/client-dynamodb'
import { errors } from '../lib/errors.js'
import type { Layout } from '../lib/item.js'
import { tableName } from '../lib/names.js'
import { TABLE_FLAGS, OUTPUT_FLAGS, type Command, type Context } from './command.js'
import { FAILED, FINE } from './fault.js'
import type { Colour, Output } from './output.js'
import { Remote } from './remote.js'
import { takeRound } from './round.js'
import { takeSample } from './sample.js'
import {
  billingVerdict, encryptionVerdict, keyVerdict, protectionVerdict, recoveryVerdict, sizeVerdict, statusVerdict, ttlVerdict, valuesVerdict,
  type Look, type State, type Verdict
} from './verdicts.js'

const SAMPLE = 100

export const doctor: Command = {
  name: 'doctor',
  summary: 'Looks at a table and its sessions, and says what is wrong and what to do.',
  about: [
    'It looks at the key schema, TTL, the TTL values and sizes of some items, billing mode, deletion protection, point-in-time',
    'recovery and encryption, and lets one session live from its creation to its end. A fault makes the exit code 1.',
    'It takes up to 128 read units for the sample, and 9 calls, most of one unit, for the session, which --no-round leaves out.'
  ],
  positionals: [],
  flags: {
    sample: { type: 'string', value: 'items', help: 'Items to look at, 0 for none.', otherwise: String(SAMPLE) },
    'no-round': { type: 'boolean', help: 'Write nothing: make no session.' },
    strict: { type: 'boolean', help: 'A warning, or what could not be looked at, makes the exit code 1 too.' },
    ...TABLE_FLAGS,
    ...OUTPUT_FLAGS
  },
  run: async context => await Remote.use(context, async remote => {
    const { given } = context
    const limit = given.number('sample', { most: 1000, whole: true }) ?? SAMPLE
    const verdicts = await examine(remote, { limit, hasRound: !given.has('no-round'), now: context.io.now() / 1000 })
    tell(context, verdicts)
    return isFine(verdicts, given.has('strict')) ? FINE : FAILED
  })
}

interface Wish { readonly limit: number, readonly hasRound: boolean, readonly now: number }

async function examine (remote: Remote, wish: Wish): Promise<Verdict[]> {
  const { layout } = remote.settings
  const table = await look(async () => await remote.table() ?? undefined)
  if (table.found === undefined && table.refusal === undefined) return [missing(layout)]
  const described = table.found === undefined ? [refused(String(table.refusal))] : describedBy(table.found, layout)
  // Of one that is being made or deleted, or whose key is gone, AWS denies that it is there.
  if (described.some(({ check, state }) => check === 'status' && state === 'fault')) return described
  const values = await valuesOf(remote, wish)
  const recovery = recoveryVerdict(await look(async () => await remote.backups()), layout)
  // With another key, every call of it would be refused, for one reason.
  const isUsable = described.every(({ check, state }) => check !== 'key schema' || state === 'ok')
  const round = wish.hasRound && isUsable ? [await takeRound(remote)] : []
  return [...described, ...values, recovery, ...round]
}

function describedBy (table: TableDescription, layout: Layout): Verdict[] {
  return [statusVerdict(table), keyVerdict(table, layout), billingVerdict(table), protectionVerdict(table, layout), encryptionVerdict(table)]
}

async function valuesOf (remote: Remote, { limit, now }: Wish): Promise<Verdict[]> {
  const { layout } = remote.settings
  const ttl = await look(async () => await remote.timeToLive())
  const isOn = ['ENABLED', 'ENABLING'].includes(ttl.found?.TimeToLiveStatus ?? '')
  const sweptBy = isOn ? ttl.found?.AttributeName : undefined
  const verdict = ttlVerdict(ttl, layout)
  if (limit === 0) return [verdict]
  const page = await look(async () => await remote.sample(limit))
  if (page.found === undefined) return [verdict, { check: 'TTL values', state: 'unknown', fact: String(page.refusal), remedy: 'Permit dynamodb:Scan to whoever operates the table, or give --sample 0.' }]
  const sample = takeSample(page.found.items, layout, sweptBy, now)
  return [verdict, valuesVerdict(sample, layout, sweptBy), sizeVerdict(sample)]
}

/** A permission that is missing leaves one question open, and the others are asked all the same; credentials that are wrong answer none. */
async function look<T> (ask: () => Promise<T | undefined>): Promise<Look<T>> {
  try {
    const found = await ask()
    return found === undefined ? {} : { found }
  } catch (error) {
    if (error instanceof errors.PermissionMissing && isOfOneCall(error)) return { refusal: error.message }
    throw error
  }
}

function isOfOneCall ({ cause }: Error): boolean {
  return cause instanceof Error && cause.name === 'AccessDeniedException'
}

function missing ({ table }: Layout): Verdict {
  return { check: 'table', state: 'fault', fact: `There is no table "${tableName(table)}" in this region and account.`, remedy: 'Give its name, region and profile, or make it with "create-table".' }
}

function refused (fact: string): Verdict {
  return { check: 'table', state: 'unknown', fact, remedy: 'Run the command with what "iam-policy --for operator" prints.' }
}

/** Where nothing could be looked at, nothing is known to be fine. */
function isFine (verdicts: readonly Verdict[], isStrict: boolean): boolean {
  if (verdicts.every(({ state }) => state === 'unknown')) return false
  return verdicts.every(({ state }) => isStrict ? state === 'ok' : state !== 'fault')
}

const SIGNS: Readonly<Record<State, readonly [string, Colour]>> = {
  ok: ['ok', 'green'], warning: ['warning', 'yellow'], fault: ['FAULT', 'red'], unknown: ['unknown', 'yellow']
}

function tell ({ given, output }: Context, verdicts: readonly Verdict[]): void {
  const [faults, open] = (['fault', 'unknown'] as const).map(wanted => verdicts.filter(({ state }) => state === wanted).length) as [number, number]
  if (given.has('json')) {
    output.printJson({ faults, checks: verdicts })
    return
  }
  for (const verdict of verdicts) output.print(linesOf(verdict, output))
  const found = faults === 0 ? 'No fault was found' : `${faults === 1 ? 'One fault was' : `${faults} faults were`} found`
  output.print(open === 0 ? `${found}.` : `${found}, ${faults === 0 ? 'but' : 'and'} ${open} of ${verdicts.length} questions ${open === 1 ? 'is' : 'are'} open.`)
}

function linesOf ({ check, state, fact, remedy }: Verdict, output: Output): string {
  const [sign, colour] = SIGNS[state]
  const first = `${output.colour(colour, sign.padEnd(8))} ${output.colour('bold', check)}: ${fact}`
  return remedy === undefined || state === 'ok' ? first : `${first}\n${' '.repeat(9)}${remedy}`
}

import type { CreateTableCommandInput } from '@aws-sdk/client-dynamodb'
import { tableName } from '../lib/names.js'
import type { Given } from './arguments.js'
import { OUTPUT_FLAGS, TABLE_FLAGS, type Command, type Context } from './command.js'
import { CommandFault, FINE, misuse } from './fault.js'
import { Remote } from './remote.js'
import { keyVerdict } from './verdicts.js'

/** What a table is made with. */
const PARTS = ['read-capacity', 'write-capacity', 'deletion-protection', 'point-in-time-recovery'] as const

export const createTable: Command = {
  name: 'create-table',
  summary: 'Creates the table, waits until it is active, and enables TTL.',
  about: [
    'On demand unless capacity is given. A table that is there already is left as it is, save that TTL is enabled where it is off;',
    'then "doctor" says what else it lacks. For production, prefer "template", so that the table stands where the rest does.'
  ],
  positionals: [],
  flags: {
    'read-capacity': { type: 'string', value: 'units', help: 'Provisioned read units a second; goes with --write-capacity.' },
    'write-capacity': { type: 'string', value: 'units', help: 'Provisioned write units a second; goes with --read-capacity.' },
    'deletion-protection': { type: 'boolean', help: 'Let no single call delete the table.' },
    'point-in-time-recovery': { type: 'boolean', help: 'Keep what is needed to bring the table back. It has a price.' },
    ...TABLE_FLAGS,
    ...OUTPUT_FLAGS
  },
  run: async context => {
    const parts = partsOf(context.given)
    return await Remote.use(context, async remote => {
      const { given, output } = context
      const { layout } = remote.settings
      const found = await remote.table()
      const wrong = found === null ? undefined : keyVerdict(found, layout)
      if (wrong?.state === 'fault') throw new CommandFault('FST_DYNAMODB_SESSION_TABLE_MISMATCH', `${wrong.fact} ${wrong.remedy}`)
      await remote.sessions({ createTable: parts }).createTable()
      const isNew = found === null
      if (!isNew && PARTS.some(name => given.has(name) || given.text(name) !== undefined)) output.warn(`Of a table that is there already, nothing is changed by ${PARTS.map(name => `--${name}`).join(', ')}.`)
      const recovery = isNew && given.has('point-in-time-recovery') ? await enableRecovery(remote, context) : undefined
      if (given.has('json')) output.printJson({ table: tableName(layout.table), created: isNew, ...recovery !== undefined && { pointInTimeRecovery: recovery } })
      else output.print(textOf(tableName(layout.table), isNew))
      return FINE
    })
  }
}

async function enableRecovery (remote: Remote, { output }: Context): Promise<boolean> {
  const isOn = await remote.enableRecovery() === true
  if (!isOn) output.warn('This engine has no backups, so point-in-time recovery is not enabled.')
  return isOn
}

function textOf (table: string, isNew: boolean): string {
  if (isNew) return `The table "${table}" is created and active.`
  return `The table "${table}" is there already and is left as it is. "doctor" says whether it is as it should be.`
}

function partsOf (given: Given): Partial<CreateTableCommandInput> {
  const read = given.number('read-capacity', { least: 1, most: 40_000, whole: true })
  const write = given.number('write-capacity', { least: 1, most: 40_000, whole: true })
  if ((read === undefined) !== (write === undefined)) throw misuse('Options "--read-capacity" and "--write-capacity" go together.')
  return {
    ...read !== undefined && { ProvisionedThroughput: { ReadCapacityUnits: read, WriteCapacityUnits: write } },
    ...given.has('deletion-protection') && { DeletionProtectionEnabled: true }
  }
}

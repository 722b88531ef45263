// Runs the commands that the documents show, those of the package's own command line, in this process and on an engine of their own.
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { COMMANDS } from '../../cli/run.js'
import { SessionManager } from '../../index.js'
import { keyOf, READERS, type Block } from './blocks.js'
import { command } from './cli.js'
import { root } from './documents.js'
import { clientConfig, createTable, startDynalite, type Engine } from './engines.js'
import { commandsIn, complaintOf, OWN, type Words } from './shell.js'

/** The readers by the names that the command line gives to their systems. */
const SYSTEMS: Readonly<Record<string, keyof typeof READERS>> = {
  'connect-dynamodb': 'connectDynamodb',
  'dynamodb-session-store': 'dynamodbSessionStore',
  'dynamodb-session-web': 'dynamodbSessionWeb',
  'dynamodb-session-flask': 'dynamodbSessionWeb',
  'pyramid-dynamodb-sessions': 'pyramidSession'
}

/** Runs what can be run of the shell blocks of a document, and checks the rest; each command must end well. */
export async function runCommands (t: Test, blocks: readonly Block[]): Promise<void> {
  const folder = join(root, 'test-output', 'commands')
  mkdirSync(folder, { recursive: true })
  const place = await Place.open()
  t.teardown(async () => {
    await place.close()
    rmSync(folder, { recursive: true, force: true })
  })
  for (const { document, line, code } of blocks) {
    for (const words of commandsIn(code)) {
      const text = `${document}:${line} ${words.join(' ')}`
      if (!OWN.every((word, index) => words[index] === word)) t.equal(complaintOf(words), undefined, text)
      else await place.run(t, words.slice(OWN.length), text, folder)
    }
  }
}

/** An engine with the tables that commands name, each with a session in it. */
class Place {
  readonly #engine: Engine
  /** The loggable id of a session, by the table that it is in. */
  readonly #sessions = new Map<string, string>()

  private constructor (engine: Engine) {
    this.#engine = engine
  }

  static async open (): Promise<Place> {
    return new Place(await startDynalite())
  }

  async close (): Promise<void> {
    await this.#engine.close()
  }

  async run (t: Test, [name = '', ...args]: Words, text: string, folder: string): Promise<void> {
    const known = COMMANDS.find(command => command.name === name)
    if (known === undefined) {
      t.match(name, /^(|help|--help|--version)$/, text)
      return
    }
    const valueOf = (flag: string): string | undefined => args[args.indexOf(flag) + 1 || Infinity]
    const oldTable = valueOf('--from-table')
    const table = valueOf('--table')
    if (oldTable !== undefined) await this.#makeOldTable(oldTable, valueOf('--from') ?? '')
    if (table !== undefined && name !== 'create-table' && 'endpoint' in known.flags) await this.#makeTable(table)
    const replaced = new Map([
      [valueOf('--state'), join(folder, 'state.json')],
      [valueOf('--endpoint'), this.#engine.endpoint],
      ['<loggable id>', this.#sessions.get(table ?? '') ?? '']
    ])
    const given = args.map(word => replaced.get(word) ?? word)
    const here = 'endpoint' in known.flags ? [...args.includes('--endpoint') ? [] : ['--endpoint', this.#engine.endpoint], '--region', 'eu-central-1'] : []
    if (name === 'doctor') return await this.#examine(t, [...given, ...here], text)
    const { code, err } = await command([name, ...given, ...here])
    t.same([code, code === 0 ? '' : err], [0, ''], text)
  }

  /** This engine has no TTL, and else it finds nothing wrong. */
  async #examine (t: Test, args: Words, text: string): Promise<void> {
    const { json } = await command(['doctor', ...args.filter(word => word !== '--json'), '--json'])
    const verdicts = json.checks as Array<{ check: string, state: string }>
    t.same(verdicts.filter(({ state }) => state === 'fault').map(({ check }) => check), ['TTL'], text)
  }

  async #makeTable (table: string): Promise<void> {
    if (this.#sessions.has(table)) return
    await createTable(this.#engine, { TableName: table }).catch(inUse)
    const sessions = new SessionManager({ table, client: clientConfig(this.#engine.endpoint) })
    const { loggableId } = await sessions.create({ userId: 'u-42' } as object)
    await sessions.close()
    this.#sessions.set(table, String(loggableId))
  }

  async #makeOldTable (table: string, system: string): Promise<void> {
    const reader = SYSTEMS[system]
    if (reader !== undefined) await createTable(this.#engine, { TableName: table, ...keyOf(READERS[reader]) }).catch(inUse)
  }
}

function inUse (error: Error): void {
  if (error.name !== 'ResourceInUseException') throw error
}

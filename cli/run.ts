import { createRequire } from 'node:module'
import { errors, isOurs } from '../lib/errors.js'
import { nearest, readArguments } from './arguments.js'
import type { Command, Io } from './command.js'
import { cost } from './cost.js'
import { createTable } from './create.js'
import { doctor } from './doctor.js'
import { CommandFault, FAILED, FINE, MISUSED, misuse } from './fault.js'
import { helpOf, overview } from './help.js'
import { iamPolicy } from './iam.js'
import { importCommand } from './import.js'
import { Output } from './output.js'
import { purge } from './purge.js'
import { reasonOf } from './reason.js'
import { revoke } from './revoke.js'
import { show } from './show.js'
import { template } from './template.js'

export const COMMANDS: readonly Command[] = [createTable, doctor, iamPolicy, template, show, revoke, purge, importCommand, cost]

const HELP = ['help', '--help', '-h']

/** Carries out what the arguments say; resolves to the exit code, and never rejects. */
export async function run (argv: readonly string[], io: Io): Promise<number> {
  const isJson = argv.includes('--json')
  // https://no-color.org: whatever it says, unless it says nothing.
  const output = new Output(io.out, io.err, !argv.includes('--no-color') && (io.env['NO_COLOR'] ?? '') === '')
  try {
    return await dispatch(argv, io, output)
  } catch (error) {
    const { code, message, exitCode } = told(error)
    if (isJson) output.note(JSON.stringify({ error: { code, message } }))
    else output.fail(message)
    return exitCode
  }
}

async function dispatch ([name, ...args]: readonly string[], io: Io, output: Output): Promise<number> {
  if (name === undefined) {
    output.note(overview(COMMANDS))
    return MISUSED
  }
  if (name === '--version') return say(output, version())
  if (HELP.includes(name)) return say(output, args[0] === undefined ? overview(COMMANDS) : helpOf(commandNamed(args[0])))
  const command = commandNamed(name)
  if (args.includes('-h')) return say(output, helpOf(command))
  const given = readArguments(args, command.flags, command.positionals)
  if (given.has('help')) return say(output, helpOf(command))
  return await command.run({ given, output, io })
}

function say (output: Output, text: string): number {
  output.print(text)
  return FINE
}

function commandNamed (name: string): Command {
  const command = COMMANDS.find(command => command.name === name)
  if (command === undefined) throw misuse(`Unknown command.${nearest(name, COMMANDS.map(({ name }) => name))}`)
  return command
}

function version (): string {
  const { version } = createRequire(import.meta.url)('fastify-dynamodb-session/package.json') as { version: string }
  return version
}

/** What the options of the plugin, and of readers, are called on the command line. */
const FLAG_NAMES: Readonly<Record<string, string>> = {
  keyPrefix: '--prefix', partitionKey: '--partition-key', ttlAttribute: '--ttl-attribute', table: '--table', timeout: '--timeout'
}
const READER_FLAG_NAMES: Readonly<Record<string, string>> = { table: '--from-table', prefix: '--from-prefix', hashKey: '--from-hash-key' }

function told (error: unknown): { readonly code: string, readonly message: string, readonly exitCode: number } {
  if (error instanceof CommandFault) return { code: error.code, message: error.message, exitCode: error.exitCode }
  const message = reasonOf(error)
  if (error instanceof errors.BadOption) return { code: error.code, message: message.replace(/"(\w+\.)?(\w+)"/, (_text, reader: string | undefined, name: string) => `"${(reader === undefined ? FLAG_NAMES : READER_FLAG_NAMES)[name] ?? name}"`), exitCode: MISUSED }
  if (isOurs(error)) return { code: (error as Error & { code: string }).code, message, exitCode: FAILED }
  return { code: 'FST_DYNAMODB_SESSION_UNEXPECTED', message: `This should not happen. ${message}`, exitCode: FAILED }
}

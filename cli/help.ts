import { OUTPUT_FLAGS, TABLE_FLAGS, type Command } from './command.js'
import type { Flag, Flags } from './arguments.js'
import { columns } from './output.js'

const PROGRAM = 'fastify-dynamodb-session'

const EXIT_CODES = [
  'Exit codes: 0 fine; 1 a fault was found, or the command could not be carried out; 2 it was called wrongly.'
]

/** What there is. */
export function overview (commands: readonly Command[]): string {
  return [
    `Usage: npx ${PROGRAM} <command> [options]`,
    '',
    'Commands:',
    ...indented(columns(commands.map(({ name, summary }) => [name, summary]), ['left', 'left'])),
    '',
    `npx ${PROGRAM} <command> --help says more of one. --version prints the version.`,
    ...EXIT_CODES
  ].join('\n')
}

/** All of one command. */
export function helpOf ({ name, summary, about, positionals, flags }: Command): string {
  const own = Object.entries(flags).filter(([flag]) => !(flag in TABLE_FLAGS) && !(flag in OUTPUT_FLAGS))
  const shared = (all: Flags) => Object.entries(flags).filter(([flag]) => flag in all)
  return [
    `Usage: npx ${[PROGRAM, name, ...positionals.map(positional => `<${positional}>`), '[options]'].join(' ')}`,
    '',
    summary,
    '',
    ...about,
    ...section('Options', own),
    ...section('Table and service', shared(TABLE_FLAGS)),
    ...section('Output', shared(OUTPUT_FLAGS)),
    '',
    ...EXIT_CODES
  ].join('\n')
}

function section (title: string, flags: ReadonlyArray<readonly [string, Flag]>): string[] {
  if (flags.length === 0) return []
  const rows = flags.map(([name, { value, help, otherwise }]) => [
    `--${name}${value === undefined ? '' : ` <${value}>`}`,
    otherwise === undefined ? help : `${help} Default: ${otherwise}.`
  ])
  return ['', `${title}:`, ...indented(columns(rows, ['left', 'left']))]
}

function indented (lines: readonly string[]): string[] {
  return lines.map(line => `  ${line}`)
}

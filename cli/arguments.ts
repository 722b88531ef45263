import { parseArgs } from 'node:util'
import { closest, distance } from 'fastest-levenshtein'
import { isKey } from '../lib/item.js'
import { misuse } from './fault.js'

/** An option of a command. */
export interface Flag {
  readonly type: 'string' | 'boolean'
  /** What stands for the value in the help. */
  readonly value?: string
  readonly help: string
  /** The default, as the help says it. */
  readonly otherwise?: string
}

export type Flags = Readonly<Record<string, Flag>>

/** What was given, each option by its name. */
export class Given {
  readonly #values: Readonly<Record<string, string | boolean | undefined>>
  readonly positionals: readonly string[]

  constructor (values: Readonly<Record<string, string | boolean | undefined>>, positionals: readonly string[]) {
    this.#values = values
    this.positionals = positionals
  }

  has (name: string): boolean {
    return this.#values[name] === true
  }

  text (name: string): string | undefined {
    const value = this.#values[name]
    return typeof value === 'string' ? value : undefined
  }

  required (name: string): string {
    return this.text(name) ?? missing(name)
  }

  oneOf<const Choice extends string> (name: string, choices: readonly Choice[]): Choice | undefined {
    const value = this.text(name)
    if (value === undefined) return undefined
    return choices.find(choice => choice === value) ?? refuse(name, `must be one of ${choices.join(', ')}`)
  }

  /** A number in plain digits. */
  number (name: string, { least = 0, most = 1e15, whole = false } = {}): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const number = /^\d+(\.\d+)?(e\d+)?$/i.test(text) ? Number(text) : Number.NaN
    if (number >= least && number <= most && (!whole || Number.isInteger(number))) return number
    return refuse(name, `must be a ${whole ? 'whole ' : ''}number from ${least} to ${most.toLocaleString('en-US')}`)
  }
}

function missing (name: string): never {
  throw misuse(`Option "--${name}" is required.`)
}

function refuse (name: string, remark: string): never {
  throw misuse(`Option "--${name}" ${remark}.`)
}

/** Reads arguments by the flags of a command. What is not known is refused with the nearest name that is, and never repeated whole. */
export function readArguments (args: readonly string[], flags: Flags, positionals: readonly string[] = []): Given {
  const options = Object.fromEntries(Object.entries(flags).map(([name, { type }]) => [name, { type }]))
  // Not strict: its texts quote values, which may be secrets, and know no nearest name.
  const { tokens } = parseArgs({ args: positionals.length === 0 ? [...args] : args.map(shielded), options, strict: false, allowPositionals: true, tokens: true })
  const values: Record<string, string | boolean> = {}
  const found: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') found.push(bare(token.value))
    if (token.kind !== 'option') continue
    const flag = Object.hasOwn(flags, token.name) ? flags[token.name] : undefined
    if (flag === undefined || !token.rawName.startsWith('--')) throw misuse(unknown(token.rawName, Object.keys(flags)))
    if (Object.hasOwn(values, token.name)) throw misuse(`Option "--${token.name}" is given twice.`)
    values[token.name] = valueOf(token.name, bare(token.value), token.inlineValue === true, flag)
  }
  assertPositionals(found, positionals, values['help'] === true)
  return new Given(values, found)
}

/** What no argument can hold, since it ends texts where programs are started. */
const SHIELD = '\0'

/** One loggable id in 64 begins with a dash, and would be read as options. */
function shielded (argument: string): string {
  return argument.startsWith('-') && isKey(argument) ? SHIELD + argument : argument
}

function bare<Text extends string | undefined> (argument: Text): Text {
  return (argument?.startsWith(SHIELD) === true ? argument.slice(SHIELD.length) : argument) as Text
}

function valueOf (name: string, value: string | undefined, isInline: boolean, { type }: Flag): string | boolean {
  if (type === 'boolean') return value === undefined ? true : refuse(name, 'takes no value')
  if (value === undefined || value === '') return refuse(name, 'needs a value')
  // "--table --json" is an option whose value was forgotten. Who means it writes "--table=--json".
  return !isInline && value.startsWith('--') ? refuse(name, 'needs a value') : value
}

function assertPositionals (found: readonly string[], wanted: readonly string[], isHelp: boolean): void {
  if (isHelp) return
  if (found.length > wanted.length) throw misuse(`There ${wanted.length === 0 ? 'is nothing' : `is only <${wanted.join('> <')}>`} to be given beside options, and something more was.`)
  if (found.length < wanted.length) throw misuse(`<${wanted.slice(found.length).join('> <')}> is missing.`)
}

function unknown (rawName: string, known: readonly string[]): string {
  const [name = ''] = rawName.replace(/^-+/, '').split('=')
  return `Unknown option.${nearest(name, known, '--')}`
}

/** " Did you mean …?", or what there is. */
export function nearest (name: string, known: readonly string[], lead = ''): string {
  const candidate = closest(name, known as string[])
  const isTypo = distance(name, candidate) <= Math.max(1, Math.floor(name.length * 0.4))
  return isTypo ? ` Did you mean "${lead}${candidate}"?` : ` Known are ${known.map(one => lead + one).join(', ')}.`
}

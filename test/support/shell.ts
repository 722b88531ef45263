// The commands in the documents: taken apart as a shell would, and checked or run.
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import * as dynamodb from '@aws-sdk/client-dynamodb'
import { read, root } from './documents.js'

/** One simple command: its words, without quotes and what is set before it. */
export type Words = readonly string[]

/** The commands of a block. Throws where a quote is not closed, or a bracket of a substitution. */
export function commandsIn (code: string): Words[] {
  const commands: string[][] = [[]]
  let word: string | undefined
  const endWord = (): void => {
    if (word !== undefined) commands.at(-1)?.push(word)
    word = undefined
  }
  const endCommand = (): void => {
    endWord()
    if (commands.at(-1)?.length !== 0) commands.push([])
  }
  // Quoted, escaped, a substitution, a comment, an end of the line or of the command, space, or one sign of a word.
  const parts = /'[^']*'|"(?:\\[\s\S]|[^"\\])*"|\\\n|\\[\s\S]|\$\([^()]*\)|<[a-z][a-z ]*>|(?<=^|\s)#.*|\n|&&|\|\||[|;&]|[^\S\n]+|[\s\S]/gm
  for (const [part] of code.matchAll(parts)) {
    if (part === '\\\n' || part.startsWith('#')) continue
    if (/^(\n|&&|\|\||[|;&])$/.test(part)) endCommand()
    else if (/^\s+$/.test(part)) endWord()
    else if (part === "'" || part === '"') throw new Error(`A quote is not closed: ${code}`)
    else word = (word ?? '') + bare(part)
  }
  endCommand()
  return commands.map(words => words.slice(words.findIndex(word => !/^[A-Za-z_]\w*=/.test(word)))).filter(words => words.length > 0)
}

function bare (part: string): string {
  if (part.startsWith("'")) return part.slice(1, -1)
  if (part.startsWith('"')) return part.slice(1, -1).replaceAll(/\\(["\\$`])/g, '$1')
  return part.startsWith('\\') ? part.slice(1) : part
}

interface Manifest {
  readonly name: string
  readonly scripts: Readonly<Record<string, string>>
  readonly dependencies: object
  readonly peerDependencies: object
  readonly devDependencies: object
}

const manifest = JSON.parse(read('package.json')) as Manifest
const PACKAGES = new Set([manifest.name, ...[manifest.dependencies, manifest.peerDependencies, manifest.devDependencies].flatMap(Object.keys)])

/** What stands before the command line of this package. */
export const OWN = ['npx', manifest.name]

/** What is wrong with a command that cannot be run here, or undefined. Those of the package's own command line are run instead. */
export function complaintOf ([program = '', ...args]: Words): string | undefined {
  if (program.includes('/')) return existsSync(join(root, program)) ? undefined : `there is no ${program}`
  const check = CHECKS[program]
  if (check === undefined) return `nothing is known of "${program}"`
  return check(args)
}

const fine = (): undefined => {}

const CHECKS: Readonly<Record<string, (args: Words) => string | undefined>> = {
  npm: npmComplaint,
  npx: ([tool = '', ...args]) => tool === 'tsx' ? fileComplaint(args) : existsSync(join(root, 'node_modules', '.bin', tool)) ? fileComplaint(args) : `no tool "${tool}"`,
  node: nodeComplaint,
  aws: awsComplaint,
  ...Object.fromEntries(['apt-get', 'cat', 'cd', 'curl', 'docker', 'echo', 'export', 'git', 'java', 'mkdir', 'nginx', 'openssl', 'sudo'].map(name => [name, fine]))
}

function npmComplaint ([verb = '', ...args]: Words): string | undefined {
  if (verb === 'run') return args[0] !== undefined && args[0] in manifest.scripts ? undefined : `no script "${args[0]}"`
  if (verb === 'test' || verb === 'start') return verb in manifest.scripts ? undefined : `no script "${verb}"`
  if (verb === 'install' || verb === 'i') {
    const names = args.filter(word => !word.startsWith('-')).map(word => word.replace(/(?<=.)@.*/, ''))
    const unknown = names.filter(name => !PACKAGES.has(name))
    return unknown.length === 0 ? undefined : `nothing here is tested with ${unknown.join(', ')}`
  }
  return ['ci', 'init', 'audit', 'pack', 'publish', 'version', 'view'].includes(verb) ? undefined : `npm ${verb} is unknown`
}

/** Files of this repository that are named must be there. */
function fileComplaint (args: Words): string | undefined {
  const missing = args.filter(word => /^(bench|demo|docs|examples|scripts|test)\//.test(word) && !existsSync(join(root, word)))
  return missing.length === 0 ? undefined : `there is no ${missing.join(', ')}`
}

/** An expression is computed here. */
function nodeComplaint (args: Words): string | undefined {
  const at = args.findIndex(word => ['-p', '-e', '-pe'].includes(word))
  if (at === -1) return fileComplaint(args)
  // eslint-disable-next-line no-new-func
  const value: unknown = new Function('require', `return (${args[at + 1]})`)(createRequire(import.meta.url))
  return value === undefined ? 'it gives nothing' : undefined
}

/** Options that every command of the AWS CLI takes. */
const AWS_OPTIONS = ['endpoint-url', 'no-cli-pager', 'output', 'profile', 'query', 'region']

/** Operations and options are the SDK's, in the AWS CLI's spelling. */
function awsComplaint ([service, operation = '', waiter = '', ...rest]: Words): string | undefined {
  if (service !== 'dynamodb') return undefined
  if (operation === 'wait') return `waitUntil${pascal(waiter)}` in dynamodb ? undefined : `there is no waiter ${waiter}`
  const schema: unknown = Reflect.get(dynamodb, `${pascal(operation)}Input$`)
  if (!Array.isArray(schema)) return `there is no operation ${operation}`
  const known = new Set([...(schema[4] as string[]).map(kebab), ...AWS_OPTIONS])
  const unknown = [waiter, ...rest].filter(word => word.startsWith('--') && !known.has(word.slice(2).replace(/=.*/, '')))
  return unknown.length === 0 ? undefined : `${operation} takes no ${unknown.join(', ')}`
}

function pascal (name: string): string {
  return name.split('-').map(word => word.charAt(0).toUpperCase() + word.slice(1)).join('')
}

/** As the AWS CLI does: SSESpecification is sse-specification. */
function kebab (name: string): string {
  return name.replaceAll(/([a-z0-9])([A-Z])/g, '$1-$2').replaceAll(/([A-Z])([A-Z][a-z])/g, '$1-$2').toLowerCase()
}

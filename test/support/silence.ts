import { subscribe, tracingChannel } from 'node:diagnostics_channel'
import { existsSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import { Tokens } from '../../lib/token.js'
import { FOLDER, writeNotes, type Notes, type Printed } from './silence-search.js'

/**
 * Listens to all tests: what must never be printed, and what is printed. Each process writes down both when it ends, if
 * before.ts made the folder, and after.ts searches everything that was printed for everything secret.
 */

/** Every id that was made or sent. No table holds one. */
export const ids = new Set<string>()
const secrets = new Set<string>()
const printed: Printed[] = []

/** What this process has noted until now. */
export const notes: Notes = { secrets, printed }

/** Long enough that nothing else is the same by chance. */
const SECRET = /^[A-Za-z0-9_-]{16,}$/

function noteId (text: string): void {
  if (!SECRET.test(text)) return
  ids.add(text)
  secrets.add(text)
}

export function notePrinted (where: string, text: string): void {
  if (text !== '') printed.push({ where, text })
}

/** Fastify logs the URL that a client sent, also an id that a test has put there, which is not the library's doing. */
export function noteLog (line: string): void {
  notePrinted('log', line.replace(/"url":"[^"?]*\?[^"]*"/, '"url":""'))
}

/** A value that no other test has and nobody may print. */
export function canary (): string {
  const value = `canary-${randomBytes(12).toString('base64url')}`
  secrets.add(value)
  return value
}

/** What was printed while this ran; forgotten, where a test prints secrets to see that they are found. */
export async function printedBy (run: () => Promise<unknown>, options: { readonly forget?: boolean } = {}): Promise<Printed[]> {
  const start = printed.length
  await run()
  return options.forget === true ? printed.splice(start) : printed.slice(start)
}

/** By each of the ways in which logs print errors. */
export function noteError (where: string, error: unknown): void {
  notePrinted(where, inspect(error, { depth: Infinity }))
  if (error instanceof Error) notePrinted(where, JSON.stringify({ ...error, message: error.message, stack: error.stack }))
}

// Every id is made here, also those of jobs, which no cookie tells of.
const { makeId } = Tokens.prototype
Tokens.prototype.makeId = function (): string {
  const id = makeId.call(this)
  noteId(id)
  return id
}

/** Cookies of @fastify/oauth2, whose value travels to the provider in a URL as well, as RFC 6749 has it. */
const STATE = '__Host-oauth2-'

/** The ids in the tokens of an answer. A companion is too short to be one. */
function noteTokens (answer: LightMyRequestResponse, header: string | undefined): void {
  const cookies = [answer.headers['set-cookie'] ?? []].flat().filter(text => !text.startsWith(STATE)).map(text => text.slice(text.indexOf('=') + 1, text.indexOf(';')))
  const tokens = header === undefined ? cookies : [...cookies, String(answer.headers[header.toLowerCase()] ?? '')]
  for (const token of tokens) noteId(decodeURIComponent(token).split('.')[0] ?? '')
}

/** A token travels in `Set-Cookie` and in the header of the options, and nowhere else. */
function noteAnswer (answer: LightMyRequestResponse, header: string | undefined): void {
  noteTokens(answer, header)
  const { 'set-cookie': _, ...headers } = answer.headers
  if (header !== undefined) Reflect.deleteProperty(headers, header.toLowerCase())
  notePrinted('headers', JSON.stringify(headers))
  // What handlers answer is the tests' own; what is answered in their place is not.
  if (answer.statusCode >= 400) notePrinted('body', answer.body)
}

/** Listens to the answers of an application that is asked by `inject()`. */
export function hearAnswers (app: FastifyInstance, header: string | undefined): void {
  const inject = app.inject.bind(app) as (...args: unknown[]) => unknown
  const hearing = (...args: unknown[]): unknown => {
    const chain = inject(...args)
    if (args.length !== 1 || typeof chain !== 'object' || chain === null) return chain
    // Not before it is waited for: a request begins when its test means it to.
    const { then } = chain as Promise<LightMyRequestResponse>
    return Object.assign(chain, {
      then: (...[onAnswer, onError]: Parameters<Promise<LightMyRequestResponse>['then']>) => then.call(chain, answer => {
        noteAnswer(answer, header)
        return typeof onAnswer === 'function' ? onAnswer(answer) : answer
      }, onError)
    })
  }
  Object.assign(app, { inject: hearing })
}

const OPERATIONS = ['load', 'create', 'save', 'touch', 'regenerate', 'destroy', 'revoke', 'bind', 'list'] as const
const STEPS = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const

let isHearing = false

/** Listens to all channels of the library, and to the process's warnings, from now on. */
export function hearChannels (): void {
  if (isHearing) return
  isHearing = true
  for (const operation of OPERATIONS) {
    const name = `fastify-dynamodb-session:${operation}`
    const listeners = STEPS.map(step => [step, (message: unknown) => { noteError(`${name}:${step}`, message) }])
    tracingChannel(name).subscribe(Object.fromEntries(listeners) as Parameters<ReturnType<typeof tracingChannel>['subscribe']>[0])
  }
  for (const name of ['open', 'gone', 'conflict']) {
    subscribe(`fastify-dynamodb-session:${name}`, message => { notePrinted(name, inspect(message, { depth: Infinity })) })
  }
  process.on('warning', warning => { noteError('warning', warning) })
}

process.once('exit', () => { if (existsSync(FOLDER)) writeNotes(notes) })

import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import type { LightMyRequestResponse as Answer } from 'fastify'
import type { Test } from 'tap'
import type { Stage } from '../support/app.js'
import type { Engine } from '../support/engines.js'
import { setCookieNames, type Visitor } from '../support/visitor.js'

/** A failure that others had, and what of it cannot happen here. */
export interface AdvisoryTest {
  /** As in the list of `advisories.test.ts`. */
  readonly advisory: string
  readonly promise: string
  readonly run: (t: Test, engine: Engine) => Promise<void>
}

export type Item = Record<string, AttributeValue>

export const ID = '__Host-id'
export const SECRET = 'a secret that is long enough to sign with'
export const UNREADABLE = 'FST_DYNAMODB_SESSION_UNREADABLE'

/** The Cookie header of a browser that has this value under this name. */
export function cookieOf (value: string, name: string = ID): { cookie: string } {
  return { cookie: `${name}=${encodeURIComponent(value)}` }
}

/** A visitor with a session, and its id, which is the token too where there are no secrets. */
export async function begin (stage: Stage, data: object = { userId: 'ann' }): Promise<{ visitor: Visitor, id: string }> {
  const visitor = stage.visitor()
  const { id } = (await visitor.post('/set', data)).json<{ id: string }>()
  stage.proxy.take()
  return { visitor, id }
}

/** What a request with these headers finds: the data of its session, and the calls that it cost. */
export async function findBy (stage: Stage, headers: Record<string, string>): Promise<{ answer: Answer, data: unknown, id: unknown, calls: string[] }> {
  stage.proxy.take()
  const answer = await stage.app.inject({ url: '/me', headers })
  const { data, id } = answer.json<{ data: unknown, id: unknown }>()
  return { answer, data, id, calls: stage.proxy.take() }
}

/** That a request with these headers is an anonymous one, costs these calls, and changes nothing in the browser. */
export async function isNobody (t: Test, stage: Stage, headers: Record<string, string>, calls: readonly string[], name: string): Promise<void> {
  const found = await findBy(stage, headers)
  t.strictSame([found.answer.statusCode, found.data, found.id], [200, {}, undefined], `${name}: nobody`)
  t.strictSame(found.calls, calls, `${name}: its calls`)
  t.strictSame(setCookieNames(found.answer), [], `${name}: nothing set, nothing cleared`)
}

/** The items that are sessions: a replaced one is kept for a minute, empty, so that late requests are recognised. */
export async function aliveIn (stage: Stage): Promise<Item[]> {
  return (await stage.items()).filter(item => item['next'] === undefined)
}

/** The texts of the log and of answers, in which no secret may stand. */
export function isSilent (t: Test, texts: readonly string[], secrets: ReadonlySet<string>): void {
  for (const secret of secrets) {
    const found = texts.find(text => text.includes(secret) || text.includes(encodeURIComponent(secret)))
    t.equal(found, undefined, 'a secret is told nowhere')
  }
}

/**
 * Puts a source of the test's in the place of the system's randomness. Call it before the plugin is registered, which takes
 * the source then; what it gives may be changed at any time. The engine, which runs in this process, keeps its own.
 */
export function takeRandomness (t: Test): { give: ((bytes: number) => Buffer) | undefined } {
  const genuine = crypto.randomBytes
  const source: { give: ((bytes: number) => Buffer) | undefined } = { give: undefined }
  const isEngine = (): boolean => new Error('here').stack?.includes('node_modules/dynalite/') === true
  const put = (randomBytes: unknown): void => {
    Object.assign(crypto, { randomBytes })
    syncBuiltinESMExports()
  }
  put((bytes: number) => source.give === undefined || isEngine() ? genuine(bytes) : source.give(bytes))
  t.teardown(() => { put(genuine) })
  return source
}

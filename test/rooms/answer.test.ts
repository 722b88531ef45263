import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import t from 'tap'
import { discard, withdrawAnswer } from '../../lib/answer.js'
import { errors } from '../../lib/errors.js'

/** What stands in an answer, as far as its headers go. */
function makeReply (headers: Record<string, string>): FastifyReply & { readonly headers: Record<string, string> } {
  return {
    headers,
    getHeader: (name: string) => headers[name],
    removeHeader: (name: string) => { Reflect.deleteProperty(headers, name) },
    header: (name: string, value: string) => { headers[name] = value }
  } as unknown as FastifyReply & { readonly headers: Record<string, string> }
}

const ANSWER = { etag: '"1"', location: '/next', expires: 'later', 'x-mine': 'kept' }

t.test('a failure of ours takes away what describes the answer that is not sent, and nothing else', async t => {
  const reply = makeReply({ ...ANSWER, 'cache-control': 'public' })
  withdrawAnswer(undefined, reply, new errors.Conflict())
  t.strictSame(reply.headers, { 'x-mine': 'kept' })
})

t.test('a failure of the application is its own affair', async t => {
  const reply = makeReply({ ...ANSWER })
  withdrawAnswer(undefined, reply, new Error('broken'))
  t.strictSame(reply.headers, ANSWER)
})

t.test('where the table does not answer, the client is told when to try again', async t => {
  const reply = makeReply({})
  withdrawAnswer(undefined, reply, new errors.Unavailable())
  t.strictSame(reply.headers, { 'retry-after': '1' })
})

t.test('what another registration has said about a token that it sends stays', async t => {
  const reply = makeReply({ 'cache-control': 'no-store' })
  withdrawAnswer(undefined, reply, new errors.Conflict())
  t.strictSame(reply.headers, { 'cache-control': 'no-store' })
})

t.test('a stream that is not sent is left open in no form', async t => {
  const ended: string[] = []
  const stream = (name: string): Readable => new Readable({ read () {}, destroy (_error, done) { ended.push(name); done(null) } })
  const web = (name: string): ReadableStream => new ReadableStream({ cancel () { ended.push(name) } })
  discard(stream('stream'))
  discard(web('web stream'))
  discard(new Response(web('response')))
  discard({ body: stream('response of a package') })
  for (const payload of ['text', undefined, null, Buffer.from('x'), { data: 1 }, new Response(null)]) discard(payload)
  await new Promise(resolve => setImmediate(resolve))
  t.strictSame(ended.sort(), ['response', 'response of a package', 'stream', 'web stream'])
})

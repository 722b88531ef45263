import type { FastifyInstance, FastifyReply, FastifyRequest, LightMyRequestResponse } from 'fastify'
import { countOf } from './cart.js'

export const TABS = 10

/**
 * Ten requests that put the same product into the same cart at the same moment, as ten tabs of the visitor's browser would: each
 * comes with the visitor's cookies and opens the session for itself.
 */
export async function addFromTabs (
  app: FastifyInstance, request: FastifyRequest, reply: FastifyReply, product: string
): Promise<{ before: number, after: number }> {
  const { session } = request
  const before = countOf(session.get('basket'), product)
  const answers = await Promise.all(Array.from({ length: TABS }, async () => await app.inject({
    method: 'POST',
    url: '/cart/add',
    payload: { product },
    headers: { cookie: String(request.headers.cookie), accept: 'application/json', 'sec-fetch-site': 'same-origin' }
  })))
  // Tells the browser's next request how new the session is that it has to find.
  reply.header('set-cookie', newestOf(answers).headers['set-cookie'])
  await session.reload()
  return { before, after: countOf(session.get('basket'), product) }
}

function newestOf (answers: LightMyRequestResponse[]): LightMyRequestResponse {
  const versionOf = (answer: LightMyRequestResponse): number => answer.statusCode === 200 ? answer.json<{ version: number }>().version : 0
  return answers.reduce((newest, answer) => versionOf(answer) > versionOf(newest) ? answer : newest)
}

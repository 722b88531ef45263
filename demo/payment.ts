import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { errors } from '../index.js'
import { shownCart, type Cart } from './cart.js'
import type { Pages } from './pages.js'

export const PAYMENT_SECONDS = 8

/** What takes so long at the bank. Gives up when the demonstration ends. */
export function slowBank (app: FastifyInstance): () => Promise<void> {
  const ended = new AbortController()
  app.addHook('preClose', async () => { ended.abort() })
  return async () => { await sleep(PAYMENT_SECONDS * 1000, undefined, { signal: ended.signal }).catch(() => {}) }
}

/** A slow request, during which the visitor may log out elsewhere. */
export function addPayment (app: FastifyInstance, pages: Pages, bank: () => Promise<void>): void {
  app.post('/pay', async (request, reply) => {
    const { session } = request
    if (shownCart(session.get('basket')).count === 0) return reply.redirect('/cart', 303)
    await bank()
    let bought: Cart | undefined
    try {
      // Takes the cart as it is stored now, once among all requests. Before money moves: what is written here is known to count.
      await session.update('basket', cart => {
        bought = cart
        return undefined
      })
    } catch (error) {
      if (!(error instanceof errors.Gone)) throw error
      request.log.info({ loggableId: session.loggableId }, 'A payment was given up, because its session has ended meanwhile')
      return await pages.sendPlain(reply.code(409), 'gone', { title: 'Nothing was paid' })
    }
    const paid = shownCart(bought)
    return paid.count === 0
      ? await pages.send(request, reply, 'problem', { title: 'Nothing left to pay', text: 'When the bank had answered, the cart was empty: it was paid for or emptied meanwhile. This payment was not made.' })
      : await pages.send(request, reply, 'paid', { title: 'Paid', bought: paid })
  })
}

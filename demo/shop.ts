import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { addProduct, changeCart, countOf, engrave, MOST_OF_ONE, takeProduct, type Cart } from './cart.js'
import { field, queryField } from './forms.js'
import type { Pages } from './pages.js'
import { findProduct, PRODUCTS } from './products.js'
import { addFromTabs, TABS } from './tabs.js'

/** The products and the cart. */
export function addShop (app: FastifyInstance, pages: Pages): void {
  app.get('/', async (request, reply) =>
    await pages.send(request, reply, 'shop', {
      products: PRODUCTS,
      added: queryField(request, 'added'),
      hasLeft: queryField(request, 'done') === 'logout'
    }))

  app.get('/cart', async (request, reply) => await showCart(request, reply, pages))

  app.post('/cart/add', async (request, reply) => {
    const product = findProduct(field(request, 'product'))
    if (product === undefined) return await refuse(request, reply, pages, 'There is no such product.')
    const cart = await changeCart(request.session, cart => { addProduct(cart, product.id) })
    if (request.headers.accept === 'application/json') return { quantity: countOf(cart, product.id), version: request.session.version }
    return reply.redirect(field(request, 'from') === 'cart' ? `/cart#line-${product.id}` : `/?added=${product.id}#${product.id}`, 303)
  })

  change(app, '/cart/take', (cart, request) => { takeProduct(cart, field(request, 'product')) })
  change(app, '/cart/engrave', (cart, request) => { engrave(cart, field(request, 'product'), field(request, 'engraving')) })
  change(app, '/cart/wrap', (cart, request) => { cart.wrapped = field(request, 'wrapped') === 'yes' })

  app.post('/cart/tabs', async (request, reply) => {
    const product = findProduct(field(request, 'product'))
    if (product === undefined) return await refuse(request, reply, pages, 'There is no such product.')
    // Ten tabs without a session would begin ten.
    if (!request.session.has('basket')) return reply.redirect('/cart', 303)
    const { before, after } = await addFromTabs(app, request, reply, product.id)
    return reply.redirect(`/cart?tabs=${product.id}&before=${before}&after=${after}`, 303)
  })
}

function change (app: FastifyInstance, url: string, act: (cart: Cart, request: FastifyRequest) => void): void {
  app.post(url, async (request, reply) => {
    // Whoever has no cart has nothing to change, and gets no session for it.
    if (!request.session.has('basket')) return reply.redirect('/cart', 303)
    await changeCart(request.session, cart => { act(cart, request) })
    const product = findProduct(field(request, 'product'))
    // To where somebody was: on a phone or by keyboard, the way back from the top is long.
    return reply.redirect(`/cart#${product === undefined ? 'wrap' : `line-${product.id}`}`, 303)
  })
}

async function showCart (request: FastifyRequest, reply: FastifyReply, pages: Pages, remark?: string): Promise<FastifyReply> {
  const tabs = findProduct(queryField(request, 'tabs'))
  const [before, after] = [Number(queryField(request, 'before')), Number(queryField(request, 'after'))]
  const verdict = verdictOn(before, after)
  return await pages.send(request, reply, 'cart', { products: PRODUCTS, remark, tabs: tabs && verdict && { name: tabs.name, before, after, verdict } })
}

/** What became of what ten tabs added, or undefined for numbers that nobody can have come by. */
function verdictOn (before: number, after: number): string | undefined {
  const counted = after - before
  if (!Number.isInteger(counted) || counted < 0) return undefined
  if (counted > TABS) return `All ${TABS} count, and so does what was added elsewhere meanwhile.`
  if (after === MOST_OF_ONE) return `${counted} of ${TABS} found room: a cart holds ${MOST_OF_ONE} of a thing.`
  return `${counted} of ${TABS} count.`
}

async function refuse (request: FastifyRequest, reply: FastifyReply, pages: Pages, remark: string): Promise<FastifyReply> {
  return await showCart(request, reply.code(400), pages, remark)
}

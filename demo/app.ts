import { randomBytes } from 'node:crypto'
import formbody from '@fastify/formbody'
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import dynamoSession, { type DynamoSessionOptions } from '../index.js'
import { addItem, changeItem } from './cart.js'
import { homePage, problemPage } from './pages.js'
import { watchRequests, type RequestLine } from './panel.js'
import { STYLE, STYLE_URL } from './style.js'

export interface DemoOptions {
  /** Where DynamoDB is. */
  readonly client: NonNullable<DynamoSessionOptions['client']>
  /** Created where it is missing. */
  readonly table: string
  readonly logger: boolean | { readonly level: string }
}

const HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  // The page is the visitor's own: after a log-out, the back button must ask again.
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff'
}

/** The demonstration, ready to listen. */
export async function buildDemo ({ client, table, logger }: DemoOptions): Promise<FastifyInstance> {
  // A browser opens connections ahead of need, and closing would wait for them.
  const app = Fastify({ logger, forceCloseConnections: true })
  // First, so that it sees what the session does before and after the handlers.
  const lines = watchRequests(app)
  await app.register(formbody)
  await app.register(dynamoSession, {
    table,
    client,
    createTable: true,
    cookie: { secure: 'auto' }, // plain http; an application behind https leaves this out
    secrets: randomBytes(32).toString('base64url')
  })
  app.get(STYLE_URL, { config: { session: false } }, async (_request, reply) =>
    reply.headers({ 'content-type': 'text/css; charset=utf-8', 'cache-control': 'public, max-age=31536000, immutable' }).send(STYLE))
  addForms(app, lines)
  addProblems(app, lines)
  return app
}

function addForms (app: FastifyInstance, lines: readonly RequestLine[]): void {
  const remark = (request: FastifyRequest, reply: FastifyReply, text: string): FastifyReply =>
    reply.code(400).headers(HEADERS).send(homePage(request.session, lines, text))

  app.get('/', async ({ session }, reply) => reply.headers(HEADERS).send(homePage(session, lines)))

  app.post('/login', async (request, reply) => {
    const name = field(request, 'name')
    if (name === '') return remark(request, reply, 'Give a name of at most 40 characters.')
    // A new id, so that one planted before is worthless; what the visitor collected so far comes along.
    await request.session.regenerate(['count', 'items'])
    request.session.set('name', name)
    return reply.redirect('/', 303)
  })

  app.post('/logout', async ({ session }, reply) => {
    await session.destroy()
    return reply.redirect('/', 303)
  })

  app.post('/count', async ({ session }, reply) => {
    session.set('count', (session.get('count') ?? 0) + 1)
    return reply.redirect('/#counter', 303)
  })

  app.post('/items', async (request, reply) => {
    const name = field(request, 'name')
    const quantity = Number(field(request, 'quantity'))
    const isGood = name !== '' && Number.isInteger(quantity) && quantity >= 1 && quantity <= 99
    if (!isGood) return remark(request, reply, 'Give an item of at most 40 characters and a quantity from 1 to 99.')
    if (!addItem(request.session, name, quantity)) return remark(request, reply, 'The cart is full.')
    return reply.redirect('/#cart', 303)
  })

  app.post('/items/change', async (request, reply) => {
    changeItem(request.session, field(request, 'name'), field(request, 'by') === '1' ? 1 : -1)
    return reply.redirect('/#cart', 303)
  })
}

function addProblems (app: FastifyInstance, lines: readonly RequestLine[]): void {
  app.setNotFoundHandler({}, (_request, reply) =>
    reply.code(404).headers(HEADERS).send(problemPage('Not found', 'There is no such page.', lines)))

  app.setErrorHandler<FastifyError>((error, request, reply) => {
    const status = error.statusCode ?? 500
    if (status >= 500) request.log.error(error)
    const text = status === 503 ? 'DynamoDB does not answer. Nobody is logged out: try again in a moment.' : 'This request could not be carried out.'
    return reply.code(status).headers(HEADERS).send(problemPage('That did not work', text, lines))
  })
}

/** A form's field, trimmed; empty where it is missing, sent twice or longer than the form allows. */
function field (request: FastifyRequest, name: string): string {
  const value: unknown = Object.entries(request.body ?? {}).find(([key]) => key === name)?.[1]
  const text = typeof value === 'string' ? value.trim() : ''
  return text.length <= 40 ? text : ''
}

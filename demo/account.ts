import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ListedSession } from '../index.js'
import { deviceOf } from './device.js'
import { field, queryField } from './forms.js'
import { clock, type Pages } from './pages.js'

/** Seconds of inactivity that a visitor may choose for a session of theirs. */
const CHOICES: ReadonlyArray<readonly [number, string]> = [[20, '20 seconds'], [60, '1 minute'], [900, '15 minutes']]

/** Logging in and out, the visitor's devices, and the time-out. */
export function addAccount (app: FastifyInstance, pages: Pages): void {
  addLogin(app, pages)
  addDevices(app, pages)

  app.post('/account/timeout', async (request, reply) => {
    const [seconds] = CHOICES.find(([seconds]) => String(seconds) === field(request, 'seconds')) ?? []
    if (seconds === undefined) return await showAccount(app, pages, request, reply.code(400), 'Choose one of the times.')
    if (request.session.has('name')) request.session.idleTimeout = seconds
    return reply.redirect('/account?done=timeout#done', 303)
  })
}

function addLogin (app: FastifyInstance, pages: Pages): void {
  app.get('/login', async (request, reply) =>
    request.session.has('name') ? reply.redirect('/account', 303) : await pages.send(request, reply, 'login'))

  app.post('/login', async (request, reply) => {
    const { session } = request
    const name = field(request, 'name')
    if (name === '') return await pages.send(request, reply.code(400), 'login', { remark: 'Give a name of at most 40 characters.' })
    // A new id, so that one planted before is worthless; the cart comes along.
    await session.regenerate(['basket'])
    session.set('name', name)
    session.bind(userOf(name), { label: deviceOf(request.headers['user-agent']) })
    return reply.redirect('/account', 303)
  })

  app.post('/logout', async ({ session }, reply) => {
    await session.destroy()
    return reply.redirect('/?done=logout', 303)
  })
}

function addDevices (app: FastifyInstance, pages: Pages): void {
  app.get('/account', async (request, reply) => await showAccount(app, pages, request, reply))

  app.post('/account/devices/revoke', async (request, reply) => {
    // Only one of their own: a loggableId is no secret.
    const device = (await devicesOf(app, request)).find(({ loggableId }) => loggableId === field(request, 'device', 43))
    if (device === undefined) return await showAccount(app, pages, request, reply.code(400), 'This device is logged out already.')
    await app.sessions.revoke(device.loggableId)
    return reply.redirect('/account?done=device#done', 303)
  })

  app.post('/account/devices/revoke-others', async (request, reply) => {
    const name = request.session.get('name')
    if (name !== undefined) await app.sessions.revokeAll(userOf(name), { except: request.session })
    return reply.redirect('/account?done=others#done', 303)
  })
}

const DONE: Readonly<Record<string, string>> = {
  device: 'That device is logged out.',
  others: 'All other devices are logged out.',
  timeout: 'The new time counts from now.'
}

async function showAccount (
  app: FastifyInstance, pages: Pages, request: FastifyRequest, reply: FastifyReply, remark?: string
): Promise<FastifyReply> {
  if (!request.session.has('name')) return reply.redirect('/login', 303)
  const devices = (await devicesOf(app, request)).map(device => ({ ...device, since: clock(device.createdAt), lastSeen: clock(device.lastSeenAt) }))
  return await pages.send(request, reply, 'account', { devices, choices: CHOICES, remark, done: DONE[queryField(request, 'done')] })
}

async function devicesOf (app: FastifyInstance, { session }: FastifyRequest): Promise<ListedSession[]> {
  const name = session.get('name')
  return name === undefined ? [] : await app.sessions.list(userOf(name), { current: session })
}

/** The user is whoever gives the name: there are no passwords here. */
function userOf (name: string): string {
  return name.toLowerCase()
}

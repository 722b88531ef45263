import type { FastifyError, FastifyInstance } from 'fastify'
import { errors } from '../index.js'
import type { Pages } from './pages.js'
import type { Watch } from './watch.js'

/** Where somebody goes on who comes with the token of a session that has ended. */
const ALWAYS_OPEN = ['/login', '/logout']

/** Pages for what goes wrong, in words for visitors. */
export function addProblems (app: FastifyInstance, pages: Pages, watch: Watch): void {
  // Whoever was logged in and is not any more gets told so, once: the answer takes the token out of the browser.
  app.addHook('preHandler', async (request, reply) => {
    const { url = '' } = request.routeOptions
    if (ALWAYS_OPEN.includes(url) || !watch.hasSession(request) || !watch.hasToken(request) || request.session.id !== undefined) return
    return await pages.sendPlain(reply.code(request.method === 'GET' ? 200 : 409), 'ended')
  })

  app.setNotFoundHandler({}, async (_request, reply) =>
    await pages.sendPlain(reply.code(404), 'problem', { title: 'Not found', text: 'There is no such page.' }))

  app.setErrorHandler<FastifyError>(async (error, request, reply) => {
    const status = error.statusCode ?? 500
    if (status >= 500) request.log.error(error)
    reply.code(status)
    if (status === 503) return await pages.sendPlain(reply, 'unavailable', { retry: request.method === 'GET' ? '' : '/' })
    if (error instanceof errors.Gone) return await pages.sendPlain(reply, 'ended')
    // Such as a second click on the button that logs in.
    if (status === 409) return await pages.sendPlain(reply, 'problem', { title: 'Twice at once', text: 'Another request of this browser was faster, so this one was not carried out. Go on, and see what holds.' })
    return await pages.sendPlain(reply, 'problem', { title: 'That did not work', text: 'This request could not be carried out.' })
  })
}

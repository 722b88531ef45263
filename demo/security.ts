import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

export const HEADERS = {
  // The page is the visitor's own: after a log-out, the back button must ask again.
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff'
}

/** The names of this machine to itself. */
const OWN_HOST = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/i

/**
 * Answers under the names of this machine only. A page elsewhere can have its own name lead here, and is then, for the browser,
 * the same site: it could read the panel and stop the database.
 */
export function refuseForeignHosts (app: FastifyInstance): void {
  app.addHook('onRequest', async (request, reply) => {
    if (OWN_HOST.test(request.host)) return
    await refuse(reply.code(421), 'The demonstration answers under localhost and 127.0.0.1 only.')
  })
}

/**
 * Refuses forms that another site sends. A cookie with SameSite=Lax does not come with those, so they could do nothing as the
 * visitor; but they could log a stranger in as somebody else, and stop the database. Browsers say where a request comes from.
 */
export function refuseForeignForms (app: FastifyInstance): void {
  app.addHook('onRequest', async (request, reply) => {
    if (['GET', 'HEAD'].includes(request.method) || isOwn(request)) return
    await refuse(reply.code(403), 'This form came from another site and was not carried out.')
  })
}

async function refuse (reply: FastifyReply, fact: string): Promise<void> {
  await reply.headers(HEADERS).type('text/plain; charset=utf-8').send(fact)
}

/** What neither header comes with is no browser of today, and has no visitor's cookie. */
function isOwn ({ headers, host }: FastifyRequest): boolean {
  const site = headers['sec-fetch-site']
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  if (headers.origin === undefined) return true
  return URL.canParse(headers.origin) && new URL(headers.origin).host === host
}

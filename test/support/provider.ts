import { createHash, randomBytes } from 'node:crypto'
import formbody from '@fastify/formbody'
import Fastify from 'fastify'

/** An identity provider on this machine, with the authorisation code flow and PKCE (RFC 6749, RFC 7636). */
export interface Provider {
  readonly origin: string
  readonly client: { readonly id: string, readonly secret: string }
  /** What was asked of it, path by path. */
  readonly asked: string[]
  close (): Promise<void>
}

interface Grant { readonly challenge: string, readonly redirectUri: string }

/** Starts one at which everybody is signed in as the same user. */
export async function startProvider (user: string): Promise<Provider> {
  const client = { id: 'shop', secret: 'the secret of the shop' }
  const grants = new Map<string, Grant>()
  const asked: string[] = []
  const app = Fastify()
  await app.register(formbody)
  app.addHook('onRequest', async request => { asked.push(request.routeOptions.url ?? '') })

  app.get('/authorize', async (request, reply) => {
    const query = request.query as Record<string, string>
    if (query['client_id'] !== client.id || query['response_type'] !== 'code' || query['code_challenge_method'] !== 'S256') return await reply.code(400).send()
    const code = randomBytes(16).toString('hex')
    grants.set(code, { challenge: query['code_challenge'] ?? '', redirectUri: query['redirect_uri'] ?? '' })
    const target = new URL(query['redirect_uri'] ?? '')
    target.search = String(new URLSearchParams({ code, state: query['state'] ?? '' }))
    return await reply.redirect(target.href)
  })

  app.post('/token', async (request, reply) => {
    const { code = '', code_verifier: verifier = '', redirect_uri: redirectUri } = request.body as Record<string, string>
    const grant = grants.get(code)
    grants.delete(code)
    const isClient = request.headers.authorization === `Basic ${Buffer.from(`${client.id}:${encodeURIComponent(client.secret).replaceAll('%20', '+')}`).toString('base64')}`
    const isHolder = createHash('sha256').update(verifier).digest('base64url') === grant?.challenge
    if (!isClient || !isHolder || grant.redirectUri !== redirectUri) return await reply.code(400).send({ error: 'invalid_grant' })
    return { access_token: `access of ${user}`, token_type: 'Bearer', expires_in: 3600, scope: '' }
  })

  app.get('/userinfo', async (request, reply) => {
    if (request.headers.authorization !== `Bearer access of ${user}`) return await reply.code(401).send()
    return { sub: user }
  })

  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  return { origin, client, asked, close: async () => { await app.close() } }
}
